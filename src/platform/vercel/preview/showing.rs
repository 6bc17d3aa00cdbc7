//! Showing a commit: a deployment is made and ready, the hostname moves to it, and what showed before is deleted.

use super::VercelPreview;
use super::hostname::Whose;
use super::mark::{self, HOST, PREVIEW};
use super::standing::Standing;
use crate::event::Level;
use crate::platform::vercel::api::ListQuery;
use crate::platform::vercel::stamp;
use crate::platform::vercel::wire::{Deployment, Of, Progress, Project};
use crate::platform::{Artifact, PlatformError, PlatformErrorKind, PreviewScope, RevisionDigest, Shown};

impl VercelPreview {
    pub(super) async fn shown_now(&self, scope: &PreviewScope) -> Result<Option<Shown>, PlatformError> {
        let project = self.site.project().await?;
        Ok(match self.whose(scope, &project).await? {
            Whose::Ours(deployment) if deployment.progress() == Progress::Ready => Some(shown(&deployment)),
            _ => None,
        })
    }

    pub(super) async fn show_artifact(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<Shown, PlatformError> {
        let Artifact::Directory { path, digest: files } = artifact else {
            return Err(self.site.error("show", PlatformErrorKind::Impossible(super::ONLY_DIRECTORIES.to_owned())));
        };
        let revision = self.site.would_be_in(artifact, Of::Previews).await?;
        let project = self.site.project().await?;
        self.never_first(&project)?;
        if let Whose::Others(why) = self.whose(scope, &project).await? {
            return Err(self.taken(&why));
        }
        let making = self.making(scope, &revision, files);
        let found = self.site.find_made(&project, &making).await?;
        let again = found.is_some();
        let made = match found {
            Some(made) => {
                scope.step(&self.site.settings.target, format!("found its deployment {}", made.id()));
                made
            }
            None => self.site.uploaded(scope, &project, &revision, path, &making).await?,
        };
        let ready = self.site.until_ready(scope, made).await?;
        if ready.target.as_deref() == Some("production") {
            let text =
                format!("{} was made in production although it was asked for as a preview", ready.url.as_deref().unwrap_or(ready.id()));
            return Err(self.site.error("show", PlatformErrorKind::Refused(text)));
        }
        self.lead(scope, &project, &ready, again).await?;
        // What is shown is shown; what could not be removed stays until the next push, or until the pull request is closed.
        if let Err(error) = self.delete_earlier(scope, &project, &ready, again).await {
            if error.cancelled() {
                return Err(error);
            }
            let text = format!("{}: what {} showed before could not be removed: {error}", self.site.settings.target, self.host);
            scope.events.notice(Level::Warning, "vercel::preview-left", text);
        }
        Ok(shown(&ready))
    }

    /// A project's first deployment is its production, whatever it was made for (vercel.md 2.3).
    fn never_first(&self, project: &Project) -> Result<(), PlatformError> {
        if project.production().is_some() {
            return Ok(());
        }
        let kind = PlatformErrorKind::Impossible(super::first(&project.name));
        Err(self.site.error("show", kind).hint(super::FIRST_HINT))
    }

    /// Deletes what this preview showed before, the oldest first: what was made before `now`, and where that was shown again also what was made since,
    /// unless it is under way for a newer push.
    async fn delete_earlier(&self, scope: &PreviewScope, project: &Project, now: &Deployment, again: bool) -> Result<(), PlatformError> {
        let mark = self.preview.mark();
        let meta = [(PREVIEW, mark.as_str())];
        let listed = self.site.client.all_deployments(&project.id, &ListQuery { production: false, meta: &meta, since_ms: None }).await?;
        let standing = Standing { client: &self.site.client, project: &project.id };
        for old in listed.iter().rev() {
            let ours = mark::pull_request(old, &project.id, &self.preview.of) == Some(self.preview.pull_request);
            // Another target of this project has a hostname of its own.
            let of_host = old.meta(HOST) == Some(&self.host);
            let over = old.created_at < now.created_at || again && old.progress() != Progress::UnderWay;
            if old.id() == now.id() || !ours || !of_host || !over {
                continue;
            }
            scope.step(&self.site.settings.target, format!("removes {}", old.url.as_deref().unwrap_or(old.id())));
            standing.remove_deployment(old.id(), &self.preview.of, self.preview.pull_request, Some(&self.host), &scope.shutdown).await?;
        }
        Ok(())
    }
}

fn shown(deployment: &Deployment) -> Shown {
    Shown {
        commit: deployment.meta(stamp::COMMIT).map(str::to_owned),
        revision: deployment.meta(stamp::REVISION).map(RevisionDigest::from_text),
    }
}
