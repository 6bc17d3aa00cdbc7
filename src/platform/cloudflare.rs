//! Cloudflare, by its API and without Node.
//!
//! | file | concept |
//! |---|---|
//! | [`endpoints`] | where the API is |
//! | `client`, `envelope` | how a call leaves, in whose name, and what its answer means |
//! | [`pages`] | a project on Pages, as a target |
//!
//! Source of every protocol fact: the Cloudflare reference by its sections, the published OpenAPI document, the vendor's client.

mod client;
pub mod endpoints;
mod envelope;
pub mod pages;

pub use self::endpoints::CloudflareEndpoints;
