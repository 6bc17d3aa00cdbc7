//! Everything that is told, rendered from the one stream of events.
//!
//! A [`Sink`] reads events as they come: the terminal, the log of Actions, the JSON stream. A [`Report`] is the fold of all of them into one
//! value, from which the summary, the comment, the HTML page, the receipt and the action's outputs are rendered. Rendering is pure: values
//! in, text out, tested by snapshots with fixed times. Nothing here can fail a run.
//!
//! All text passes the masker once, when an event enters [`Sinks`], before any escaping changes its form, and once more where it leaves for GitHub. What comes from strangers
//! (branch names, titles, names of tests, lines of logs) becomes Markdown in [`markdown`], HTML in [`html`] and log lines in
//! [`terminal`] and [`actions`] only through the functions there that keep it text.

pub mod actions;
pub mod checks;
pub mod comment;
pub mod ending;
pub mod github;
pub mod html;
mod images;
mod jobs;
pub mod json;
pub mod markdown;
mod masked;
mod merge;
pub mod model;
pub mod outputs;
mod plain;
pub mod previewed;
mod progress;
pub mod receipt;
pub mod relay;
mod sections;
mod sink;
mod story;
pub mod summary;
pub mod terminal;
mod timeline;
mod words;

pub use ending::Ending;
pub use github::{GitHubReporter, RunContext};
pub use model::Report;
pub(crate) use plain::plain;
pub use receipt::Receipt;
pub use sink::{Sink, Sinks, Tally};
