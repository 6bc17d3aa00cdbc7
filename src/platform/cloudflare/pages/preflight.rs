//! What stands in a release's way, read without changing anything.

use super::PagesTarget;
use super::content::sorted;
use super::wire::{Project, SourceConfig};
use crate::platform::cloudflare::client::TOKEN_HINT;
use crate::platform::{PlatformError, PlatformErrorKind, Problem, Scope};

/// How long an account's id is, in hex digits (cloudflare.md 1).
const ACCOUNT: usize = 32;

impl PagesTarget {
    pub(super) async fn problems(&self, _: &Scope) -> Result<Vec<Problem>, PlatformError> {
        if let Some(wrong) = self.client.token_problem() {
            return Err(self.error("read_token", PlatformErrorKind::Unauthorized(wrong.to_owned())).hint(TOKEN_HINT));
        }
        let project = self.project().await?;
        let mut problems = Vec::new();
        problems.extend(self.account_unusual());
        problems.extend(self.pushes_go_live(&project));
        if let Some((text, hint)) = self.cannot_build(&project) {
            problems.push(self.problem(true, "cloudflare::cannot-build", text, Some(hint.to_owned())));
        }
        problems.extend(self.settings_differ(&project));
        problems.extend(self.staging_is_production(&project));
        problems.extend(self.domains_unusable(&project).await?);
        Ok(problems)
    }

    pub(super) fn problem(&self, fatal: bool, code: &'static str, text: String, hint: Option<String>) -> Problem {
        Problem { target: self.settings.target.clone(), fatal, code, text, hint }
    }

    pub(super) fn account_unusual(&self) -> Option<Problem> {
        let account = self.client.account();
        let usual = account.len() == ACCOUNT && account.bytes().all(|byte| byte.is_ascii_hexdigit());
        let text = format!("The account {account} does not look like one: an account's id has {ACCOUNT} hex digits.");
        (!usual).then(|| self.problem(false, "cloudflare::account-unusual", text, None))
    }

    /// Finds a git integration that flips production by itself: both would race for it (cloudflare.md 6).
    fn pushes_go_live(&self, project: &Project) -> Option<Problem> {
        let config = project.source.as_ref()?.config.clone().unwrap_or_default();
        let on = config.production_deployments_enabled.or(config.deployments_enabled).unwrap_or(true);
        if !on {
            return None;
        }
        let text = format!(
            "Cloudflare's git integration deploys {} to production by itself on every push to {}{}, whatever this release decides.",
            self.settings.project,
            project.branch(),
            repository(&config)
        );
        let hint = "turn off automatic production branch deployments in the project's settings (Builds, Branch control)".to_owned();
        Some(self.problem(true, "cloudflare::git-goes-live", text, Some(hint)))
    }

    /// A worker is checked with the settings of previews and serves with those of production (cloudflare.md 5).
    fn settings_differ(&self, project: &Project) -> Option<Problem> {
        let configs = project.deployment_configs.as_ref()?;
        let (production, preview) = (configs.production.as_ref()?, configs.preview.as_ref()?);
        if sorted(production) == sorted(preview) {
            return None;
        }
        let text = format!(
            "The project {} has other settings for previews than for production: what a worker or a function does with them is checked only when it \
             serves.",
            self.settings.project
        );
        Some(self.problem(false, "cloudflare::settings-differ", text, None))
    }

    fn staging_is_production(&self, project: &Project) -> Option<Problem> {
        let staging = project.branch().starts_with(super::preparing::STAGING);
        let text = format!(
            "The production branch of {} is {}, which is what staging branches are called.",
            self.settings.project,
            project.branch()
        );
        staging.then(|| self.problem(true, "cloudflare::staging-is-production", text, Some("set another production branch".to_owned())))
    }

    /// A hostname that is not active does not show what this release serves: fatal where it is the one that users type.
    async fn domains_unusable(&self, project: &Project) -> Result<Vec<Problem>, PlatformError> {
        if project.domains.iter().flatten().all(|name| name.ends_with(".pages.dev")) && self.settings.url.is_none() {
            return Ok(Vec::new());
        }
        let domains = match self.client.domains(&self.settings.project).await {
            Ok(domains) => domains,
            Err(PlatformError { kind: PlatformErrorKind::Forbidden(_), .. }) => {
                let text =
                    format!("The token may not list the domains of {}: whether they are active is not known.", self.settings.project);
                return Ok(vec![self.problem(false, "cloudflare::domains-unseen", text, None)]);
            }
            Err(error) => return Err(error),
        };
        let public = self.settings.public_host();
        let inactive = domains.iter().filter(|domain| domain.status.as_deref().is_some_and(|status| status != "active"));
        let problem = |domain: &super::wire::Domain| {
            let status = domain.status.as_deref().unwrap_or_default();
            let text = format!("The domain {} is {status}, so it may not show what this release serves.", domain.name);
            let hint = "look at the project's custom domains in the dashboard: a missing CNAME record or a CAA record keeps a domain from being active";
            self.problem(public.as_deref() == Some(&domain.name), "cloudflare::domain-not-active", text, Some(hint.to_owned()))
        };
        Ok(inactive.map(problem).collect())
    }
}

pub(super) fn repository(config: &SourceConfig) -> String {
    match (&config.owner, &config.repo_name) {
        (Some(owner), Some(name)) => format!(" of {owner}/{name}"),
        _ => String::new(),
    }
}
