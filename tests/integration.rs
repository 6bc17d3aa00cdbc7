//! The one integration binary: a file per capability.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should say so and stop")]

mod action;
mod census;
mod checks;
mod drift;
mod embedded_fly;
mod embedded_github;
mod embedded_vercel;
mod faults;
mod fixtures;
mod fly;
mod fly_strategies;
mod fly_toml;
mod fly_toml_cases;
mod fly_toml_cost;
mod gates;
mod github;
mod graph;
mod image;
mod journal;
mod lock;
mod manifest;
mod mask;
mod network;
mod openapi;
mod people;
mod promotion;
mod ref_store;
mod ref_store_strangers;
mod rehearse;
mod release;
mod report;
mod support;
mod takeover;
mod trigger;
mod vercel;
