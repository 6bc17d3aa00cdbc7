//! The calls, one file per area of the API; each is one request, with no decision in it.

mod aliases;
mod deployments;
mod files;
mod hooks;
mod projects;
mod promotion;
mod variables;

pub(super) use aliases::{Assigned, Holder};
pub(super) use deployments::{Created, ListQuery};
pub(super) use promotion::{Moved, Verb};
