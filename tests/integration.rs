//! The one integration binary: a file per capability.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should say so and stop")]

mod embedded_github;
mod embedded_vercel;
mod journal;
#[path = "support/openapi.rs"]
mod openapi;
