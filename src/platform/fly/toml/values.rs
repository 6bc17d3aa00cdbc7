//! Durations and sizes in the forms that `fly.toml` uses.

use std::fmt::Write as _;
use std::time::Duration;

/// Reads a duration in Go's form: `10s`, `1m30s`, `2.5s`, `500ms`; `None` for anything else, negative ones included.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..letters] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[letters..];
        any = true;
    }
    // Whole microseconds: binary fractions must not show.
    let micros = (seconds * 1e6).round();
    (any && micros < 1e15).then(|| Duration::from_micros(micros as u64))
}

/// Writes a duration as Go does: `1m30s`, `500ms`, `1h0m0s`; what the Machines API is sent.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fraction = |value: f64| {
        let text = format!("{value:.9}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000 {
        return format!("{nanos}ns");
    }
    if nanos < 1_000_000 {
        return format!("{}µs", fraction(nanos as f64 / 1e3));
    }
    if nanos < 1_000_000_000 {
        return format!("{}ms", fraction(nanos as f64 / 1e6));
    }
    let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
    let seconds = fraction(duration.as_secs_f64() - (hours * 3600 + minutes * 60) as f64);
    let mut text = String::new();
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    text + &seconds + "s"
}

/// Reads a memory size in MB: a bare number is MB, units are multiples of 1024 (`"8gb"` is 8192).
pub fn parse_memory_mb(text: &str) -> Option<u32> {
    let bytes = parse_size(text, 1024.0, 1024.0 * 1024.0)?;
    u32::try_from((bytes / (1024.0 * 1024.0)) as u64).ok()
}

/// Reads a volume size in GB: a bare number is GB, units are multiples of 1000 (`"20Mb"` is 0).
pub fn parse_volume_gb(text: &str) -> Option<u32> {
    let bytes = parse_size(text, 1000.0, 1e9)?;
    u32::try_from((bytes / 1e9) as u64).ok()
}

fn parse_size(text: &str, base: f64, bare: f64) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim();
    if unit.is_empty() {
        return Some(number * bare);
    }
    let mut letters = unit.chars();
    let power = "bkmgtp".find(letters.next()?)?;
    match (power, letters.as_str()) {
        (0, "") | (1.., "" | "b" | "i" | "ib") => Some(number * base.powi(i32::try_from(power).ok()?)),
        _ => None,
    }
}
