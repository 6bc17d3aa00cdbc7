//! The manifest, `cutover.yml`: what it says, and everything that is wrong with it.

mod shape;

pub use shape::*;
