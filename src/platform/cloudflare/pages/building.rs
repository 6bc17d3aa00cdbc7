//! A project that Cloudflare builds from its repository: asked for by the API or by a deploy hook, found again by its commit.
//!
//! Neither call can name a commit: the head of the production branch is built, and what comes of it is production at once. Such a deployment
//! carries no mark of ours, so its commit is its identity, whoever asked for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::time::Instant;
use url::Url;

use super::api::Form;
use super::hints::Hints;
use super::wire::{Deployment, Progress, Project};
use super::{PagesSource, PagesTarget};
use crate::platform::revision::Content;
use crate::platform::{PlatformError, PlatformErrorKind, Revision, RevisionDigest, Scope};

/// How long a build is looked for that was asked for: the answer of a hook names none, and lists may lag.
const LOOKUP_WINDOW: Duration = Duration::from_secs(60);
/// The pause between two looks.
const LOOKUP_PAUSE: Duration = Duration::from_secs(1);
/// How many digits of a commit people are shown.
const SHOWN: usize = 12;

/// Returns the digest of what Cloudflare builds of a commit.
pub(super) fn of_commit(sha: &str) -> RevisionDigest {
    Content { artifact: sha.to_owned(), slots: BTreeMap::from([("form".to_owned(), "git".to_owned())]) }.digest()
}

impl PagesTarget {
    /// Returns whether Cloudflare builds what this target releases.
    pub(super) fn builds_elsewhere(&self) -> bool {
        !matches!(self.settings.source, PagesSource::Directory)
    }

    /// Returns how long a deployment may take to end.
    pub(super) fn build_limit(&self) -> Duration {
        if self.builds_elsewhere() {
            self.settings.ready_deadline.max(super::PagesSettings::BUILD_DEADLINE)
        } else {
            self.settings.ready_deadline
        }
    }

    /// Prepares nothing but what can be: says what will be built, and finds the commit's deployment if it was built before.
    pub(super) async fn foreseen(&self, sha: &str, branch: &str) -> Result<Revision, PlatformError> {
        let project = self.project().await?;
        if branch != project.branch() {
            let text = format!(
                "the project {} builds {} for production, and this release is of {branch}",
                self.settings.project,
                project.branch()
            );
            return Err(self
                .error("prepare", PlatformErrorKind::Impossible(text))
                .hint("change the project's production branch, or release from it"));
        }
        let production = self.client.deployments(&self.settings.project, "production", 1).await?;
        let built = production.iter().find(|one| one.is_build_of(sha) && one.progress() == Progress::Ready);
        if let Some(built) = built {
            return Ok(self.revision_of(&Deployment { environment: Some("production".to_owned()), ..built.clone() }));
        }
        let hints = Hints { deployment_id: String::new(), url: None, production: true, record: None };
        Ok(Revision {
            digest: of_commit(sha),
            artifact: Some(sha.to_owned()),
            label: format!("a build of {}", sha.get(..SHOWN).unwrap_or(sha)),
            release: None,
            hints: hints.to_value(),
        })
    }

    /// Returns why a project that is to build cannot.
    pub(super) fn cannot_build(&self, project: &Project) -> Option<(String, &'static str)> {
        if !self.builds_elsewhere() {
            return None;
        }
        if project.source.is_none() {
            let text =
                format!("The project {} is connected to no repository, so Cloudflare cannot build its commit.", self.settings.project);
            return Some((text, "ship a directory with `dir`; a project that was made for uploads cannot be connected later"));
        }
        let PagesSource::Hook { url } = &self.settings.source else { return None };
        let text = "What should be a deploy hook's address is not an address.".to_owned();
        Url::parse(url.expose_secret()).is_err().then_some((text, "copy it from the project's settings (Builds, Deploy hooks)"))
    }

    /// Has the head of the production branch built; returns the deployment once it has ended. It is the wrong one where the branch has moved on: then
    /// it is in production all the same, and whoever called goes back.
    pub(super) async fn build(&self, scope: &Scope, sha: &str, branch: &str, known: &BTreeSet<String>) -> Result<String, PlatformError> {
        scope.step(&self.settings.target, format!("asks Cloudflare to build {branch}"));
        self.memory().asked = Some(Instant::now());
        let asked = scope.changes.during(self.ask_for_build(branch)).await;
        let made = match asked {
            Ok(Some(made)) => made,
            Ok(None) => self.appeared(scope, known, sha).await?.ok_or_else(|| self.no_build(sha))?,
            // A second call would build twice, and the second build would run over whatever is done meanwhile.
            Err(error) if error.ambiguous() => {
                scope.step(&self.settings.target, "the answer was lost: looking for the build");
                self.appeared(scope, known, sha).await?.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        let ended = self.until_ready(scope, made).await?;
        if ended.commit() == Some(sha) {
            return Ok(ended.id);
        }
        // It is there because we asked: on the way back it counts as this release's.
        self.memory().moved_to = Some(super::MovedTo { id: ended.id.clone(), digest: of_commit(sha) });
        let built = ended.commit().unwrap_or("no commit that it names");
        let text = format!("Cloudflare built {built}, not {sha}: {branch} has moved on, and its head is what is built");
        Err(self.error("serve", PlatformErrorKind::Conflict(text)).hint("release the newer commit instead"))
    }

    async fn ask_for_build(&self, branch: &str) -> Result<Option<Deployment>, PlatformError> {
        if let PagesSource::Hook { url } = &self.settings.source {
            let bad = |_| self.error("trigger_deploy_hook", PlatformErrorKind::Impossible("the deploy hook's address is none".to_owned()));
            let url = Url::parse(url.expose_secret()).map_err(bad)?;
            self.client.trigger_deploy_hook(&url).await?;
            return Ok(None);
        }
        let mut form = Form::new(&self.client.transport.chance().word(32));
        form.text("branch", branch);
        let made = self.client.create_deployment(&self.settings.project, form, true).await?;
        Ok(Some(made).filter(|made| !made.id.is_empty()))
    }

    /// Returns the build of the commit that was not there before, once there is one; what a person makes meanwhile is none.
    async fn appeared(&self, scope: &Scope, known: &BTreeSet<String>, sha: &str) -> Result<Option<Deployment>, PlatformError> {
        let until = Instant::now() + LOOKUP_WINDOW;
        loop {
            let listed = self.client.deployments(&self.settings.project, "production", 1).await?;
            if let Some(made) = listed.into_iter().find(|one| one.is_build_of(sha) && !known.contains(&one.id)) {
                return Ok(Some(made));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            self.pause(scope, LOOKUP_PAUSE).await?;
        }
    }

    fn no_build(&self, sha: &str) -> PlatformError {
        let kind = PlatformErrorKind::TimedOut { what: format!("a build of {sha} by the deploy hook"), limit: LOOKUP_WINDOW };
        let hint =
            "no build of it has begun: its branch has moved on, the hook is for another branch, or builds of production are turned off";
        self.error("trigger_deploy_hook", kind).hint(hint)
    }
}
