//! The inputs of a manual dispatch: all text, all validated, all faults told at once.

use std::fmt;

use serde_json::Value;

use crate::id::{Name, ReleaseId};

/// The longest reason that is recorded, in characters.
const MAX_REASON: usize = 500;

/// A manual dispatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// The ref it was started on: `refs/heads/main`.
    pub reference: String,
    /// The commit at that ref.
    pub sha: String,
    /// The environment asked for; `None` means the one that belongs to the branch, and for `recover` every one.
    pub environment: Option<Name>,
    /// What is asked for.
    pub action: DispatchAction,
    /// The whole id of the commit to release; `None` means the one at the ref.
    pub commit: Option<String>,
    /// The release whose artifacts are meant; `None` means the usual one.
    pub release: Option<ReleaseId>,
    /// The environment that a promotion takes from.
    pub from: Option<Name>,
    /// Whether what is older than what serves may be released.
    pub older: bool,
    /// Whether to stop before anything is changed.
    pub dry_run: bool,
    /// Why, in the person's words. Foreign text.
    pub reason: Option<String>,
}

/// What a dispatch can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DispatchAction {
    /// A release of a commit, or once more of what an earlier release shipped.
    Release,
    /// A way back to an earlier release.
    Rollback,
    /// A release of what another environment serves.
    Promote,
    /// The end of unfinished releases.
    Recover,
    /// That no release begins.
    Hold,
    /// That releases begin again.
    Unhold,
    /// The removal of previews that no open pull request owns.
    Sweep,
}

impl DispatchAction {
    const ALL: [Self; 7] = [Self::Release, Self::Rollback, Self::Promote, Self::Recover, Self::Hold, Self::Unhold, Self::Sweep];

    /// Returns the action as the input spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Rollback => "rollback",
            Self::Promote => "promote",
            Self::Recover => "recover",
            Self::Hold => "hold",
            Self::Unhold => "unhold",
            Self::Sweep => "sweep",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// Returns whether it releases something.
    pub const fn releases(self) -> bool {
        matches!(self, Self::Release | Self::Rollback | Self::Promote)
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
    let name = "an environment's name from the manifest";
    let environment = optional(inputs, "environment", &mut faults, name, Name::parse);
    let actions = "release, rollback, promote, recover, hold, unhold or sweep";
    let action = optional(inputs, "action", &mut faults, actions, DispatchAction::parse);
    let commit = optional(inputs, "commit", &mut faults, "a whole commit id of 40 hex digits", parse_commit);
    let release = optional(inputs, "release", &mut faults, "a release's id, like r-20260102-030405-abcdef", parse_release);
    let from = optional(inputs, "from", &mut faults, name, Name::parse);
    let older = optional(inputs, "older", &mut faults, "true or false", parse_flag).unwrap_or(false);
    let dry_run = optional(inputs, "dry_run", &mut faults, "true or false", parse_flag).unwrap_or(false);
    let reason = optional(inputs, "reason", &mut faults, "one line of at most 500 characters", parse_reason);
    let action = action.unwrap_or(DispatchAction::Release);
    let dispatch = Dispatch { reference, sha, environment, action, commit, release, from, older, dry_run, reason };
    // Whether inputs fit each other can be told only where each is what it must be.
    if faults.is_empty() {
        faults = dispatch.misfits();
    }
    if faults.is_empty() { Ok(dispatch) } else { Err(faults) }
}

impl Dispatch {
    /// Returns every input that does not fit the action, or another input.
    fn misfits(&self) -> Vec<InputFault> {
        use DispatchAction::{Hold, Promote, Release, Rollback, Sweep, Unhold};
        let mut faults = Vec::new();
        let mut unless = |fits: bool, input: &'static str, given: &str, expected: &'static str| {
            if !fits {
                faults.push(InputFault { input, given: cut(given), expected });
            }
        };
        let action = self.action;
        let text = |name: &Option<Name>| name.as_ref().map(Name::to_string).unwrap_or_default();
        let needs_environment = matches!(action, Promote | Hold | Unhold);
        unless(self.environment.is_some() || !needs_environment, "environment", "", "named for promote, hold and unhold");
        if let Some(commit) = &self.commit {
            unless(action == Release, "commit", commit, "empty unless the action is release");
            unless(self.release.is_none(), "commit", commit, "empty where a release is named");
        }
        if let Some(release) = &self.release {
            unless(matches!(action, Release | Rollback | Promote), "release", release.as_str(), "empty unless something is released");
        }
        match action {
            Promote => {
                unless(self.from.is_some(), "from", "", "the environment that serves it, for promote");
                unless(self.from.is_none() || self.from != self.environment, "from", &text(&self.from), "another environment");
            }
            _ => unless(self.from.is_none(), "from", &text(&self.from), "empty unless the action is promote"),
        }
        unless(!self.older || action == Release, "older", "true", "false unless the action is release");
        unless(!self.dry_run || action.releases() || action == Sweep, "dry_run", "true", "false for recover, hold and unhold");
        unless(self.reason.is_some() || action != Hold, "reason", "", "given for hold: whoever is refused reads it");
        faults
    }
}

fn parse_commit(text: &str) -> Option<String> {
    let whole = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) && text.bytes().any(|byte| byte != b'0');
    whole.then(|| text.to_ascii_lowercase())
}

/// The spellings that GitHub's own toolkit accepts for a boolean.
fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn parse_reason(text: &str) -> Option<String> {
    (text.chars().count() <= MAX_REASON && !text.chars().any(char::is_control)).then(|| text.to_owned())
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
