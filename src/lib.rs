//! cutover.
pub mod clock;
pub mod embedded;
pub mod id;
