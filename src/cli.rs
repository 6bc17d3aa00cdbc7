//! The command line: what can be typed, and one thin file per command.

mod arguments;
pub mod check;
pub mod schema;

pub use arguments::{Cli, Command, Format};
