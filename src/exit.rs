//! Exit codes: public API, one sentence each.
//!
//! A script may decide by them; what serves now is always in the receipt and in the last line as well.

/// The release is done, everything was carried, or a newer commit took its place.
pub const DONE: u8 = 0;

/// A gate failed; nothing was touched.
pub const GATE_FAILED: u8 = 1;

/// The command line or the manifest is wrong; nothing was touched.
pub const USAGE: u8 = 2;

/// The release failed and every target serves what it served before.
pub const ROLLED_BACK: u8 = 3;

/// A platform would not go back, or nobody can know what it serves: a person is needed.
pub const STUCK: u8 = 4;

/// Preflight failed or the environment is held; nothing was touched.
pub const PREFLIGHT_FAILED: u8 = 5;

/// A preview does not show the commit on every target, or not everything could be swept; no environment was touched.
pub const PREVIEW_FAILED: u8 = 6;

/// The run was cancelled; the number is the shell's for SIGINT.
pub const CANCELLED: u8 = 130;
