//! cutover moves every platform that a product lives on to a new release together, or back together.

pub mod clock;
pub mod event;
pub mod exit;
pub mod http;
pub mod id;
pub mod mask;
pub mod platform;
pub mod process;
pub mod shutdown;
