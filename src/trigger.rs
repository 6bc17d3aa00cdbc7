//! What started this run: a push, a pull request, a dispatch, a schedule, another workflow, or a person.
//!
//! Everything here comes from outside and some of it from strangers: branch names, titles and inputs stay data, are never given to a shell,
//! and are escaped by whoever shows them. Which environment may be released is decided by the ref that the runner itself names
//! (`GITHUB_REF`), never by a name in the event's payload.

mod actions;
mod finished;
pub mod git;
mod inputs;

use std::fmt;

pub use actions::{is_actions, read_event};
pub use finished::HeardRun;
pub use git::Checkout;
pub use inputs::{Dispatch, DispatchAction, InputFault};

/// The commit of a run without git: forty zeros, as git itself writes "none".
pub const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// What started a run, and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// What started it.
    pub source: Source,
    /// The workflow run that it is part of; `None` outside Actions.
    pub run: Option<ActionsRun>,
}

/// What started a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Commits or a tag were pushed, or a ref was deleted.
    Push(Push),
    /// A pull request was opened, updated or closed.
    PullRequest(Box<PullRequest>),
    /// Somebody pressed "Run workflow", or asked for it by API.
    Dispatch(Dispatch),
    /// The merge queue wants a group checked.
    MergeGroup {
        /// The group's head commit.
        sha: String,
    },
    /// The clock.
    Schedule {
        /// The default branch's tip.
        sha: String,
    },
    /// Another workflow completed.
    WorkflowRun {
        /// The default branch's tip.
        sha: String,
        /// The other run's id.
        run_id: u64,
    },
    /// A person at a terminal.
    Person(Checkout),
}

/// A push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The whole ref: `refs/heads/main`.
    pub reference: String,
    /// The commit that the ref points to now.
    pub sha: String,
    /// The commit before; `None` for a new branch.
    pub before: Option<String>,
    /// Whether the ref was deleted.
    pub deleted: bool,
    /// Whether history was rewritten, so that `before` need not be an ancestor.
    pub forced: bool,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// What happened to it: `opened`, `synchronize`, `closed`, ...
    pub action: String,
    /// Its last commit: what statuses, checks and deployments are reported on.
    pub head_sha: String,
    /// Its branch, chosen by its author.
    pub head_ref: String,
    /// `owner/name` of the repository it comes from; `None` when that fork was deleted.
    pub head_repository: Option<String>,
    /// The branch it asks to be merged into.
    pub base_ref: String,
    /// Whether it comes from another repository.
    pub is_fork: bool,
    /// The merge of both sides: what is tested.
    pub merge_sha: String,
}

/// The workflow run of GitHub Actions that this process is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionsRun {
    /// `owner/name` of the repository.
    pub repository: String,
    /// The run's id; the same for all its attempts, and larger for later runs.
    pub id: u64,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The id of the job; all legs of a matrix share it.
    pub job: Option<String>,
    /// Who started this attempt.
    pub actor: Option<String>,
    /// The attempt's page.
    pub url: String,
}

/// What a run may do because of what started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// Gates, and a release of the environments of this branch.
    Release {
        /// The branch of the base repository.
        branch: String,
    },
    /// Gates and nothing else.
    GatesOnly {
        /// Why, for the reader.
        because: String,
    },
    /// Nothing.
    Nothing {
        /// Why, for the reader.
        because: String,
    },
    /// Whatever the person asks for.
    AsAsked,
}

/// Why a run cannot begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TriggerError {
    /// The event must not make cutover run a stranger's code with this repository's rights.
    #[error("{event} is refused: {because}")]
    Refused {
        /// The event's name.
        event: String,
        /// Why, and what to use instead.
        because: String,
    },
    /// An event that cutover does not know.
    #[error(
        "the event {event} starts nothing that cutover knows; it knows push, pull_request, workflow_dispatch, merge_group, schedule and workflow_run"
    )]
    UnknownEvent {
        /// Its name.
        event: String,
    },
    /// The runner did not say what it always says.
    #[error("{variable} is not set or not usable; outside GitHub Actions, leave GITHUB_ACTIONS unset")]
    Environment {
        /// The variable.
        variable: &'static str,
    },
    /// The event's payload lacks what is needed.
    #[error("the payload of {event} has no usable {field}")]
    Payload {
        /// The event's name.
        event: String,
        /// The field, by its path.
        field: &'static str,
    },
    /// The payload could not be read.
    #[error("the event's payload could not be read from {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The inputs of a dispatch are not valid; all faults at once.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Inputs(Vec<InputFault>),
}

impl Trigger {
    /// Returns the trigger of a person at a terminal.
    pub fn person(checkout: Checkout) -> Self {
        Self { source: Source::Person(checkout), run: None }
    }

    /// Returns the commit that statuses, checks and deployments are reported on.
    pub fn reported_commit(&self) -> &str {
        match &self.source {
            Source::PullRequest(pull_request) => &pull_request.head_sha,
            _ => self.tested_commit(),
        }
    }

    /// Returns the commit whose files are in the work tree; [`NO_COMMIT`] without git.
    pub fn tested_commit(&self) -> &str {
        match &self.source {
            Source::Push(push) => &push.sha,
            Source::PullRequest(pull_request) => &pull_request.merge_sha,
            Source::Dispatch(dispatch) => &dispatch.sha,
            Source::MergeGroup { sha } | Source::Schedule { sha } | Source::WorkflowRun { sha, .. } => sha,
            Source::Person(checkout) => checkout.sha().unwrap_or(NO_COMMIT),
        }
    }

    /// Returns the branch of the base repository that this run stands on, if it stands on one; never a pull request's.
    pub fn branch(&self) -> Option<&str> {
        match &self.source {
            Source::Push(push) if !push.deleted => push.reference.strip_prefix("refs/heads/"),
            Source::Dispatch(dispatch) => dispatch.reference.strip_prefix("refs/heads/"),
            Source::Person(checkout) => checkout.branch(),
            _ => None,
        }
    }

    /// Returns the trigger in words, for the journal: of a dispatch also who asked and why. Holds foreign text.
    pub fn asked(&self) -> String {
        let Source::Dispatch(dispatch) = &self.source else { return self.to_string() };
        let who = self.run.as_ref().and_then(|run| run.actor.as_ref()).map(|actor| format!(" by {actor}")).unwrap_or_default();
        let why = dispatch.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{self}{who}{why}")
    }

    /// Returns whether the run is another attempt: somebody, or something, ran it again.
    pub fn is_again(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.attempt > 1)
    }

    /// Returns what the run may do.
    pub fn permission(&self) -> Permission {
        let gates = |because: &str| Permission::GatesOnly { because: because.to_owned() };
        let nothing = |because: &str| Permission::Nothing { because: because.to_owned() };
        match &self.source {
            Source::Push(push) if push.deleted => nothing("the push deleted a branch or tag"),
            Source::Push(_) | Source::Dispatch(_) => match self.branch() {
                Some(branch) => Permission::Release { branch: branch.to_owned() },
                None => gates("only a branch is released, and this is a tag"),
            },
            Source::PullRequest(pull_request) if pull_request.action == "closed" => nothing("the pull request was closed"),
            Source::PullRequest(pull_request) if pull_request.is_fork => gates("a pull request from a fork gets no credentials"),
            Source::PullRequest(_) => gates("a pull request is not released"),
            Source::MergeGroup { .. } => gates("the merge queue asks for gates only"),
            Source::Schedule { .. } => nothing("a schedule starts no gates and no release"),
            Source::WorkflowRun { .. } => nothing("the end of another workflow starts no gates and no release"),
            Source::Person(_) => Permission::AsAsked,
        }
    }
}

/// In words: "push to main", "pull request #12 (from a fork)". Holds foreign text.
impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Push(push) => {
                let what = if push.deleted { "deletion of" } else { "push to" };
                write!(f, "{what} {}", short(&push.reference))
            }
            Source::PullRequest(pull_request) => {
                let fork = if pull_request.is_fork { " (from a fork)" } else { "" };
                write!(f, "pull request #{}{fork}", pull_request.number)
            }
            Source::Dispatch(dispatch) => write!(f, "dispatch of {} on {}", dispatch.action.as_str(), short(&dispatch.reference)),
            Source::MergeGroup { .. } => f.write_str("merge queue"),
            Source::Schedule { .. } => f.write_str("schedule"),
            Source::WorkflowRun { run_id, .. } => write!(f, "end of workflow run {run_id}"),
            Source::Person(checkout) => write!(f, "a person, {checkout}"),
        }
    }
}

fn short(reference: &str) -> &str {
    reference.strip_prefix("refs/heads/").or_else(|| reference.strip_prefix("refs/tags/")).unwrap_or(reference)
}
