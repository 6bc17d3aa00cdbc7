//! The manifest, `cutover.yml`: what it says, and everything that is wrong with it.
//!
//! [`load`] reads it in four steps, each a file: `tree` (YAML with places), `reader` and `parts` (from the tree to values), `whole` (what only
//! the whole can show), `files` (what the repository has). What comes out is [`Manifest`], in which everything is settled, or [`Faults`], all of
//! them. `diagnostics` shows them; `schema` describes the written form for editors, from the same tables of keys that the reader obeys.

pub mod diagnostics;
mod fault;
mod files;
mod keys;
mod load;
mod parts;
mod reader;
mod scalar;
pub mod schema;
mod shape;
mod tree;
mod whole;

pub use fault::{Code, Fault, Faults, Source};
pub use load::{FILE_NAME, Loaded, MAX_BYTES, load, parse};
pub use shape::*;
