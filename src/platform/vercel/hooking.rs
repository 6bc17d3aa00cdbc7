//! Preparing by a deploy hook: called once, and its deployment found again.
//!
//! A hook's answer names no deployment, its deployment carries no stamp of ours, and it follows the project's setting for domains. So that
//! setting is turned off first (`observe` has saved it), and the deployment is found by the hook's id and the commit.

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::VercelTarget;
use super::api::ListQuery;
use super::preflight::Hook;
use super::stamp;
use super::wire::{Deployment, Progress, Project};
use crate::platform::{PlatformError, PlatformErrorKind, Scope};

/// How much earlier than its job a deployment may say that it was made, in milliseconds (vercel.md 3).
const SLACK_MS: i64 = 5_000;

impl VercelTarget {
    pub(super) async fn made_by_hook(
        &self,
        scope: &Scope,
        project: &Project,
        url: &SecretString,
        sha: &str,
        branch: &str,
    ) -> Result<Deployment, PlatformError> {
        let hook = Hook::parse(url.expose_secret()).ok_or_else(|| {
            self.error("trigger_deploy_hook", PlatformErrorKind::Impossible("the deploy hook's address is not one".to_owned()))
        })?;
        if let Some(made) = self.hooked(project, &hook, sha, began_ms(scope)).await? {
            scope.step(&self.settings.target, format!("found its deployment {}", made.id()));
            return Ok(made);
        }
        self.may_go_on(scope)?;
        if project.auto_assign_custom_domains != Some(false) {
            scope.step(&self.settings.target, "turns automatic domains off: a hook cannot keep its deployment from them");
            self.client.set_auto_assign(&project.id, false).await?;
        }
        let asked = self.client.transport.clock().now_ms();
        let triggered = self.client.trigger_hook(&hook.url, &format!("the deploy hook of {}", project.name)).await;
        let since = match triggered {
            Ok(created) => created.unwrap_or(asked) - SLACK_MS,
            // Whether it was called shows in whether a deployment appears.
            Err(error) if error.ambiguous() => asked - SLACK_MS,
            Err(error) => return Err(error),
        };
        self.until_hooked(scope, project, &hook, since, (sha, branch)).await
    }

    async fn until_hooked(
        &self,
        scope: &Scope,
        project: &Project,
        hook: &Hook,
        since_ms: i64,
        (sha, branch): (&str, &str),
    ) -> Result<Deployment, PlatformError> {
        let began = Instant::now();
        let limit = self.settings.hook_deadline;
        scope.step(&self.settings.target, "the hook was called: waiting for its deployment");
        loop {
            let found = self.of_hook(project, hook, since_ms).await?;
            if let Some(made) = found.iter().find(|deployment| deployment.meta(stamp::COMMIT) == Some(sha)) {
                return Ok(made.clone());
            }
            if let Some(other) = found.iter().find_map(|deployment| deployment.meta(stamp::COMMIT)) {
                let text = format!("the hook built {other}, not {sha}: {branch} has moved on, and a hook builds the head of its branch");
                return Err(self.error("trigger_deploy_hook", PlatformErrorKind::Conflict(text)).hint("release the newer commit instead"));
            }
            if began.elapsed() >= limit {
                let kind = PlatformErrorKind::TimedOut { what: "a deployment by the hook".to_owned(), limit };
                let hint = "no build was made: the build step was ignored, an equal one exists, `github.enabled` is false in vercel.json, or the \
                            hook was revoked";
                return Err(self.error("trigger_deploy_hook", kind).hint(hint));
            }
            self.pause(scope, std::time::Duration::from_millis(500)).await?;
        }
    }

    /// Returns the deployment of this hook and commit that was made since, has not failed and never served.
    async fn hooked(&self, project: &Project, hook: &Hook, sha: &str, since_ms: Option<i64>) -> Result<Option<Deployment>, PlatformError> {
        let Some(since) = since_ms else { return Ok(None) };
        let found = self.of_hook(project, hook, since).await?;
        let usable = |deployment: &Deployment| {
            deployment.meta(stamp::COMMIT) == Some(sha)
                && deployment.progress() != Progress::Failed
                && deployment.has_served() != Some(true)
        };
        Ok(found.into_iter().find(usable))
    }

    /// Returns what the hook made, newest first: by its id in the metadata, else by the source that the vendor names (reports, both).
    async fn of_hook(&self, project: &Project, hook: &Hook, since_ms: i64) -> Result<Vec<Deployment>, PlatformError> {
        let listed = self.client.deployments(&project.id, &ListQuery { since_ms: Some(since_ms), ..ListQuery::default() }).await?;
        let recent = |deployment: &&Deployment| deployment.created_at.is_none_or(|at| at as i64 >= since_ms);
        let named = |deployment: &&Deployment| deployment.meta(stamp::HOOK) == Some(&hook.id);
        let unnamed =
            |deployment: &&Deployment| deployment.meta(stamp::HOOK).is_none() && deployment.source.as_deref() == Some("git-deploy-hook");
        let mut found: Vec<Deployment> = listed.iter().filter(recent).filter(named).cloned().collect();
        if found.is_empty() {
            found = listed.iter().filter(recent).filter(unnamed).cloned().collect();
        }
        Ok(found)
    }
}

/// Returns when the release began, in milliseconds since 1970, from its id; `None` for an id that does not say.
pub(super) fn began_ms(scope: &Scope) -> Option<i64> {
    let text = scope.release.as_str().get(2..17)?;
    let at = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", text).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond() - SLACK_MS)
}
