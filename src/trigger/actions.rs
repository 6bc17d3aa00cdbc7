//! Reads the trigger from what GitHub's runner says: its variables and the event's payload.
//!
//! Facts: <https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows> and
//! <https://docs.github.com/actions/reference/workflows-and-actions/variables>.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ActionsRun, PullRequest, Push, Source, Trigger, TriggerError, inputs};

/// The largest payload that is read, in bytes; GitHub caps webhook payloads at 25 MB.
const MAX_EVENT_BYTES: u64 = 32 * 1024 * 1024;

/// Returns whether this process runs in GitHub Actions.
pub fn is_actions(variables: &BTreeMap<String, String>) -> bool {
    variables.get("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// Reads the event's payload from the file that `GITHUB_EVENT_PATH` names.
pub fn read_event(variables: &BTreeMap<String, String>) -> Result<Value, TriggerError> {
    let path = text(variables, "GITHUB_EVENT_PATH")?;
    let unreadable = |reason: String| TriggerError::Unreadable { path: path.to_owned(), reason };
    let length = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if length > MAX_EVENT_BYTES {
        return Err(unreadable(format!("it is larger than {MAX_EVENT_BYTES} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))
}

impl Trigger {
    /// Returns what started a run of GitHub Actions, from its variables and the payload of its event.
    pub fn from_actions(variables: &BTreeMap<String, String>, event: &Value) -> Result<Self, TriggerError> {
        let name = text(variables, "GITHUB_EVENT_NAME")?;
        let source = match name {
            "push" => push(variables, event)?,
            "pull_request" => pull_request(variables, event)?,
            "workflow_dispatch" => {
                let reference = text(variables, "GITHUB_REF")?.to_owned();
                let given = event.get("inputs").unwrap_or(&Value::Null);
                Source::Dispatch(inputs::parse(given, reference, sha(variables)?).map_err(TriggerError::Inputs)?)
            }
            "merge_group" => {
                let head = event.pointer("/merge_group/head_sha").and_then(Value::as_str).filter(|sha| is_sha(sha));
                Source::MergeGroup { sha: head.map_or_else(|| sha(variables), |head| Ok(head.to_owned()))? }
            }
            "schedule" => Source::Schedule { sha: sha(variables)? },
            "workflow_run" => workflow_run(variables, event)?,
            "pull_request_target" => {
                return Err(TriggerError::Refused {
                    event: name.to_owned(),
                    because: "it runs with this repository's secrets for whoever opens a pull request; use pull_request".to_owned(),
                });
            }
            other => return Err(TriggerError::UnknownEvent { event: other.chars().take(60).collect() }),
        };
        Ok(Self { source, run: Some(run(variables)?) })
    }
}

pub(super) fn run(variables: &BTreeMap<String, String>) -> Result<ActionsRun, TriggerError> {
    let repository = text(variables, "GITHUB_REPOSITORY")?;
    if !is_repository(repository) {
        return Err(TriggerError::Environment { variable: "GITHUB_REPOSITORY" });
    }
    let id = number(variables, "GITHUB_RUN_ID")?;
    let attempt = variables.get("GITHUB_RUN_ATTEMPT").and_then(|text| text.parse().ok()).unwrap_or(1);
    let server = variables.get("GITHUB_SERVER_URL").map_or("https://github.com", String::as_str).trim_end_matches('/');
    let optional = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
    Ok(ActionsRun {
        repository: repository.to_owned(),
        id,
        attempt,
        job: optional("GITHUB_JOB"),
        actor: optional("GITHUB_TRIGGERING_ACTOR").or_else(|| optional("GITHUB_ACTOR")),
        url: format!("{server}/{repository}/actions/runs/{id}/attempts/{attempt}"),
    })
}

fn push(variables: &BTreeMap<String, String>, event: &Value) -> Result<Source, TriggerError> {
    let flag = |name: &str| event.get(name).and_then(Value::as_bool).unwrap_or(false);
    let before = event.get("before").and_then(Value::as_str);
    let deleted = flag("deleted");
    // The runner names the default branch's ref after a deletion; what was deleted stands in the payload only.
    let payload = event.get("ref").and_then(Value::as_str).filter(|_| deleted);
    let reference = payload.map_or_else(|| text(variables, "GITHUB_REF"), Ok)?.to_owned();
    Ok(Source::Push(Push {
        reference,
        sha: sha(variables)?,
        before: before.filter(|sha| is_sha(sha) && sha.bytes().any(|byte| byte != b'0')).map(str::to_owned),
        deleted,
        forced: flag("forced"),
    }))
}

fn pull_request(variables: &BTreeMap<String, String>, event: &Value) -> Result<Source, TriggerError> {
    let missing = |field| TriggerError::Payload { event: "pull_request".to_owned(), field };
    let string = |pointer: &'static str| event.pointer(pointer).and_then(Value::as_str).ok_or_else(|| missing(pointer));
    let number = event.pointer("/pull_request/number").or_else(|| event.get("number")).and_then(Value::as_u64);
    let head_sha = string("/pull_request/head/sha").ok().filter(|sha| is_sha(sha)).ok_or_else(|| missing("/pull_request/head/sha"))?;
    let id = |side: &str| event.pointer(&format!("/pull_request/{side}/repo/id")).and_then(Value::as_u64);
    Ok(Source::PullRequest(Box::new(PullRequest {
        number: number.ok_or_else(|| missing("/pull_request/number"))?,
        action: string("/action").unwrap_or("opened").to_owned(),
        head_sha: head_sha.to_owned(),
        head_ref: string("/pull_request/head/ref")?.to_owned(),
        head_repository: string("/pull_request/head/repo/full_name").ok().map(str::to_owned),
        base_ref: string("/pull_request/base/ref")?.to_owned(),
        // The flag `head.repo.fork` says something else: that the repository as a whole is a fork. A deleted fork has no repository at all.
        is_fork: id("head").is_none() || id("head") != id("base"),
        merge_sha: sha(variables)?,
    })))
}

fn workflow_run(variables: &BTreeMap<String, String>, event: &Value) -> Result<Source, TriggerError> {
    let head = event.pointer("/workflow_run/head_repository/id").and_then(Value::as_u64);
    let base = event.pointer("/repository/id").and_then(Value::as_u64);
    if head.is_none() || head != base {
        return Err(TriggerError::Refused {
            event: "workflow_run".to_owned(),
            because: "the other run belongs to a fork, whose code must not run with this repository's rights".to_owned(),
        });
    }
    let run_id = event.pointer("/workflow_run/id").and_then(Value::as_u64);
    let run_id = run_id.ok_or_else(|| TriggerError::Payload { event: "workflow_run".to_owned(), field: "/workflow_run/id" })?;
    Ok(Source::WorkflowRun { sha: sha(variables)?, run_id })
}

pub(super) fn text<'a>(variables: &'a BTreeMap<String, String>, variable: &'static str) -> Result<&'a str, TriggerError> {
    variables.get(variable).map(String::as_str).filter(|value| !value.is_empty()).ok_or(TriggerError::Environment { variable })
}

fn number(variables: &BTreeMap<String, String>, variable: &'static str) -> Result<u64, TriggerError> {
    text(variables, variable)?.parse().map_err(|_| TriggerError::Environment { variable })
}

pub(super) fn sha(variables: &BTreeMap<String, String>) -> Result<String, TriggerError> {
    let sha = text(variables, "GITHUB_SHA")?;
    if is_sha(sha) { Ok(sha.to_owned()) } else { Err(TriggerError::Environment { variable: "GITHUB_SHA" }) }
}

/// Whether a text is a whole commit id, of SHA-1 or SHA-256.
fn is_sha(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Whether a text is `owner/name` in the characters that GitHub allows, so that it can stand in a path.
fn is_repository(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}
