//! Workers that serve static assets: uploads, versions, deployments, and what users get.
//!
//! Sources: the vendor's documentation of direct uploads and of gradual deployments, the API description (SDK 5.2), the vendor's client. What
//! rests on none of them says so where it is written.
//!
//! | file | concept |
//! |---|---|
//! | `state` | workers, versions, deployments, uploads |
//! | `uploads` | upload sessions and buckets |
//! | `versions` | versions and deployments |
//! | `scripts` | whole workers: made with their files, listed, tagged, removed |
//! | `addresses` | where a worker answers |
//! | `front` | what it answers |
//! | `seed` | what is there before the first request, and what tests see |

pub(super) mod addresses;
mod front;
pub(super) mod scripts;
mod seed;
pub(super) mod state;
pub(super) mod uploads;
pub(super) mod versions;

pub use seed::{SeenVersion, SeenWorker, WorkerSeed};
pub use state::WorkerFate;
