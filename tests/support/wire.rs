//! The product's wire over an embedded world called in process: no sockets, one clock.

pub(crate) use cutover::embedded::in_process::InProcess;
