//! Creating a deployment once, on whichever branch.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::PagesTarget;
use super::api::Form;
use super::files::{Asset, FilesError, Worker};
use super::record::Parts;
use super::wire::{Deployment, Progress};
use crate::platform::{Errand, PlatformError, PlatformErrorKind};
use crate::shutdown::Level as Urgency;

/// How often a creation is sent whose answers are lost.
const CREATIONS: usize = 3;
/// How long a deployment is looked for after a lost answer, before its creation is repeated: lists may lag.
const LOOKUP_WINDOW: Duration = Duration::from_secs(5);
/// The pause between two looks.
const LOOKUP_PAUSE: Duration = Duration::from_millis(500);
/// The pauses between two looks at a deployment that is under way: the first, and the longest (cloudflare.md 4).
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How many lines of a failed deployment's log are shown.
const LINES: usize = 5;

/// Where a deployment is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The branch, which decides the environment (cloudflare.md 3.9).
    pub(super) branch: &'a str,
    /// Whether that is production, as the project says.
    pub(super) production: bool,
    /// The deployments that were there before: a lost answer is never taken for one of them.
    pub(super) known: &'a BTreeSet<String>,
}

impl Place<'_> {
    fn environment(&self) -> &'static str {
        if self.production { "production" } else { "preview" }
    }
}

impl PagesTarget {
    /// Creates the deployment; after a lost answer it is looked up by its mark before anything is sent again, since a second one would be made
    /// (cloudflare.md 2, measured). The mark is `message`, which says whose it is; `more` is a file that is listed besides the site's.
    pub(super) async fn create_once(
        &self,
        errand: &impl Errand,
        place: Place<'_>,
        message: &str,
        parts: &Parts,
        more: Option<&Asset>,
    ) -> Result<Deployment, PlatformError> {
        let mut creations = 0;
        loop {
            let form = self.form(errand, place, message, parts, more)?;
            let error = match self.client.create_deployment(&self.settings.project, form, place.production).await {
                Ok(made) if !made.id.is_empty() => return Ok(made),
                Ok(_) => self.error("create_deployment", PlatformErrorKind::Unexpected("the deployment has no id".to_owned())),
                Err(error) => error,
            };
            if !error.ambiguous() {
                return Err(explained(error, parts));
            }
            creations += 1;
            errand.step(&self.settings.target, "the answer to the creation was lost: looking for the deployment");
            if let Some(made) = self.look_for(errand, place, message).await? {
                return Ok(made);
            }
            if creations == CREATIONS {
                return Err(explained(error, parts));
            }
        }
    }

    fn form(
        &self,
        errand: &impl Errand,
        place: Place<'_>,
        message: &str,
        parts: &Parts,
        more: Option<&Asset>,
    ) -> Result<Form, PlatformError> {
        let mut manifest = parts.record.manifest.clone();
        manifest.extend(more.map(|asset| (asset.path.clone(), asset.key.clone())));
        let mut form = Form::new(&self.client.transport.chance().word(32));
        // Strings always serialize.
        form.text("manifest", &serde_json::to_string(&manifest).unwrap_or_default());
        form.text("branch", place.branch);
        form.text("commit_message", message);
        if let Some(commit) = errand.commit() {
            form.text("commit_hash", commit);
        }
        form.text("commit_dirty", "false");
        for (name, text) in [("_headers", &parts.record.headers), ("_redirects", &parts.record.redirects)] {
            if let Some(text) = text {
                form.file(name, text.as_bytes());
            }
        }
        let Some(site) = &parts.site else { return Ok(form) };
        let (name, path) = match &site.worker {
            Worker::None => return Ok(form),
            Worker::Script(path) => ("_worker.js", path),
            Worker::Bundle(path) => ("_worker.bundle", path),
        };
        let content = std::fs::read(path).map_err(|source| self.unusable(&FilesError::Unreadable { path: path.clone(), source }))?;
        form.file(name, &content);
        if let Some(routes) = &site.routes {
            form.file("_routes.json", routes.as_bytes());
        }
        Ok(form)
    }

    async fn look_for(&self, errand: &impl Errand, place: Place<'_>, message: &str) -> Result<Option<Deployment>, PlatformError> {
        let until = Instant::now() + LOOKUP_WINDOW;
        loop {
            let listed = self.client.deployments(&self.settings.project, place.environment(), 1).await?;
            let made =
                |one: &Deployment| one.message() == Some(message) && one.branch() == Some(place.branch) && !place.known.contains(&one.id);
            if let Some(made) = listed.into_iter().find(made) {
                return Ok(Some(made));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            self.pause(errand, LOOKUP_PAUSE).await?;
        }
    }

    /// Returns the deployment once it answers.
    pub(super) async fn until_ready(&self, errand: &impl Errand, made: Deployment) -> Result<Deployment, PlatformError> {
        let began = Instant::now();
        let id = made.id.clone();
        let mut pause = LOOKS.0;
        let mut seen = Some(made);
        loop {
            // Gone is what a read that lags behind the creation says, too.
            if let Some(deployment) = seen {
                match deployment.progress() {
                    Progress::Ready => return Ok(deployment),
                    Progress::Failed(reason) => return Err(self.failed(&id, &reason).await),
                    Progress::UnderWay(_) => {}
                }
            }
            let limit = self.build_limit();
            if began.elapsed() >= limit {
                let what = format!("the end of the deployment {id}");
                return Err(self.error("create_deployment", PlatformErrorKind::TimedOut { what, limit }));
            }
            self.pause(errand, pause).await?;
            pause = (pause * 3 / 2).min(LOOKS.1);
            seen = self.client.deployment(&self.settings.project, &id).await?;
        }
    }

    /// Returns the error for a deployment that failed, with the end of its log.
    async fn failed(&self, id: &str, reason: &str) -> PlatformError {
        let error = self.error("create_deployment", PlatformErrorKind::Unhealthy(format!("the deployment {id} failed: {reason}")));
        // The log only explains; without it the failure is told all the same.
        let lines = self.client.last_log_lines(&self.settings.project, id, LINES).await.unwrap_or_default();
        lines.into_iter().fold(error, PlatformError::hint)
    }

    /// Begins nothing new once the run is told to end.
    pub(super) fn may_go_on(&self, errand: &impl Errand) -> Result<(), PlatformError> {
        let ends = errand.shutdown().level() >= Urgency::Drain;
        if ends { Err(self.error("prepare", PlatformErrorKind::Cancelled)) } else { Ok(()) }
    }

    pub(super) fn unusable(&self, error: &FilesError) -> PlatformError {
        let told = self.error("read_files", PlatformErrorKind::Impossible(error.to_string()));
        match error {
            FilesError::Unbundled(path) => {
                let directory = path.parent().unwrap_or(path);
                told.hint(format!(
                    "a gate must bundle them: `wrangler pages functions build --outfile {}/_worker.bundle`; then remove the sources from what is published",
                    directory.display()
                ))
            }
            _ => told,
        }
    }
}

/// Adds what an unknown error mostly comes from.
fn explained(error: PlatformError, parts: &Parts) -> PlatformError {
    let ruled = parts.record.headers.is_some() || parts.record.redirects.is_some();
    let unknown = matches!(error.kind, PlatformErrorKind::Unavailable(_));
    if ruled && unknown {
        error.hint("a rule of _headers or _redirects that Pages cannot read is answered like this: look through both")
    } else {
        error
    }
}
