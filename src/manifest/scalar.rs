//! Texts that mean something: commands, durations, sizes, paths, globs, addresses.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::SignedDuration;

use super::fault::Code;
use super::shape::{ExpectedStatus, Run};

/// Why a text does not mean what it should.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

fn wrong<T>(code: Code, message: impl Into<String>, suggestion: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { code, message: message.into(), suggestion: Some(suggestion.into()) })
}

/// Returns `text` fit to be quoted in a message: on one line, without control characters, not long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

/// Returns how the command `text` is started.
pub(super) fn run(text: &str) -> Run {
    // What a shell does by itself, and no program of that name does.
    const BUILT_IN: [&str; 16] =
        [".", ":", "cd", "eval", "exec", "exit", "export", "if", "for", "set", "shift", "source", "trap", "ulimit", "umask", "while"];
    let shell = text.contains(|letter: char| "|&;<>()$`\\\"'*?[]{}#~!\n".contains(letter));
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let first = words.first().map_or("", String::as_str);
    if shell || first.contains('=') || BUILT_IN.contains(&first) { Run::Shell(text.to_owned()) } else { Run::Words(words) }
}

/// Returns a duration of more than nothing and at most `limit`.
pub(super) fn duration(text: &str, limit: Duration) -> Result<Duration, Wrong> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong(
            Code::BadValue,
            format!("the duration `{}` has no unit", shown(text)),
            format!("write `{}s` for seconds", shown(text)),
        );
    }
    let read = text.parse::<SignedDuration>().ok().and_then(|read| Duration::try_from(read).ok());
    let digit_first = text.starts_with(|letter: char| letter.is_ascii_digit());
    let Some(read) = read.filter(|_| digit_first) else {
        return wrong(Code::BadValue, format!("`{}` is not a duration", shown(text)), "write `500ms`, `60s`, `15m` or `1h 30m`");
    };
    if read.is_zero() || read > limit {
        let most = format!("write a duration of more than nothing and at most {}h", limit.as_secs() / 3600);
        return wrong(Code::OutOfRange, format!("`{}` is beyond the limit", shown(text)), most);
    }
    Ok(read)
}

/// Returns a size in bytes of at least one and at most 1 TiB.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    const MOST: f64 = (1u64 << 40) as f64;
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "B" => Some(1.0),
        "kB" | "KB" => Some(1e3),
        "MB" => Some(1e6),
        "GB" => Some(1e9),
        "KiB" => Some(1024.0),
        "MiB" => Some(1024.0 * 1024.0),
        "GiB" => Some(1024.0 * 1024.0 * 1024.0),
        _ => None,
    };
    let (Some(factor), Ok(number)) = (factor, number.parse::<f64>()) else {
        return wrong(Code::BadValue, format!("`{}` is not a size", shown(text)), "write `300MB`, `300MiB` or `1GB`");
    };
    let bytes = number * factor;
    if !(1.0..=MOST).contains(&bytes) {
        return wrong(Code::OutOfRange, format!("the size `{}` is beyond the limit", shown(text)), "write a size from 1B to 1024GiB");
    }
    Ok(bytes as u64)
}

/// Returns an amount of memory that Fly sells, in MB: a multiple of 256, written with either kind of mega.
pub(super) fn memory(text: &str) -> Result<u32, Wrong> {
    const STEP: u32 = super::shape::PullRequests::LEAST_MEMORY_MB;
    let bytes = size(text)?;
    let in_units = |unit: u64| bytes.is_multiple_of(unit).then_some(bytes / unit);
    let megabytes = in_units(1_000_000).or_else(|| in_units(1 << 20)).and_then(|count| u32::try_from(count).ok());
    let sold = |count: &u32| count.is_multiple_of(STEP) && (STEP..=super::shape::PullRequests::MOST_MEMORY_MB).contains(count);
    match megabytes.filter(sold) {
        Some(megabytes) => Ok(megabytes),
        None => {
            wrong(Code::BadValue, format!("no machine with `{}` is sold", shown(text)), "write 256MB, 512MB, 768MB and so on, up to 2048MB")
        }
    }
}

/// Returns a whole number within `range`.
pub(super) fn number(text: &str, range: &RangeInclusive<u32>) -> Result<u32, Wrong> {
    let limits = format!("write a number from {} to {}", range.start(), range.end());
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong(Code::WrongType, format!("`{}` is not a whole number", shown(text)), limits);
    }
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => wrong(Code::OutOfRange, format!("`{}` is beyond the limit", shown(text)), limits),
    }
}

/// Returns the expected status.
pub(super) fn status(text: &str) -> Result<ExpectedStatus, Wrong> {
    let class = text.strip_suffix("xx").and_then(|class| class.parse::<u8>().ok()).filter(|class| (1..=5).contains(class));
    let exact = text.parse::<u16>().ok().filter(|status| text.len() == 3 && (100..600).contains(status));
    match (class, exact) {
        (Some(class), _) => Ok(ExpectedStatus::Class(class)),
        (_, Some(status)) => Ok(ExpectedStatus::Exactly(status)),
        _ => wrong(
            Code::BadValue,
            format!("`{}` is not an HTTP status", shown(text)),
            "write a status such as `200`, or a class such as `2xx`",
        ),
    }
}

/// Returns whether `text` can name an environment variable.
pub(super) fn is_variable_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Returns a path below the repository's root without `./` and trailing `/`; the root itself is `.`.
pub(super) fn path(text: &str) -> Result<String, Wrong> {
    stays_inside(text)?;
    let kept: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    Ok(if kept.is_empty() { ".".to_owned() } else { kept.join("/") })
}

/// Returns a glob below the repository's root, as written but for a leading `./`.
pub(super) fn glob(text: &str) -> Result<String, Wrong> {
    if text.starts_with('!') {
        return wrong(Code::NegatedGlob, format!("the glob `{}` begins with `!`", shown(text)), "name what is left out in `except`");
    }
    stays_inside(text)?;
    let text = text.strip_prefix("./").unwrap_or(text);
    match ignore::overrides::OverrideBuilder::new(".").add(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        _ => wrong(Code::BadValue, format!("`{}` is not a glob", shown(text)), "close every `[` and `{`, or escape it with `\\`"),
    }
}

fn stays_inside(text: &str) -> Result<(), Wrong> {
    let drive = text.as_bytes().get(1) == Some(&b':');
    if text.starts_with('/') || text.starts_with('~') || drive || text.split(['/', '\\']).any(|part| part == "..") {
        let rule = "write a path below the repository's root";
        return wrong(Code::OutsideRepository, format!("`{}` leaves the repository", shown(text)), rule);
    }
    if text.contains(|letter: char| letter.is_control()) {
        return wrong(Code::BadValue, format!("`{}` is not a path", shown(text)), "take the control characters out");
    }
    Ok(())
}

/// Returns a path of a URL with its query.
pub(super) fn url_path(text: &str) -> Result<String, Wrong> {
    if text.starts_with("http://") || text.starts_with("https://") {
        return wrong(Code::BadValue, "a check asks the target itself, not another host", "write only the path, such as `/health`");
    }
    if !text.starts_with('/') {
        return wrong(Code::BadValue, format!("the path `{}` does not begin with `/`", shown(text)), format!("write `/{}`", shown(text)));
    }
    if text.contains(|letter: char| letter.is_control() || letter == ' ' || letter == '#') {
        return wrong(Code::BadValue, format!("`{}` cannot be asked for", shown(text)), "write spaces and `#` as `%20` and `%23`");
    }
    Ok(text.to_owned())
}

/// Returns a JSON pointer (RFC 6901).
pub(super) fn json_pointer(text: &str) -> Result<String, Wrong> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    let better = text.trim_start_matches(['$', '.']).replace('.', "/");
    wrong(Code::BadValue, format!("`{}` is not a JSON pointer", shown(text)), format!("write `/{}`", shown(&better)))
}

/// Returns a public address without a trailing `/`.
pub(super) fn address(text: &str) -> Result<String, Wrong> {
    let read = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match read {
        Some(url) if url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none() => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        // The text is not repeated: it may hold a password.
        Some(_) => wrong(Code::BadValue, "the address has a user, a query or a fragment", "write only `https://host/path`"),
        None => wrong(Code::BadValue, format!("`{}` is not a public address", shown(text)), "write `https://host` or `https://host/path`"),
    }
}

/// Returns a hostname: at least two labels of lower-case letters, digits and hyphens (RFC 1123), which is Punycode for every other letter.
pub(super) fn hostname(text: &str) -> Result<String, Wrong> {
    if text.len() <= 253 && text.contains('.') && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    wrong(Code::BadValue, format!("`{}` is not a hostname", shown(text)), "write only the name, in lower case: `www.example.com`")
}

/// Returns one label of a hostname.
pub(super) fn label(text: &str) -> Result<String, Wrong> {
    if is_label(text) {
        return Ok(text.to_owned());
    }
    wrong(
        Code::BadValue,
        format!("`{}` is no single label of a hostname", shown(text)),
        "write a-z, 0-9 and `-` alone, without what follows the first dot",
    )
}

fn is_label(label: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    (1..=63).contains(&label.len()) && label.chars().all(plain) && !label.starts_with('-') && !label.ends_with('-')
}

/// Returns the name of a branch.
pub(super) fn branch(text: &str) -> Result<String, Wrong> {
    if let Some(short) = text.strip_prefix("refs/heads/") {
        return wrong(Code::BadValue, format!("`{}` is a ref, not a branch", shown(text)), format!("write `{}`", shown(short)));
    }
    let bad = |letter: char| letter.is_control() || " ~^:?*[\\".contains(letter);
    if text.contains(bad) || text.starts_with(['-', '/']) || text.ends_with(['/', '.']) || text.contains("..") {
        return wrong(
            Code::BadValue,
            format!("`{}` cannot be a branch", shown(text)),
            "write one branch by its whole name; patterns are not read",
        );
    }
    Ok(text.to_owned())
}
