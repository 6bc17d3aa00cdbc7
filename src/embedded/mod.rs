//! The embedded platforms: the vendors' APIs as state machines behind their real paths and bodies, shipped in the binary.
//!
//! A rehearsal, a sandbox and a simulated release all run against these. They keep their own wire structs and know nothing of the clients, so
//! that a wrong belief about a vendor cannot cancel itself out. Each behaviour names its source where it is written; what rests on a guess
//! is a switch.
//!
//! | file | concept |
//! |---|---|
//! | [`world`] | starts and ends everything, gives base URLs |
//! | [`ground`] | what platforms share: clock, chance, tape, faults, traffic |
//! | [`operation`] | how a request gets its name |
//! | [`endpoint`] | a platform's router, recorded and struck |
//! | [`tape`] | what was asked |
//! | [`fault`] | what goes wrong |
//! | [`past`] | what the platforms were like before |
//! | [`traffic`] | who serves which public host name |
//! | [`history`] | what each edge would have answered at every instant |
//! | [`client`] | users that ask whatever happens |
//! | [`edge`] | the listeners of the public host names |
//! | [`witness`] | who is told of every request, and may break it |
//! | [`in_process`] | the same world without sockets |
//!
//! A platform folder has `state.rs` (plain state and its transitions), `routes.rs` (thin handlers) and `wire.rs` (its bodies), and is added with
//! one line: `world.add("vercel", router, "api.vercel.com", OPERATIONS)`. Where its state can be copied it says how with `world.copies(...)`.

pub mod client;
pub mod cloudflare;
pub mod edge;
pub mod endpoint;
pub mod fault;
pub mod fly;
pub mod github;
pub mod ground;
pub mod history;
pub mod in_process;
mod listener;
pub mod operation;
pub mod past;
mod proxy;
pub mod registry;
pub mod tape;
pub mod traffic;
pub mod vercel;
mod websocket;
pub mod witness;
pub mod world;

pub use endpoint::Lost;
pub use ground::Ground;
pub use world::{Addresses, World};
