//! Check runs (<https://docs.github.com/rest/checks/runs>): a verdict on a commit with a page of its own, and remarks at lines of code.
//!
//! # Re-runs
//!
//! What can be honoured is a re-run of the workflow (the run, its failed jobs or one job): it is a new attempt of the same run. Its check has the same
//! name, and of several with one name on a commit GitHub shows the newest; what an earlier attempt left in progress is concluded when
//! the new one begins, because GitHub begins an attempt only when the one before is over.
//!
//! What GitHub cannot deliver to Actions: the "Re-run" button of the check itself and the buttons of `actions` send `check_run` events
//! (`rerequested`, `requested_action`) to the app that made the check, and for checks made with a workflow's token that app is Actions
//! itself, which starts no workflow for its own suites. No button is offered therefore. Nor can it be chosen under which workflow's
//! heading the check is shown: GitHub hangs it into one of the commit's suites of Actions. The comment and the summary stay the report.

use http::Method;
use serde::{Deserialize, Serialize};

use super::sticky::Stamp;
use super::{GitHub, GitHubError, lookup};
use crate::id::Name;

/// The longest `summary`, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 65_535;
/// The most remarks of one request; more are added by further ones.
pub const MAX_ANNOTATIONS_A_REQUEST: usize = 50;
/// The longest title of a check or of a remark, in characters.
const MAX_TITLE: usize = 255;
/// The longest text of a remark, in bytes.
const MAX_REMARK_BYTES: usize = 64 * 1024;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckConclusion {
    /// As it should be.
    Success,
    /// Not as it should be.
    Failure,
    /// Neither; counts as passed.
    Neutral,
    /// Cancelled.
    Cancelled,
    /// A person has to act.
    ActionRequired,
}

/// What a check is about, and which run says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckId {
    /// The product.
    pub product: Name,
    /// The scope: an environment, or `gates`.
    pub scope: Name,
    /// The run.
    pub stamp: Stamp,
}

/// What a check shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckOutput {
    /// One line; cut to 255 characters.
    pub title: String,
    /// Markdown, at most [`MAX_OUTPUT_BYTES`]; what is longer is cut.
    pub summary: String,
    /// Remarks at lines of code, all of them: they are sent in as many requests as it takes.
    pub annotations: Vec<Annotation>,
}

/// How much a remark matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotationLevel {
    /// Not as it should be.
    Failure,
    /// Worth a look.
    Warning,
}

/// A remark at a line of a file. Its texts are shown as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Annotation {
    /// The path from the repository's top.
    pub path: String,
    /// The line, from 1.
    pub start_line: u32,
    /// The last line.
    pub end_line: u32,
    /// How much it matters.
    pub annotation_level: AnnotationLevel,
    /// One line.
    pub title: String,
    /// What is to be said; never empty when sent.
    pub message: String,
    /// The rest, folded away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_details: Option<String>,
}

/// A check that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// Its id; larger is newer.
    pub id: u64,
    /// How many remarks it has.
    pub annotations: usize,
    /// Whether it is concluded.
    pub completed: bool,
    /// The id that its maker gave it.
    pub external_id: String,
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckOutcome {
    /// It is there as it was asked for.
    Made(CheckRun),
    /// A later run reports under this name; nothing was made.
    Outdated(Stamp),
}

impl CheckId {
    /// Returns the name under which GitHub shows it.
    pub fn name(&self) -> String {
        format!("cutover / {} / {}", self.product, self.scope)
    }

    /// Returns the id by which it is found again.
    pub fn external_id(&self) -> String {
        format!("{}{}/{}", self.prefix(), self.stamp.run_id, self.stamp.attempt)
    }

    fn prefix(&self) -> String {
        format!("cutover:v1/{}/{}/", self.product, self.scope)
    }

    /// Returns the run that made a check of this product and scope.
    fn stamp_of(&self, external_id: &str) -> Option<Stamp> {
        let (run_id, attempt) = external_id.strip_prefix(&self.prefix())?.split_once('/')?;
        Some(Stamp { run_id: run_id.parse().ok()?, attempt: attempt.parse().ok()? })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CheckAnswer {
    id: u64,
    status: String,
    external_id: Option<String>,
    output: OutputAnswer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutputAnswer {
    annotations_count: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChecksAnswer {
    check_runs: Vec<CheckAnswer>,
}

impl From<CheckAnswer> for CheckRun {
    fn from(answer: CheckAnswer) -> Self {
        Self {
            id: answer.id,
            annotations: answer.output.annotations_count.unwrap_or(0),
            completed: answer.status == "completed",
            external_id: answer.external_id.unwrap_or_default(),
        }
    }
}

#[derive(Debug, Default, Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_sha: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<CheckConclusion>,
    output: OutputBody<'a>,
}

#[derive(Debug, Default, Serialize)]
struct OutputBody<'a> {
    title: &'a str,
    summary: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    annotations: &'a [Annotation],
}

impl GitHub {
    /// Begins a check on a commit, in progress: the one that this attempt began already, or a new one. What earlier attempts of the same run left
    /// in progress is concluded as cancelled.
    ///
    /// After a lost answer it is looked up by its `external_id` before another is made. Needs `checks: write` and the token of an app.
    pub async fn begin_check(&self, sha: &str, id: &CheckId, details_url: &str, output: &CheckOutput) -> Result<CheckOutcome, GitHubError> {
        let found = self.check(sha, id, details_url, output, None).await?;
        Ok(found.map_or_else(CheckOutcome::Outdated, |(run, _)| CheckOutcome::Made(run)))
    }

    /// Concludes a check: `begun`, else the one of this attempt that another job began, else a new one.
    ///
    /// The verdict goes with the first request, and remarks beyond fifty follow: whoever is ended in between leaves a verdict. Sent again it
    /// adds only the remarks that are not there yet.
    pub async fn conclude_check(
        &self,
        sha: &str,
        id: &CheckId,
        begun: Option<&CheckRun>,
        details_url: &str,
        conclusion: CheckConclusion,
        output: &CheckOutput,
    ) -> Result<CheckOutcome, GitHubError> {
        let output = &sendable(output);
        let (run, new) = match begun {
            Some(run) => (run.clone(), false),
            None => match self.check(sha, id, details_url, output, Some(conclusion)).await? {
                Ok(found) => found,
                Err(later) => return Ok(CheckOutcome::Outdated(later)),
            },
        };
        // A new one was made with its verdict; one that another job of this attempt concluded gets ours.
        let mut verdict = Some(conclusion).filter(|_| !new);
        let mut sent = run.annotations.min(output.annotations.len());
        while verdict.is_some() || sent < output.annotations.len() {
            let until = output.annotations.len().min(sent + MAX_ANNOTATIONS_A_REQUEST);
            let body = Body {
                conclusion: verdict.take(),
                output: OutputBody { annotations: &output.annotations[sent..until], ..shown(output) },
                ..Body::default()
            };
            self.update_check(&run, &body, until).await?;
            sent = until;
        }
        Ok(CheckOutcome::Made(CheckRun { completed: true, annotations: sent, ..run }))
    }

    /// Returns the checks with a name on a commit, the newest first.
    pub async fn check_runs(&self, sha: &str, name: &str) -> Result<Vec<CheckRun>, GitHubError> {
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let route = format!("/commits/{sha}/check-runs?check_name={name}&filter=all&per_page=100");
        let read = |page: ChecksAnswer| page.check_runs.into_iter().map(CheckRun::from).collect();
        let mut runs: Vec<CheckRun> = self.get_all("list_check_runs", &route, read).await?;
        runs.sort_by_key(|run| std::cmp::Reverse(run.id));
        Ok(runs)
    }

    /// Finds this attempt's check or makes it (then `true`), after what earlier attempts left is concluded; `Err` is a later run's.
    async fn check(
        &self,
        sha: &str,
        id: &CheckId,
        details_url: &str,
        output: &CheckOutput,
        conclusion: Option<CheckConclusion>,
    ) -> Result<Result<(CheckRun, bool), Stamp>, GitHubError> {
        let there = self.check_runs(sha, &id.name()).await?;
        let stamped = || there.iter().filter_map(|run| Some((run, id.stamp_of(&run.external_id)?)));
        for (left, _) in
            stamped().filter(|(run, stamp)| !run.completed && stamp.run_id == id.stamp.run_id && stamp.attempt < id.stamp.attempt)
        {
            self.conclude_left(left).await?;
        }
        if let Some((known, _)) = stamped().find(|(_, stamp)| *stamp == id.stamp) {
            return Ok(Ok((known.clone(), false)));
        }
        if let Some(later) = stamped().map(|(_, stamp)| stamp).max().filter(|stamp| *stamp > id.stamp) {
            return Ok(Err(later));
        }
        let output = sendable(output);
        let first = output.annotations.len().min(MAX_ANNOTATIONS_A_REQUEST);
        let body = Body {
            name: Some(id.name()),
            head_sha: Some(sha),
            external_id: Some(id.external_id()),
            details_url: Some(details_url),
            status: conclusion.is_none().then_some("in_progress"),
            conclusion,
            output: OutputBody { annotations: &output.annotations[..first], ..shown(&output) },
        };
        let made = match self.create_check(&body).await {
            Err(error) if error.may_have_happened() => {
                let external_id = id.external_id();
                let look = async || {
                    let runs = self.check_runs(sha, &id.name()).await?;
                    Ok(runs.into_iter().find(|run| run.external_id == external_id))
                };
                match lookup::found(look).await? {
                    Some(found) => found,
                    None => self.create_check(&body).await?,
                }
            }
            other => other?,
        };
        Ok(Ok((CheckRun { annotations: first, ..made }, true)))
    }

    async fn create_check(&self, body: &Body<'_>) -> Result<CheckRun, GitHubError> {
        self.change("create_check_run", Method::POST, "/check-runs", Some(body)).await?.decode::<CheckAnswer>().map(CheckRun::from)
    }

    /// Changes a check so that it has `annotations` remarks afterwards. GitHub adds remarks to those that are there, so after a lost answer they are
    /// counted before anything is sent again.
    async fn update_check(&self, run: &CheckRun, body: &Body<'_>, annotations: usize) -> Result<(), GitHubError> {
        let route = format!("/check-runs/{}", run.id);
        match self.change("update_check_run", Method::PATCH, &route, Some(body)).await {
            Err(error) if error.may_have_happened() => {
                let look = async || {
                    let now = self.get::<CheckAnswer>("get_check_run", &route).await.map(CheckRun::from)?;
                    let has_all = now.annotations >= annotations && (body.conclusion.is_none() || now.completed);
                    Ok(has_all.then_some(()))
                };
                match lookup::found(look).await? {
                    Some(()) => Ok(()),
                    None => self.change("update_check_run", Method::PATCH, &route, Some(body)).await.map(drop),
                }
            }
            other => other.map(drop),
        }
    }

    /// Concludes what an attempt that is over left in progress; sent twice it has no further effect.
    async fn conclude_left(&self, run: &CheckRun) -> Result<(), GitHubError> {
        let output =
            OutputBody { title: "Another attempt took its place.", summary: "This attempt ended without a verdict.", annotations: &[] };
        let body = Body { conclusion: Some(CheckConclusion::Cancelled), output, ..Body::default() };
        match self.change_again("update_check_run", Method::PATCH, &format!("/check-runs/{}", run.id), &body).await {
            Ok(_) | Err(GitHubError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn shown(output: &CheckOutput) -> OutputBody<'_> {
    OutputBody { title: &output.title, summary: &output.summary, annotations: &[] }
}

/// Returns what GitHub takes of an output: within its lengths, without what it has refused or failed on.
fn sendable(output: &CheckOutput) -> CheckOutput {
    let annotations = output.annotations.iter().map(|one| {
        let message = within(&taken(&one.message), MAX_REMARK_BYTES);
        Annotation {
            path: taken(&one.path),
            start_line: one.start_line.max(1),
            end_line: one.end_line.max(one.start_line).max(1),
            annotation_level: one.annotation_level,
            title: titled(&one.title),
            message: if message.trim().is_empty() { "failed".to_owned() } else { message },
            raw_details: one.raw_details.as_ref().map(|details| within(&taken(details), MAX_REMARK_BYTES)),
        }
    });
    let title = titled(&output.title);
    CheckOutput {
        title: if title.is_empty() { "cutover".to_owned() } else { title },
        summary: within(&taken(&output.summary), MAX_OUTPUT_BYTES),
        annotations: annotations.filter(|one| !one.path.is_empty()).collect(),
    }
}

fn titled(text: &str) -> String {
    taken(text).split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_TITLE).collect()
}

/// Returns the text without NUL and without characters beyond the basic plane, which GitHub has answered with 422 and 500
/// (<https://github.com/EnricoMi/publish-unit-test-result-action> takes both out).
fn taken(text: &str) -> String {
    let replaced = |character: char| if character > '\u{ffff}' { '\u{fffd}' } else { character };
    text.chars().filter(|character| *character != '\0').map(replaced).collect()
}

fn within(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}
