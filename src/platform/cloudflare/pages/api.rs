//! The calls, one file per area of the API; each is one request, with no decision in it.

mod assets;
mod deployments;
mod projects;

pub(in crate::platform::cloudflare) use deployments::Form;
