//! Prepare: everything is uploaded, and a deployment of a staging branch answers at an address that never changes.

use std::collections::BTreeSet;
use std::path::Path;

use super::PagesTarget;
use super::creating::Place;
use super::files::{ReadSite, Site};
use super::hints::Hints;
use super::record::Parts;
use super::stamp::Stamp;
use super::wire::{Deployment, Progress};
use crate::event::{Level, Phase};
use crate::platform::{Artifact, Errand, Health, Observed, PlatformError, PlatformErrorKind, Revision, RevisionDigest, Scope};

/// What staging branches begin with. Short: an alias keeps 28 characters (cloudflare.md 4.1).
pub(super) const STAGING: &str = "cutover-";

impl PagesTarget {
    pub(super) async fn prepare_revision(&self, scope: &Scope, artifact: &Artifact, before: &Observed) -> Result<Revision, PlatformError> {
        if let Artifact::Commit { sha, branch } = artifact {
            return self.foreseen(sha, branch).await;
        }
        let digest = self.would_be(artifact).await?;
        let Artifact::Directory { path, digest: files } = artifact else {
            return Err(self.error("prepare", PlatformErrorKind::Impossible("Pages serves directories only".to_owned())));
        };
        let project = self.project().await?;
        let branch = format!("{STAGING}{}", scope.release);
        if branch == project.branch() {
            let text = format!("the staging branch {branch} is the project's production branch: it would go live at once");
            return Err(self.error("prepare", PlatformErrorKind::Impossible(text)));
        }
        let mut parts = Parts::of(self.read_site(scope, path, &digest).await?);
        let made = match self.find_staged(scope, &digest).await? {
            Some(made) => {
                scope.step(&self.settings.target, format!("found its deployment {}", made.id));
                made
            }
            None => self.stage(scope, &branch, &digest, files, &parts).await?,
        };
        parts.stored = Some(tokio::time::Instant::now());
        self.remember(&digest, parts);
        let ready = self.until_ready(scope, made).await?;
        self.is_staged(scope, &ready, before).await?;
        Ok(self.revision_of(&ready))
    }

    pub(super) async fn read_site(&self, errand: &impl Errand, path: &Path, digest: &RevisionDigest) -> Result<Site, PlatformError> {
        let wanted = ReadSite { directory: path.to_owned(), revision: digest.clone(), dotfiles: self.settings.dotfiles.clone() };
        let site = Site::read(wanted).await.map_err(|error| self.unusable(&error))?;
        for note in &site.notes {
            errand.events().notice(Level::Note, "cloudflare::files", format!("{}: {note}", self.settings.target));
        }
        errand.step(&self.settings.target, format!("{} files", site.assets.len()));
        Ok(site)
    }

    /// Uploads what is missing, then makes the deployment.
    async fn stage(
        &self,
        scope: &Scope,
        branch: &str,
        digest: &RevisionDigest,
        artifact: &str,
        parts: &Parts,
    ) -> Result<Deployment, PlatformError> {
        let Some(site) = parts.site.clone() else { return Err(self.error("prepare", PlatformErrorKind::Impossible("no site".to_owned()))) };
        let name = self.record_name();
        let record = parts.kept_as(&name);
        let mut assets = site.assets.clone();
        assets.extend(record.clone());
        let more = u64::from(record.is_some());
        self.store(scope, &assets, |limit| site.within(limit.saturating_sub(more))).await?;
        self.may_go_on(scope)?;
        let stamp = Stamp::of(scope, digest, Some(artifact), &name);
        let place = Place { branch, production: false, known: &BTreeSet::new() };
        self.create_once(scope, place, &stamp.message(), parts, record.as_ref()).await
    }

    /// Returns the staging deployment of this release and revision that is there already and has not failed.
    ///
    /// The revision counts too: a first release makes a placeholder and the real thing under one release id.
    async fn find_staged(&self, scope: &Scope, digest: &RevisionDigest) -> Result<Option<Deployment>, PlatformError> {
        let listed = self.client.deployments(&self.settings.project, "preview", 1).await?;
        let usable = |one: &Deployment| {
            let own = one.stamp().is_some_and(|stamp| stamp.is_of(scope) && stamp.revision() == *digest);
            own && !matches!(one.progress(), Progress::Failed(_))
        };
        Ok(listed.into_iter().find(usable))
    }

    /// Makes sure that nobody but us gives the deployment to users: the environment is the platform's own word, not what the branch was meant to be.
    /// What served before is given back at once, since the way back of a release begins with cutting over.
    async fn is_staged(&self, scope: &Scope, ready: &Deployment, before: &Observed) -> Result<(), PlatformError> {
        if !ready.is_production() {
            return Ok(());
        }
        if let Some(earlier) = before.single() {
            scope.step(&self.settings.target, format!("went live before its time; {} serves again", earlier.label));
            let back = Scope { phase: Phase::RollBack, expected: None, ..scope.clone() };
            self.serve_revision(&back, earlier).await?;
        }
        let text = format!("{} was made in production although its branch is a staging branch; what served before serves again", ready.id);
        Err(self.error("prepare", PlatformErrorKind::Refused(text)).hint("look at the project's production branch in its settings"))
    }

    pub(super) async fn probe_revision(&self, revision: &Revision) -> Result<Health, PlatformError> {
        let Some(hints) = Hints::of(revision) else { return Ok(Health::Unknown("it has no deployment id".to_owned())) };
        if hints.deployment_id.is_empty() {
            return Ok(Health::Unknown("it is built when it serves".to_owned()));
        }
        Ok(match self.client.deployment(&self.settings.project, &hints.deployment_id).await? {
            None => Health::Unhealthy(format!("the deployment {} is gone", hints.deployment_id)),
            Some(deployment) => match deployment.progress() {
                Progress::Ready => Health::Healthy,
                Progress::Failed(reason) => Health::Unhealthy(reason),
                Progress::UnderWay(at) => Health::Unknown(format!("it is at {at}")),
            },
        })
    }
}
