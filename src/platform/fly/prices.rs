//! What Fly charges: the one dated table. Change the numbers and [`AS_OF`] together.
//!
//! Source: Fly's documentation as of August 2026 and the formula of Fly's published calculator (2024-10), which gives every figure that the
//! documentation quotes: a machine's month is (vCPUs × [`SHARED_CPU`] or [`PERFORMANCE_CPU`] + GB of memory × [`MEMORY_GB`]) × the region's
//! [`markup`]. The table behind <https://fly.io/docs/about/pricing/> is made when the page is shown, and is not in any file of Fly's.
//! Everything is in US dollars and for 30 days of running all the time; no tax, no reservation, no traffic.

/// The month of the prices.
pub const AS_OF: &str = "2026-08";

/// A shared vCPU.
pub const SHARED_CPU: f64 = 0.695;

/// A performance vCPU.
pub const PERFORMANCE_CPU: f64 = 21.0;

/// A GB of memory.
pub const MEMORY_GB: f64 = 5.0;

/// A GB of a volume, whether it is attached or not.
pub const VOLUME_GB: f64 = 0.15;

/// A GB of the root file system of a machine that is stopped or suspended.
pub const STOPPED_ROOTFS_GB: f64 = 0.15;

/// An IPv4 address of the app's own; shared ones and IPv6 are free.
pub const DEDICATED_IPV4: f64 = 2.0;

/// What machines cost in each region, as a multiple of what they cost in Ashburn. Some of these regions have closed since.
const MARKUPS: [(&str, f64); 35] = [
    ("iad", 1.0),
    ("ewr", 1.0),
    ("ams", 1.0385),
    ("arn", 1.0385),
    ("bom", 1.0769),
    ("mad", 1.0962),
    ("yul", 1.1154),
    ("yyz", 1.1154),
    ("lhr", 1.1346),
    ("cdg", 1.1346),
    ("fra", 1.1538),
    ("sjc", 1.1923),
    ("lax", 1.1995),
    ("ord", 1.25),
    ("dfw", 1.25),
    ("atl", 1.25),
    ("bos", 1.25),
    ("den", 1.25),
    ("mia", 1.25),
    ("phx", 1.25),
    ("sea", 1.25),
    ("sin", 1.2692),
    ("syd", 1.2692),
    ("jnb", 1.3029),
    ("nrt", 1.3077),
    ("otp", 1.3269),
    ("waw", 1.3269),
    ("gdl", 1.351),
    ("qro", 1.351),
    ("hkg", 1.4038),
    ("bog", 1.6154),
    ("gig", 1.6154),
    ("gru", 1.6154),
    ("scl", 1.6971),
    ("eze", 1.8582),
];

/// Returns the multiple of a region; `None` for one whose price is not known.
pub fn markup(region: &str) -> Option<f64> {
    MARKUPS.iter().find(|(code, _)| *code == region).map(|(_, markup)| *markup)
}
