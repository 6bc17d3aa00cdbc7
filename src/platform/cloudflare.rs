//! Cloudflare, by its API and without Node.
//!
//! | file | concept |
//! |---|---|
//! | [`endpoints`] | where the API is |
//! | `client`, `envelope` | how a call leaves, in whose name, and what its answer means |
//! | [`pages`] | a project on Pages, as a target |
//! | [`workers`] | a worker that serves static assets, as a target |
//! | [`dns`] | hostnames that have Cloudflare as their DNS, and its cache |
//!
//! Source of every protocol fact: the Cloudflare reference by its sections, the published OpenAPI document, the vendor's client.

mod client;
pub mod dns;
pub mod endpoints;
mod envelope;
pub mod pages;
pub mod workers;

pub use self::endpoints::CloudflareEndpoints;
