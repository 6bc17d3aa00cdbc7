//! cutover.
pub mod clock;
pub mod id;
