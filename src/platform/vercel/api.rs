//! The calls, one file per area of the API; each is one request, with no decision in it.

mod deployments;
mod files;
mod hooks;
mod projects;
mod promotion;
mod variables;

pub(super) use deployments::{Created, ListQuery};
pub(super) use promotion::{Moved, Verb};
