//! What several capabilities' tests share.

pub(crate) mod bare;
pub(crate) mod bench;
pub(crate) mod binary;
pub(crate) mod fly_app;
pub(crate) mod forge;
pub(crate) mod openapi;
pub(crate) mod product;
pub(crate) mod records;
pub(crate) mod shelf;
pub(crate) mod wire;
