//! The inputs of a manual dispatch: all text, all validated, all faults told at once.

use std::fmt;

use serde_json::Value;

use crate::id::{Name, ReleaseId};

/// A manual dispatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// The ref it was started on: `refs/heads/main`.
    pub reference: String,
    /// The commit at that ref.
    pub sha: String,
    /// The environment asked for; `None` means the one that belongs to the branch.
    pub environment: Option<Name>,
    /// What is asked for.
    pub action: DispatchAction,
    /// The release to go back to; `None` means the one before.
    pub release: Option<ReleaseId>,
    /// Whether to plan only.
    pub dry_run: bool,
}

/// What a dispatch can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DispatchAction {
    /// A release of the commit.
    Release,
    /// A way back to an earlier release.
    Rollback,
}

impl DispatchAction {
    /// Returns the action as the input spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Rollback => "rollback",
        }
    }
}

/// An input that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFault {
    /// The input.
    pub input: &'static str,
    /// What was given, cut to 60 characters.
    pub given: String,
    /// What it must be.
    pub expected: &'static str,
}

impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the input {} is {:?}; it must be {}", self.input, self.given, self.expected)
    }
}

/// Reads the inputs; an empty text is the same as none, because GitHub sends it for what was left open.
pub(super) fn parse(inputs: &Value, reference: String, sha: String) -> Result<Dispatch, Vec<InputFault>> {
    let mut faults = Vec::new();
    let environment = optional(inputs, "environment", &mut faults, "an environment's name from the manifest", Name::parse);
    let action = optional(inputs, "action", &mut faults, "release or rollback", |text| match text {
        "release" => Some(DispatchAction::Release),
        "rollback" => Some(DispatchAction::Rollback),
        _ => None,
    });
    let release = optional(inputs, "release", &mut faults, "a release's id, like r-20260102-030405-abcdef", parse_release);
    // The spellings that GitHub's own toolkit accepts for a boolean.
    let dry_run = optional(inputs, "dry_run", &mut faults, "true or false", |text| match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    });
    let action = action.unwrap_or(DispatchAction::Release);
    if let (DispatchAction::Release, Some(release)) = (action, &release) {
        faults.push(InputFault { input: "release", given: cut(release.as_str()), expected: "empty unless the action is rollback" });
    }
    if faults.is_empty() {
        Ok(Dispatch { reference, sha, environment, action, release, dry_run: dry_run.unwrap_or(false) })
    } else {
        Err(faults)
    }
}

fn optional<T>(
    inputs: &Value,
    input: &'static str,
    faults: &mut Vec<InputFault>,
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let given = match inputs.get(input) {
        None | Some(Value::Null) => return None,
        Some(Value::String(text)) => text.trim().to_owned(),
        // GitHub sends text only; a payload made by hand may hold a real boolean.
        Some(Value::Bool(value)) => value.to_string(),
        Some(other) => other.to_string(),
    };
    if given.is_empty() {
        return None;
    }
    let read = read(&given);
    if read.is_none() {
        faults.push(InputFault { input, given: cut(&given), expected });
    }
    read
}

fn parse_release(text: &str) -> Option<ReleaseId> {
    let mut parts = text.split('-');
    let (letter, date, time, word) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let chance = word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte));
    (letter == "r" && digits(date, 8) && digits(time, 6) && chance && parts.next().is_none()).then(|| ReleaseId::from_text(text))
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}
