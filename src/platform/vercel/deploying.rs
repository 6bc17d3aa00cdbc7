//! Prepare: a production deployment without its domains, made once, looked up before it is made again, and followed until it is ready.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::client::Created;
use super::upload::{Entries, entries};
use super::wire::{Deployment, Project};
use super::{
    Artifact, Observed, PlatformError, PlatformErrorKind, Revision, RevisionDigest, Scope, VercelSource, VercelTarget, content, files,
    stamp,
};
use crate::shutdown::Level;

/// How often the list of files is sent again after uploads before it is given up.
const ROUNDS: u32 = 3;
/// How long a deployment is looked for after a lost answer: longer than Vercel's lists are known to lag.
const LOOKUP_WINDOW: Duration = Duration::from_secs(5);
/// How long after a hook's trigger its deployment must appear; none within it means that none was made.
const HOOK_WINDOW: Duration = Duration::from_secs(60);
/// The pause between looks at a list.
const LOOK: Duration = Duration::from_millis(500);
/// How many lines of a failed build's log are shown.
const LAST_LINES: usize = 10;

impl VercelTarget {
    /// Makes the deployment of an artifact, or finds it.
    pub(super) async fn deploy(&self, scope: &Scope, artifact: &Artifact, before: &Observed) -> Result<Revision, PlatformError> {
        let project = self.client.project().await?;
        let digest = content(artifact).digest();
        let deployment = match (&self.settings.source, artifact) {
            (_, Artifact::Directory { path, .. }) => self.deploy_files(scope, &project, path, &digest).await?,
            (VercelSource::Git { branch }, Artifact::Commit { sha, branch: own }) => {
                self.deploy_commit(scope, &project, sha, branch.as_deref().unwrap_or(own), &digest).await?
            }
            (VercelSource::Hook { url }, Artifact::Commit { .. }) => {
                self.deploy_by_hook(scope, &project, url.expose_secret(), before).await?
            }
            _ => {
                return Err(
                    self.error("deploy", PlatformErrorKind::Impossible("a Vercel project is given a directory or a commit".to_owned()))
                );
            }
        };
        let ready = self.follow(scope, deployment).await?;
        Ok(self.revision(&ready, &project))
    }

    async fn deploy_files(
        &self,
        scope: &Scope,
        project: &Project,
        path: &Path,
        digest: &RevisionDigest,
    ) -> Result<Deployment, PlatformError> {
        if let Some(own) = self.find_own(scope, project, digest).await? {
            return Ok(own);
        }
        let entries = self.read_files(path, project, digest).await?;
        scope.step(&self.settings.target, format!("{} files to deploy", entries.list.len()));
        let mut settings = json!({ "sourceFilesOutsideRootDirectory": true });
        settings["rootDirectory"] = project.root_directory.clone().map_or(Value::Null, Value::String);
        let mut body = self.body(scope, project, digest);
        body["files"] = Value::Array(entries.list.clone());
        body["projectSettings"] = settings;
        self.create(scope, project, digest, &[("prebuilt", "1")], &body, Some(&entries)).await
    }

    async fn read_files(&self, path: &Path, project: &Project, digest: &RevisionDigest) -> Result<Entries, PlatformError> {
        let (path, root, digest) = (path.to_owned(), project.root_directory.clone(), digest.clone());
        let shown = path.display().to_string();
        // Reading and hashing a site is work for a thread that may block.
        let read = tokio::task::spawn_blocking(move || entries(files::collect(&path, root.as_deref(), &digest)?)).await;
        let unreadable =
            |reason: String| self.error("read_files", PlatformErrorKind::Impossible(format!("{shown} cannot be read: {reason}")));
        read.map_err(|error| unreadable(error.to_string()))?.map_err(|error| unreadable(error.to_string()))
    }

    async fn deploy_commit(
        &self,
        scope: &Scope,
        project: &Project,
        sha: &str,
        branch: &str,
        digest: &RevisionDigest,
    ) -> Result<Deployment, PlatformError> {
        if let Some(own) = self.find_own(scope, project, digest).await? {
            return Ok(own);
        }
        let Some(repository) = project.link.as_ref().and_then(|link| link.repo_id) else {
            let text = "the project is connected to no GitHub repository, so Vercel cannot build a commit".to_owned();
            return Err(self
                .error("deploy", PlatformErrorKind::Impossible(text))
                .hint("connect it in the project's settings, or deploy a directory (`dir:`)"));
        };
        scope.step(&self.settings.target, format!("Vercel builds {sha:.12} of {branch}"));
        let mut body = self.body(scope, project, digest);
        body["gitSource"] = json!({ "type": "github", "repoId": repository, "ref": branch, "sha": sha });
        self.create(scope, project, digest, &[], &body, None).await
    }

    /// Returns what every create call says.
    fn body(&self, scope: &Scope, project: &Project, digest: &RevisionDigest) -> Value {
        json!({
            "name": project.name,
            "project": project.id,
            "version": 2,
            "target": "production",
            "autoAssignCustomDomains": false,
            "meta": {
                stamp::PRODUCT: scope.product.as_str(),
                stamp::ENVIRONMENT: scope.environment.as_str(),
                stamp::RELEASE: scope.release.as_str(),
                stamp::REVISION: digest.as_str(),
                "githubCommitSha": scope.commit,
            },
        })
    }

    /// Creates a deployment; after a lost answer it is looked up by its stamp, longer than lists lag, before anything is sent again.
    async fn create(
        &self,
        scope: &Scope,
        project: &Project,
        digest: &RevisionDigest,
        more: &[(&str, &str)],
        body: &Value,
        entries: Option<&Entries>,
    ) -> Result<Deployment, PlatformError> {
        let query: Vec<(&str, &str)> = more.iter().copied().chain([("skipAutoDetectionConfirmation", "1"), ("forceNew", "1")]).collect();
        let mut last = None;
        for _ in 0..=ROUNDS {
            if scope.shutdown.level() >= Level::Drain {
                return Err(self.error("create_deployment", PlatformErrorKind::Cancelled));
            }
            match self.client.create(&query, body).await {
                Ok(Created::Deployment(deployment)) => return Ok(*deployment),
                Ok(Created::Missing(missing)) => {
                    let Some(entries) = entries else {
                        let text = "Vercel asks for files in a deployment that has none".to_owned();
                        return Err(self.error("create_deployment", PlatformErrorKind::Unexpected(text)));
                    };
                    scope.step(&self.settings.target, format!("uploading {} of {} files", missing.len(), entries.list.len()));
                    self.upload_missing(entries, &missing, &scope.shutdown).await?;
                    last = None;
                }
                Err(error) if error.ambiguous() => {
                    scope.step(&self.settings.target, "the answer was lost; looking whether the deployment exists");
                    if let Some(found) = self.look_for_own(scope, project, digest).await? {
                        return Ok(found);
                    }
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            self.error("create_deployment", PlatformErrorKind::Unexpected("Vercel keeps asking for files that were uploaded".to_owned()))
        }))
    }

    async fn look_for_own(&self, scope: &Scope, project: &Project, digest: &RevisionDigest) -> Result<Option<Deployment>, PlatformError> {
        let deadline = Instant::now() + LOOKUP_WINDOW;
        loop {
            if let Some(found) = self.find_own(scope, project, digest).await? {
                return Ok(Some(found));
            }
            if Instant::now() + LOOK > deadline {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Returns this release's deployment of this revision, if it exists and has not failed.
    async fn find_own(&self, scope: &Scope, project: &Project, digest: &RevisionDigest) -> Result<Option<Deployment>, PlatformError> {
        let stamped = format!("meta-{}", stamp::RELEASE);
        let query = [("projectId", project.id.as_str()), (stamped.as_str(), scope.release.as_str()), ("limit", "20")];
        let listed = self.client.deployments(&query).await?;
        let says = |deployment: &Deployment, name: &str, value: &str| deployment.meta.get(name).and_then(Value::as_str) == Some(value);
        // The filter is not in the published document: what it lets through is judged again.
        let own = listed.into_iter().find(|deployment| {
            let stamped = says(deployment, stamp::RELEASE, scope.release.as_str()) && says(deployment, stamp::REVISION, digest.as_str());
            stamped && !matches!(deployment.state(), "ERROR" | "CANCELED" | "DELETED" | "BLOCKED")
        });
        Ok(own)
    }

    /// Triggers a deploy hook and finds the deployment that it makes; it cannot be stamped, so it is known by the hook's own id.
    async fn deploy_by_hook(&self, scope: &Scope, project: &Project, hook: &str, before: &Observed) -> Result<Deployment, PlatformError> {
        let unusable = |text: &str| self.error("trigger_hook", PlatformErrorKind::Impossible(text.to_owned()));
        let hook = Url::parse(hook).map_err(|_| unusable("the deploy hook's address is no URL"))?;
        let id = hook.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default().to_owned();
        if project.auto_assign_custom_domains != Some(false) {
            // A hook follows the project's setting and cannot be staged by itself. `restore` puts it back, on every ending.
            debug_assert!(before.settings.contains_key(super::wire::AUTO_ASSIGN), "observe saves the setting");
            scope.step(&self.settings.target, "turning automatic assignment of domains off, so that the hook's build stays out of sight");
            self.client.set_auto_assign(&project.id, false).await?;
        }
        let asked = self.client.transport().clock().now_ms();
        scope.step(&self.settings.target, "deploy hook triggered");
        let answer = match self.client.trigger(&hook).await {
            Ok(answer) => answer.job.created_at,
            Err(error) if error.ambiguous() => 0,
            Err(error) => return Err(error.hint("the hook may have been revoked; make a new one in the project's Git settings")),
        };
        let since = (if answer > 0 { answer } else { asked }) - 5_000;
        self.hook_deployment(scope, project, &id, since).await
    }

    async fn hook_deployment(&self, scope: &Scope, project: &Project, hook: &str, since: i64) -> Result<Deployment, PlatformError> {
        let deadline = Instant::now() + HOOK_WINDOW;
        let text = since.to_string();
        loop {
            let query = [("projectId", project.id.as_str()), ("since", text.as_str()), ("limit", "20")];
            let listed = self.client.deployments(&query).await?;
            let of_hook = |deployment: &&Deployment| {
                let named = deployment.meta.get("deployHookId").and_then(Value::as_str);
                deployment.created_at >= since
                    && (named == Some(hook) || named.is_none() && deployment.source.as_deref() == Some("git-deploy-hook"))
            };
            if let Some(found) = listed.iter().find(of_hook) {
                return Ok(found.clone());
            }
            if scope.shutdown.level() >= Level::Drain {
                return Err(self.error("trigger_hook", PlatformErrorKind::Cancelled));
            }
            if Instant::now() + LOOK > deadline {
                let kind = PlatformErrorKind::TimedOut { what: "a deployment of the hook's trigger".to_owned(), limit: HOOK_WINDOW };
                return Err(self
                    .error("trigger_hook", kind)
                    .hint("an ignored build step, or an equal earlier build, makes Vercel build nothing"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until a deployment is ready; a failed build fails at once, with Vercel's reason and the end of its log.
    async fn follow(&self, scope: &Scope, mut deployment: Deployment) -> Result<Deployment, PlatformError> {
        let began = Instant::now();
        let mut told = String::new();
        loop {
            match deployment.state() {
                "READY" => return Ok(deployment),
                "ERROR" | "CANCELED" | "DELETED" | "BLOCKED" => return Err(self.failed(&deployment).await),
                state if state != told => {
                    told = state.to_owned();
                    scope.step(&self.settings.target, format!("{} is {}", deployment.url, told.to_lowercase()));
                }
                _ => {}
            }
            if began.elapsed() > self.settings.build_deadline {
                let kind = PlatformErrorKind::TimedOut {
                    what: format!("the end of the build of {}", deployment.id),
                    limit: self.settings.build_deadline,
                };
                return Err(self.error("get_deployment", kind));
            }
            tokio::select! {
                biased;
                () = scope.shutdown.at_least(Level::Drain) => return Err(self.error("get_deployment", PlatformErrorKind::Cancelled)),
                () = tokio::time::sleep(pause(began.elapsed())) => {}
            }
            deployment = self.client.deployment(&deployment.id).await?;
        }
    }

    async fn failed(&self, deployment: &Deployment) -> PlatformError {
        let lines = self.client.last_lines(&deployment.id, LAST_LINES).await;
        let error = self.error("get_deployment", PlatformErrorKind::Unhealthy(deployment.reason()));
        if lines.is_empty() { error } else { error.hint(format!("the build log ends with: {}", lines.join(" / "))) }
    }
}

/// The pause between two looks at a deployment: quick at first, then as the vendor's command line looks.
fn pause(elapsed: Duration) -> Duration {
    match elapsed.as_secs() {
        0..=4 => Duration::from_millis(200),
        5..=14 => Duration::from_secs(1),
        15..=59 => Duration::from_secs(5),
        _ => Duration::from_secs(15),
    }
}
