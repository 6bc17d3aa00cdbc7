//! cutover moves every platform that a product lives on to a new release together, or back together.
//!
//! The map, from the ground up; a module uses what stands above it, never what stands below:
//!
//! | module | what it is |
//! |---|---|
//! | [`exit`], [`id`], [`clock`], [`graph`], [`mask`], [`shutdown`], [`process`] | the ground: codes, names, time, order, secrets, cancellation, commands |
//! | [`http`] | the one way out: deadlines, retries, pacing, redaction |
//! | [`manifest`] | `cutover.yml`, and everything that can be wrong with it |
//! | [`event`], [`trigger`] | the vocabulary of what happens; what started a run |
//! | [`gate`], [`image`] | commands that must pass; what is built once |
//! | [`platform`] | the trait, and Fly and Vercel behind it; no platform knows another |
//! | [`release`] | the transaction: plan, phases, journal, the way back |
//! | [`github`], [`report`] | GitHub at arm's length; every rendering of one stream of events |
//! | [`settings`] | what the environment says, resolved once |
//! | [`embedded`] | the vendors' protocols as state machines; it uses only the ground, and meets the clients through HTTP alone |
//! | [`drill`] | releases on embedded platforms in which everything is broken at every point, and the judge of what is left |
//! | [`cli`] | what can be typed, and the only place where the parts meet |

pub mod cli;
pub mod clock;
pub mod drill;
pub mod embedded;
pub mod event;
pub mod exit;
pub mod gate;
pub mod github;
pub mod graph;
pub mod http;
pub mod id;
pub mod image;
pub mod manifest;
pub mod mask;
pub mod platform;
pub mod preview;
pub mod process;
pub mod release;
pub mod report;
pub mod settings;
pub mod shutdown;
pub mod trigger;
