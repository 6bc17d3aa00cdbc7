//! What several capabilities' tests share.

pub mod openapi;
pub mod wire;
