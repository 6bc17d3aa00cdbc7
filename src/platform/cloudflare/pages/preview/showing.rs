//! Showing a commit: everything is uploaded, a deployment of the preview's branch is ready and has its address, and what showed before is deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::PagesPreview;
use super::branch::Whose;
use super::mark::Mark;
use super::standing::Standing;
use crate::event::Level;
use crate::platform::cloudflare::pages::READ_LAG;
use crate::platform::cloudflare::pages::creating::Place;
use crate::platform::cloudflare::pages::record::Parts;
use crate::platform::cloudflare::pages::wire::{Deployment, Progress, Project};
use crate::platform::{Artifact, Errand, PlatformError, PlatformErrorKind, PreviewScope, RevisionDigest, Shown};

/// The pause between two looks at a deployment's addresses.
const LOOK: Duration = Duration::from_millis(500);

impl PagesPreview {
    pub(super) async fn shown_now(&self) -> Result<Option<Shown>, PlatformError> {
        let Whose::Ours(ours) = self.whose().await? else { return Ok(None) };
        Ok(ours.iter().find(|one| one.progress() == Progress::Ready).map(shown))
    }

    pub(super) async fn show_artifact(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<Shown, PlatformError> {
        let Artifact::Directory { path, .. } = artifact else {
            return Err(self.site.error("show", PlatformErrorKind::Impossible(super::ONLY_DIRECTORIES.to_owned())));
        };
        let project = self.site.project().await?;
        self.never_production(&project)?;
        let revision = self.site.would_be_in(artifact, false).await?;
        let ours = match self.whose().await? {
            Whose::Ours(ours) => ours,
            Whose::Others(why) => return Err(self.taken(&why)),
        };
        let mark = Mark::of(&self.preview, &revision);
        let newest = ours.into_iter().find(|one| !matches!(one.progress(), Progress::Failed(_)));
        let made = match newest.filter(|one| Mark::on(one).as_ref() == Some(&mark) && one.commit() == scope.commit()) {
            Some(made) => {
                scope.step(&self.site.settings.target, format!("found its deployment {}", made.id));
                made
            }
            None => self.uploaded(scope, path, &revision, &mark).await?,
        };
        let ready = self.site.until_ready(scope, made).await?;
        if ready.is_production() {
            let text = format!("{} was made in production although its branch is {}", ready.id, self.branch);
            return Err(self
                .site
                .error("show", PlatformErrorKind::Refused(text))
                .hint("look at the project's production branch in its settings"));
        }
        let ready = self.addressed(scope, ready, &mark).await?;
        // What is shown is shown; what could not be removed stays until the next push, or until the pull request is closed.
        if let Err(error) = self.delete_earlier(scope, &ready).await {
            if error.cancelled() {
                return Err(error);
            }
            let text = format!("{}: what {} showed before could not be removed: {error}", self.site.settings.target, self.branch);
            scope.events.notice(Level::Warning, "cloudflare::preview-left", text);
        }
        Ok(shown(&ready))
    }

    async fn uploaded(
        &self,
        scope: &PreviewScope,
        path: &std::path::Path,
        revision: &RevisionDigest,
        mark: &Mark,
    ) -> Result<Deployment, PlatformError> {
        let site = self.site.read_site(scope, path, revision).await?;
        let assets = site.assets.clone();
        self.site.store(scope, &assets, |limit| site.within(limit)).await?;
        self.site.may_go_on(scope)?;
        let place = Place { branch: &self.branch, production: false, known: &BTreeSet::new() };
        self.site.create_once(scope, place, &mark.message(), &Parts::of(site), None).await
    }

    /// The branch alone decides the environment (cloudflare.md 3.9).
    fn never_production(&self, project: &Project) -> Result<(), PlatformError> {
        if project.branch() != self.branch {
            return Ok(());
        }
        Err(self.site.error("show", PlatformErrorKind::Impossible(self.is_production())).hint(super::BRANCH_HINT))
    }

    /// Returns the deployment that has the address which everybody was told: this one, or its twin where a proxy repeated the creation. Where the
    /// platform names none for as long as a read may lag, a newer push has it.
    async fn addressed(&self, scope: &PreviewScope, ready: Deployment, mark: &Mark) -> Result<Deployment, PlatformError> {
        let until = Instant::now() + READ_LAG;
        let mut ready = ready;
        while ready.aliases.as_ref().is_none_or(Vec::is_empty) && Instant::now() < until {
            self.site.pause(scope, LOOK).await?;
            let read = self.site.client.deployment(&self.site.settings.project, &ready.id).await?;
            ready = read.unwrap_or(ready);
        }
        if ready.aliases.as_ref().is_none_or(Vec::is_empty)
            && let Whose::Ours(ours) = self.whose().await?
        {
            let twin = |one: &Deployment| Mark::on(one).as_ref() == Some(mark) && one.commit() == scope.commit();
            ready = ours.into_iter().find(|one| one.progress() == Progress::Ready).filter(twin).unwrap_or(ready);
        }
        let bare = |address: &str| address.trim_end_matches('/').trim_start_matches("https://").to_owned();
        let aliases: Vec<String> = ready.aliases.iter().flatten().map(|alias| bare(alias)).collect();
        let Some(first) = aliases.first() else {
            let text = format!("Pages names no address of the branch {} for {}: a newer push may have it", self.branch, ready.id);
            return Err(self.site.error("show", PlatformErrorKind::Conflict(text)));
        };
        if aliases.contains(&bare(&self.address_text())) {
            return Ok(ready);
        }
        let kind =
            PlatformErrorKind::Refused(format!("the preview shows at https://{first}, and everybody was told {}", self.address_text()));
        Err(self.site.error("show", kind).hint(self.subdomain_hint(first.split_once('.').map_or("", |(_, rest)| rest))))
    }

    /// Deletes what this preview showed before, the oldest first, and what failed.
    async fn delete_earlier(&self, scope: &PreviewScope, now: &Deployment) -> Result<(), PlatformError> {
        let Whose::Ours(ours) = self.whose().await? else { return Ok(()) };
        let standing = Standing { client: &self.site.client, project: &self.site.settings.project };
        for old in ours.iter().rev().filter(|old| old.id != now.id) {
            let earlier = old.created().zip(now.created()).is_some_and(|(old, now)| old < now);
            if earlier || matches!(old.progress(), Progress::Failed(_)) {
                scope.step(&self.site.settings.target, format!("removes {}", old.url.as_deref().unwrap_or(&old.id)));
                standing.remove(&old.id, &self.preview.of, self.preview.pull_request, &scope.shutdown).await?;
            }
        }
        Ok(())
    }

    fn taken(&self, why: &str) -> PlatformError {
        let text = format!("the branch {} is not this preview's: {why}", self.branch);
        self.site.error("show", PlatformErrorKind::Foreign(text)).hint(super::TAKEN_HINT)
    }
}

fn shown(deployment: &Deployment) -> Shown {
    Shown { commit: deployment.commit().map(str::to_owned), revision: Mark::on(deployment).map(|mark| mark.revision()) }
}
