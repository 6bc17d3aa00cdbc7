//! Fly's APIs, one file per area: typed requests, typed answers, nothing decided here.

mod apps;
mod leases;
mod machines;
mod records;
mod secrets;
mod snapshots;
mod volumes;
mod waiting;

pub(super) use snapshots::{VolumeSnapshot, of as snapshot_of};
pub(super) use waiting::Waited;
