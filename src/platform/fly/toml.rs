//! The user's own `fly.toml`, read whole and changed never.
//!
//! A pure function of the text: [`FlyConfig::parse`], or [`FlyConfig::parse_as`] for one written in JSON or YAML. The old forms that flyctl
//! still accepts are accepted; unknown keys become warnings with a suggestion; faults are collected, each with its place. Bound to what the
//! reference lists of flyctl at commit ad0172f.

mod containers;
mod document;
mod finding;
mod reader;
mod sections;
mod services;
mod tree;
mod validate;
mod values;
mod words;
mod yaml;

pub use containers::{ContainersError, image_container};
pub use document::{
    Build, Deploy, Experimental, FileEntry, FileSource, FlyConfig, MachineConfigSource, Metrics, Mount, Restart, Static, Strategy, Vm,
};
pub use finding::{Finding, FlyTomlError};
pub use services::{Check, CheckKind, Concurrency, HttpService, MachineCheck, Port, Service};
pub use tree::Form;
pub use values::{format_duration, parse_duration, parse_memory_mb, parse_volume_gb};
pub use words::{WordsError, split_words};
