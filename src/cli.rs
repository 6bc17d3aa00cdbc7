//! The command line: what can be typed, and one thin file per command.

mod arguments;

pub use arguments::{Cli, Command, Format};
