//! What several capabilities' tests share.

pub(crate) mod openapi;
pub(crate) mod product;
pub(crate) mod records;
pub(crate) mod wire;
