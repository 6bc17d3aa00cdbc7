//! What stands in a release's way, read without changing anything.

use secrecy::ExposeSecret;
use url::Url;

use super::client::TOKEN_HINT;
use super::scope::TeamScope;
use super::wire::{Domain, Link, Of, Project};
use super::{VercelSource, VercelTarget};
use crate::platform::{PlatformError, PlatformErrorKind, Problem, Scope};

/// Commands by which a project skips every build of its git integration.
const SKIPS_ALWAYS: &[&str] = &["exit 0", "true", ":", "exit 0;"];

impl VercelTarget {
    pub(super) async fn problems(&self, _: &Scope) -> Result<Vec<Problem>, PlatformError> {
        if !self.client.has_token() {
            return Err(self.error("read_token", PlatformErrorKind::Unauthorized("no token".to_owned())).hint(TOKEN_HINT));
        }
        let unnamed = self.client.scope() == TeamScope::Personal;
        let project = self.project().await?;
        let mut problems: Vec<Problem> = self.team_not_named(&project, unnamed).into_iter().collect();
        problems.extend(self.settings_in_the_way(&project));
        problems.extend(self.pushes_go_live(&project));
        problems.extend(self.source_unusable(&project));
        problems.extend(self.domains_unusable(&project).await?);
        problems.extend(self.variables_missing(&project).await?);
        Ok(problems)
    }

    /// Finds that a team was left out, which the project's own word named since.
    pub(super) fn team_not_named(&self, project: &Project, unnamed: bool) -> Option<Problem> {
        let team = &project.account_id;
        let text = format!("The project {} belongs to the team {team}, which nobody named.", project.name);
        let left_out = unnamed && team.starts_with("team_");
        left_out.then(|| self.problem(false, "vercel::team-not-named", text, Some(format!("set VERCEL_ORG_ID={team}"))))
    }

    pub(super) fn problem(&self, fatal: bool, code: &'static str, text: String, hint: Option<String>) -> Problem {
        Problem { target: self.settings.target.clone(), fatal, code, text, hint }
    }

    fn settings_in_the_way(&self, project: &Project) -> Vec<Problem> {
        let mut problems = Vec::new();
        let name = &project.name;
        if project.rolling_release.as_ref().is_some_and(|config| !config.is_null() && config != false) {
            let text = format!(
                "The project {name} has rolling releases: a promotion would be spread over stages instead of moving all users at once."
            );
            let hint =
                "turn Rolling Releases off in the project's settings (Build and Deployment), or leave this target out of the release";
            problems.push(self.problem(true, "vercel::rolling-release", text, Some(hint.to_owned())));
        }
        problems.extend(self.paused(project));
        problems.extend(self.protected(project, false));
        problems
    }

    pub(super) fn paused(&self, project: &Project) -> Option<Problem> {
        let text = format!("The project {} is paused: nothing of it answers.", project.name);
        let hint = "resume it in the project's settings".to_owned();
        project.paused.then(|| self.problem(true, "vercel::paused", text, Some(hint)))
    }

    /// Finds that what is made asks for a login, and nothing opens it.
    pub(super) fn protected(&self, project: &Project, preview: bool) -> Option<Problem> {
        let kind = project.sso_protection.as_ref().and_then(|sso| sso.get("deploymentType")?.as_str());
        // "preview" alone leaves the addresses of production deployments open (vercel.md 9).
        let guarded = kind.is_some_and(|kind| preview || kind != "preview")
            || project.password_protection.as_ref().is_some_and(|value| !value.is_null());
        let what = if preview { "a preview" } else { "a prepared deployment" };
        let text = format!("Deployment Protection guards the deployments of {}: {what} answers checks with a login page.", project.name);
        let hint =
            "make a secret under Protection Bypass for Automation in the project's settings, and set VERCEL_AUTOMATION_BYPASS_SECRET";
        let closed = guarded && self.settings.bypass.is_none();
        closed.then(|| self.problem(false, "vercel::protected", text, Some(hint.to_owned())))
    }

    /// Returns whether a push makes no deployment: the platform shows it, or `vercel.json` says so.
    pub(super) fn pushes_make_nothing(&self, project: &Project) -> bool {
        let off = project.git_provider_options.as_ref().is_some_and(|options| options.create_deployments.as_deref() == Some("disabled"));
        let skipped = project.command_for_ignoring_build_step.as_deref().is_some_and(|command| SKIPS_ALWAYS.contains(&command.trim()));
        off || skipped || self.settings.git_deployments_disabled
    }

    /// Finds a git integration that flips production by itself.
    ///
    /// A connected project whose production deployments take the domains by themselves goes live on each push to its production branch,
    /// outside of any release and of its checks. That is refused for what we upload ourselves, unless the platform shows that pushes make no
    /// deployment (`createDeployments`, a build step that is always skipped) or `vercel.json` says so. Where Vercel builds for us the
    /// integration is wanted, so it is told only; the first release turns the setting off while it works and puts it back.
    fn pushes_go_live(&self, project: &Project) -> Option<Problem> {
        let link = project.link.as_ref()?;
        let branch = link.production_branch.as_deref().filter(|branch| !branch.is_empty())?;
        if project.auto_assign_custom_domains == Some(false) || self.pushes_make_nothing(project) {
            return None;
        }
        let text = format!(
            "Vercel's git integration deploys {} to production by itself on every push to {branch}{}, whatever this release decides.",
            project.name,
            repository(link)
        );
        let hint = "turn off \"Auto-assign Custom Production Domains\" in the project's settings (Environments, Production), or write \
                    {\"git\": {\"deploymentEnabled\": false}} into vercel.json, or disconnect the repository";
        let ours = matches!(self.settings.source, VercelSource::Directory);
        Some(self.problem(ours, "vercel::git-goes-live", text, Some(hint.to_owned())))
    }

    /// Finds what keeps Vercel from building for us.
    fn source_unusable(&self, project: &Project) -> Option<Problem> {
        if matches!(self.settings.source, VercelSource::Directory) {
            return None;
        }
        let Some(link) = &project.link else {
            let text = format!("The project {} is connected to no repository, so Vercel has nothing to build.", project.name);
            let hint = "connect one in the project's settings (Git), or ship a directory: `dir:`".to_owned();
            return Some(self.problem(true, "vercel::not-connected", text, Some(hint)));
        };
        let VercelSource::Hook { url } = &self.settings.source else { return None };
        let Some(hook) = Hook::parse(url.expose_secret()) else {
            let text =
                "The deploy hook's address is not one: it looks like https://api.vercel.com/v1/integrations/deploy/prj_…/….".to_owned();
            return Some(self.problem(true, "vercel::hook-invalid", text, None));
        };
        if hook.project != project.id {
            let text = format!("The deploy hook belongs to another project than {}.", project.name);
            return Some(self.problem(true, "vercel::hook-of-another-project", text, None));
        }
        let known = link.deploy_hooks.iter().find(|known| known.id == hook.id);
        let branch = known.and_then(|known| known.r#ref.as_deref());
        if known.is_none() && !link.deploy_hooks.is_empty() {
            let text = format!("The project {} does not have this deploy hook any more.", project.name);
            let hint = "make another in the project's settings (Git, Deploy Hooks), and set its address".to_owned();
            return Some(self.problem(true, "vercel::hook-revoked", text, Some(hint)));
        }
        let production = link.production_branch.as_deref();
        if let (Some(branch), Some(production)) = (branch, production)
            && branch != production
        {
            let text = format!("The deploy hook builds {branch}, which makes a preview; only {production} makes what can be promoted.");
            return Some(self.problem(true, "vercel::hook-makes-previews", text, None));
        }
        None
    }

    async fn domains_unusable(&self, project: &Project) -> Result<Vec<Problem>, PlatformError> {
        let domains = match self.production_domains(project).await {
            Ok(domains) => domains,
            Err(PlatformError { kind: PlatformErrorKind::Forbidden(_), .. }) => {
                let text = format!("The token may not list the domains of {}: whether they are verified is not known.", project.name);
                return Ok(vec![self.problem(false, "vercel::domains-unseen", text, None)]);
            }
            Err(error) => return Err(error),
        };
        Ok(domains.iter().filter(|domain| domain.verified == Some(false)).map(|domain| self.unverified(domain)).collect())
    }

    /// A hostname that is not verified is moved by no promotion: fatal where it is the one that users type.
    fn unverified(&self, domain: &Domain) -> Problem {
        let public = self.settings.url.as_deref().and_then(|url| Url::parse(url).ok()).and_then(|url| url.host_str().map(str::to_owned));
        let hint = domain
            .verification
            .first()
            .map(|proof| format!("add the {} record {} with the value {}", proof.r#type, proof.domain, proof.value));
        let text = format!("The domain {} is not verified, so it will not show what this release serves.", domain.name);
        self.problem(public.as_deref() == Some(&domain.name), "vercel::domain-not-verified", text, hint)
    }

    async fn variables_missing(&self, project: &Project) -> Result<Vec<Problem>, PlatformError> {
        if self.settings.variables.is_empty() {
            return Ok(Vec::new());
        }
        let known = match self.client.variables(&project.id, Of::Production).await {
            Ok(known) => known,
            Err(PlatformError { kind: PlatformErrorKind::Forbidden(_), .. }) => {
                let text = format!(
                    "The token may not list the variables of {}: whether it has {} is not known.",
                    project.name,
                    self.settings.variables.join(", ")
                );
                return Ok(vec![self.problem(false, "vercel::variables-unseen", text, None)]);
            }
            Err(error) => return Err(error),
        };
        let missing = self.settings.variables.iter().filter(|name| known.iter().all(|variable| variable.key != **name));
        let problem = |name: &String| {
            let text = format!("The project {} has no production variable {name}.", project.name);
            self.problem(true, "vercel::variable-missing", text, Some(format!("vercel env add {name} production")))
        };
        Ok(missing.map(problem).collect())
    }
}

fn repository(link: &Link) -> String {
    match (&link.org, &link.repo) {
        (Some(org), Some(repo)) => format!(" of {org}/{repo}"),
        _ => String::new(),
    }
}

/// A deploy hook's address, taken apart: `…/deploy/{project}/{id}`, both of which the platform's metadata name (vercel.md 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) url: Url,
    pub(super) project: String,
    pub(super) id: String,
}

impl Hook {
    /// Returns the parts of an address, or `None` when it is none of a hook.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text.trim()).ok()?;
        let segments: Vec<String> = url.path_segments()?.filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        let [.., deploy, project, id] = segments.as_slice() else { return None };
        let (project, id) = (project.clone(), id.clone());
        (deploy == "deploy").then_some(Self { url, project, id })
    }
}
