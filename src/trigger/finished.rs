//! The end (or the beginning) of another workflow's run, heard for one purpose: to report it. Forks' runs are heard here and nowhere else.
//!
//! A `workflow_run` event runs with this repository's rights whoever caused it (<https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows#workflow_run>).
//! So nothing is taken from it but two numbers; everything else about the run is asked of the API.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Source, Trigger, TriggerError, actions};

/// Another workflow's run, as its event names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardRun {
    /// Its id.
    pub id: u64,
    /// Its attempt, from 1.
    pub attempt: u32,
    /// Whether it has ended; otherwise it was only asked for, or has begun.
    pub completed: bool,
}

impl Trigger {
    /// Returns the trigger of a run that another workflow's run started, and that run; a fork's too. Whoever asks for it may report, and nothing
    /// else: what a fork has made must neither be run nor believed.
    pub fn to_report(variables: &BTreeMap<String, String>, event: &Value) -> Result<(Self, HeardRun), TriggerError> {
        let name = actions::text(variables, "GITHUB_EVENT_NAME")?;
        if name != "workflow_run" {
            let because = "the report of another workflow's run is made on workflow_run only".to_owned();
            return Err(TriggerError::Refused { event: name.chars().take(60).collect(), because });
        }
        let missing = |field| TriggerError::Payload { event: name.to_owned(), field };
        let number = |pointer: &'static str| event.pointer(pointer).and_then(Value::as_u64).ok_or_else(|| missing(pointer));
        let id = number("/workflow_run/id")?;
        let attempt = number("/workflow_run/run_attempt")?;
        let attempt = u32::try_from(attempt).map_err(|_| missing("/workflow_run/run_attempt"))?;
        let completed = event.get("action").and_then(Value::as_str) == Some("completed");
        let source = Source::WorkflowRun { sha: actions::sha(variables)?, run_id: id };
        Ok((Self { source, run: Some(actions::run(variables)?) }, HeardRun { id, attempt, completed }))
    }
}
