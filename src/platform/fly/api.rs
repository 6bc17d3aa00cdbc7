//! Fly's APIs, one file per area: typed requests, typed answers, nothing decided here.

mod apps;
mod leases;
mod machines;
mod records;
mod secrets;
mod volumes;
mod waiting;

pub(super) use waiting::Waited;
