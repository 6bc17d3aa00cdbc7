//! cutover moves every platform that a product lives on to a new release together, or back together.

pub mod cli;
pub mod clock;
pub mod embedded;
pub mod event;
pub mod exit;
pub mod gate;
pub mod github;
pub mod graph;
pub mod http;
pub mod id;
pub mod image;
pub mod manifest;
pub mod mask;
pub mod platform;
pub mod process;
pub mod release;
pub mod report;
pub mod settings;
pub mod shutdown;
pub mod trigger;
