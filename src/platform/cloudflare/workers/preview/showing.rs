//! Showing a commit: the files are stored, the worker is made of them or given them, and it answers on workers.dev.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::WorkerPreview;
use super::mark;
use crate::platform::cloudflare::pages::api::Form;
use crate::platform::{Artifact, Errand, PlatformError, PlatformErrorKind, PreviewScope, RevisionDigest, Shown};

/// How often an upload is sent whose answers are lost.
const UPLOADS: usize = 3;
/// How long the platform may take to say that the worker serves what it was given [?]; it is at once.
const SERVES: Duration = Duration::from_secs(20);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Whose the worker of that name is.
#[derive(Debug)]
pub(super) enum Whose {
    /// There is none.
    Nobody,
    /// This preview's, with these tags.
    Ours(Vec<String>),
    /// Somebody else's.
    Others,
}

impl WorkerPreview {
    fn worker(&self) -> &str {
        &self.site.settings.worker
    }

    /// Returns whose the worker is.
    pub(super) async fn whose(&self) -> Result<Whose, PlatformError> {
        Ok(match self.site.client.script_tags(self.worker()).await? {
            None => Whose::Nobody,
            Some(tags) if mark::pull_request(self.worker(), &tags, &self.preview.of) == Some(self.preview.pull_request) => {
                Whose::Ours(tags)
            }
            Some(_) => Whose::Others,
        })
    }

    pub(super) async fn shown_now(&self) -> Result<Option<Shown>, PlatformError> {
        let Whose::Ours(tags) = self.whose().await? else { return Ok(None) };
        let Some(revision) = self.serving().await? else { return Ok(None) };
        let answers = self.site.client.on_workers_dev(self.worker()).await?.enabled;
        Ok(answers.then(|| Shown { commit: mark::commit(&tags), revision: Some(revision) }))
    }

    /// Returns the revision that every user of the worker gets; `None` where it is not one of ours.
    async fn serving(&self) -> Result<Option<RevisionDigest>, PlatformError> {
        let deployments = match self.site.client.worker_deployments(self.worker()).await {
            Ok(deployments) => deployments,
            Err(PlatformError { kind: PlatformErrorKind::NotFound(_), .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(id) = deployments.first().and_then(|in_force| in_force.single().map(str::to_owned)) else { return Ok(None) };
        let version = self.site.version_of(&id, &[]).await?;
        Ok(version.message().and_then(mark::revision))
    }

    pub(super) async fn show_artifact(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<Shown, PlatformError> {
        let Artifact::Directory { path, .. } = artifact else {
            let text = "a preview of a worker shows a directory (`dir`) and nothing else".to_owned();
            return Err(self.site.error("show", PlatformErrorKind::Impossible(text)));
        };
        let revision = self.site.would_be(artifact)?;
        if self.shows(scope, &revision).await? {
            scope.step(&self.site.settings.target, format!("{} shows it already", self.worker()));
        } else {
            self.upload(scope, path, &revision).await?;
        }
        self.open(scope).await?;
        self.until_shown(scope, &revision).await?;
        Ok(Shown { commit: scope.commit().map(str::to_owned), revision: Some(revision) })
    }

    /// Returns whether the worker is this preview's and shows this commit. Errors: it is somebody else's.
    async fn shows(&self, scope: &PreviewScope, revision: &RevisionDigest) -> Result<bool, PlatformError> {
        match self.whose().await? {
            Whose::Nobody => Ok(false),
            Whose::Ours(tags) => {
                let same = mark::commit(&tags).as_deref() == scope.commit();
                Ok(same && self.serving().await?.as_ref() == Some(revision))
            }
            Whose::Others => {
                let kind = PlatformErrorKind::Foreign(self.taken());
                Err(self.site.error("show", kind).hint(super::TAKEN_HINT))
            }
        }
    }

    async fn upload(&self, scope: &PreviewScope, path: &Path, revision: &RevisionDigest) -> Result<(), PlatformError> {
        let annotations = json!({ "workers/message": mark::message(revision) });
        let mut metadata = self.site.metadata(scope, path, revision, annotations).await?;
        metadata["tags"] = Value::from(mark::tags(self.preview.mark(), scope.commit()));
        let mut uploads = 0;
        loop {
            self.site.may_go_on(scope)?;
            let mut form = Form::new(&self.site.client.transport.chance().word(32));
            form.text("metadata", &metadata.to_string());
            let Err(error) = self.site.client.put_script(self.worker(), form).await else { return Ok(()) };
            if !error.ambiguous() {
                return Err(error);
            }
            uploads += 1;
            scope.step(&self.site.settings.target, "the answer to the upload was lost: looking what the worker shows");
            self.site.pause(scope, LOOK).await?;
            if self.shows(scope, revision).await? {
                return Ok(());
            }
            if uploads == UPLOADS {
                return Err(error);
            }
        }
    }

    /// Lets the worker answer on workers.dev, where a new one does not.
    async fn open(&self, scope: &PreviewScope) -> Result<(), PlatformError> {
        if self.site.client.on_workers_dev(self.worker()).await?.enabled {
            return Ok(());
        }
        self.site.may_go_on(scope)?;
        self.site.client.answer_on_workers_dev(self.worker()).await
    }

    async fn until_shown(&self, scope: &PreviewScope, revision: &RevisionDigest) -> Result<(), PlatformError> {
        let began = Instant::now();
        loop {
            if self.shown_now().await?.and_then(|shown| shown.revision).as_ref() == Some(revision) {
                return Ok(());
            }
            if began.elapsed() >= SERVES {
                let what = format!("{} to answer with what it was given", self.worker());
                return Err(self.site.error("show", PlatformErrorKind::TimedOut { what, limit: SERVES }));
            }
            self.site.pause(scope, LOOK).await?;
        }
    }

    /// Returns why nothing is shown where somebody else's worker stands.
    pub(super) fn taken(&self) -> String {
        format!("the worker {} does not carry this preview's tag: it is somebody else's", self.worker())
    }
}
