//! cutover moves every platform that a product lives on to a new release together, or back together.

pub mod clock;
pub mod event;
pub mod graph;
pub mod http;
pub mod id;
pub mod manifest;
pub mod platform;
pub mod shutdown;
