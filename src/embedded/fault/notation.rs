//! A rule as one line of text: `fly.create_machine[api]#2: effect=late(20s) answer=lost times=3`.
//!
//! Effects: `none`, `once`, `late(DURATION)`, `twice`, `partial`. Answers: `true`, `lost`, `html`, `truncated`, `slow(DURATION)`, `unknown`,
//! `stale`, `done`, a status such as `503` or `429(retry-after=7)`, and `status(JSON)` for one with a body or headers of its own. Times: a number,
//! or `forever`; once where it is missing. Durations are whole `ms`, `s` or `m`. What is printed parses back to an equal rule.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Answer, Effect, Rule, Times};
use crate::embedded::tape::boundary_base;

/// What is wrong with the text of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There is no boundary before a colon, or it is not one.
    #[error("a rule begins with a boundary and a colon, such as `fly.create_machine[api]#2:`")]
    Boundary,
    /// A field is none of `effect`, `answer`, `times`, or is there twice.
    #[error("`{0}` is none of the fields effect, answer and times, or stands there twice")]
    Field(String),
    /// A field's value is not one of its values.
    #[error("`{field}` cannot be `{value}`")]
    Value {
        /// The field.
        field: &'static str,
        /// What stands there.
        value: String,
    },
}

/// A status with a body or headers of its own.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    code: u16,
    #[serde(default)]
    body: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&boundary_base(&self.platform, &self.operation, self.target.as_deref()))?;
        if let Some(nth) = self.ordinal {
            write!(f, "#{nth}")?;
        }
        write!(f, ": effect={} answer={}", self.effect, self.answer)?;
        match self.times {
            Times::Once => Ok(()),
            Times::Exactly(count) => write!(f, " times={count}"),
            Times::Forever => f.write_str(" times=forever"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Once => f.write_str("once"),
            Self::Late(after) => write!(f, "late({})", Span(*after)),
            Self::Twice => f.write_str("twice"),
            Self::Partial => f.write_str("partial"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::True => f.write_str("true"),
            Self::Lost => f.write_str("lost"),
            Self::Html => f.write_str("html"),
            Self::Truncated => f.write_str("truncated"),
            Self::Slow(by) => write!(f, "slow({})", Span(*by)),
            Self::Unknown => f.write_str("unknown"),
            Self::Stale => f.write_str("stale"),
            Self::DoneWhenNot => f.write_str("done"),
            Self::Status { code, body, headers } => {
                if *self == Rule::status(*code, None) {
                    return write!(f, "{code}");
                }
                let seconds = headers.first().and_then(|(_, value)| value.parse().ok());
                if *self == Rule::status(*code, seconds) {
                    return write!(f, "{code}(retry-after={})", seconds.unwrap_or_default());
                }
                let told = Told { code: *code, body: body.clone(), headers: headers.clone() };
                write!(f, "status({})", serde_json::to_string(&told).map_err(|_| fmt::Error)?)
            }
        }
    }
}

/// A duration in its largest whole unit.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms.is_multiple_of(1000) { write!(f, "{}s", ms / 1000) } else { write!(f, "{ms}ms") }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        // The first colon with a space behind it: a target may hold a colon.
        let (boundary, fields) =
            text.split_once(": ").or_else(|| text.strip_suffix(':').map(|boundary| (boundary, ""))).ok_or(RuleError::Boundary)?;
        let mut rule = Self::at(boundary.trim(), Effect::Once, Answer::True).ok_or(RuleError::Boundary)?;
        let mut seen = Vec::new();
        for field in fields_of(fields) {
            let (name, value) = field.split_once('=').ok_or_else(|| RuleError::Field(field.to_owned()))?;
            if seen.contains(&name) {
                return Err(RuleError::Field(name.to_owned()));
            }
            seen.push(name);
            match name {
                "effect" => rule.effect = value.parse()?,
                "answer" => rule.answer = value.parse()?,
                "times" => rule.times = value.parse()?,
                other => return Err(RuleError::Field(other.to_owned())),
            }
        }
        Ok(rule)
    }
}

/// Splits at spaces outside parentheses and quotes.
fn fields_of(text: &str) -> Vec<&str> {
    let (mut fields, mut from, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if depth > 0 => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => {
                fields.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&text[from..]);
    fields.retain(|field| !field.is_empty());
    fields
}

/// Splits `word(inside)`; what has no parentheses has nothing inside.
fn call(text: &str) -> Option<(&str, Option<&str>)> {
    match text.split_once('(') {
        None => Some((text, None)),
        Some((word, rest)) => Some((word, Some(rest.strip_suffix(')')?))),
    }
}

fn span(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

impl FromStr for Effect {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let read = match call(text) {
            Some(("none", None)) => Some(Self::None),
            Some(("once", None)) => Some(Self::Once),
            Some(("twice", None)) => Some(Self::Twice),
            Some(("partial", None)) => Some(Self::Partial),
            Some(("late", Some(after))) => span(after).map(Self::Late),
            _ => None,
        };
        read.ok_or_else(|| RuleError::Value { field: "effect", value: text.to_owned() })
    }
}

impl FromStr for Answer {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let status = |code: &str, retry_after| {
            code.parse().ok().filter(|code| (100..600).contains(code)).map(|code| Rule::status(code, retry_after))
        };
        let read = match call(text) {
            Some(("true", None)) => Some(Self::True),
            Some(("lost", None)) => Some(Self::Lost),
            Some(("html", None)) => Some(Self::Html),
            Some(("truncated", None)) => Some(Self::Truncated),
            Some(("unknown", None)) => Some(Self::Unknown),
            Some(("stale", None)) => Some(Self::Stale),
            Some(("done", None)) => Some(Self::DoneWhenNot),
            Some(("slow", Some(by))) => span(by).map(Self::Slow),
            Some(("status", Some(told))) => {
                serde_json::from_str::<Told>(told).ok().map(|Told { code, body, headers }| Self::Status { code, body, headers })
            }
            Some((code, None)) => status(code, None),
            Some((code, Some(inside))) => {
                inside.strip_prefix("retry-after=").and_then(|seconds| seconds.parse().ok()).and_then(|seconds| status(code, Some(seconds)))
            }
            None => None,
        };
        read.ok_or_else(|| RuleError::Value { field: "answer", value: text.to_owned() })
    }
}

impl FromStr for Times {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let read = match text {
            "once" => Some(Self::Once),
            "forever" => Some(Self::Forever),
            count => count.parse().ok().filter(|count| *count > 0).map(Self::Exactly),
        };
        read.ok_or_else(|| RuleError::Value { field: "times", value: text.to_owned() })
    }
}
