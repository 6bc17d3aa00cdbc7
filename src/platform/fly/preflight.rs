//! Preflight: what a release needs to be allowed, all of it told at once.

use super::FlyTarget;
use super::permission::reach_of;
use super::toml::Strategy;
use super::wire::CurrentTokens;
use crate::platform::{PlatformError, PlatformErrorKind, Problem};

impl FlyTarget {
    pub(super) async fn problems(&self) -> Result<Vec<Problem>, PlatformError> {
        let who = self.ask_token().await?;
        self.ask_app(who.as_ref()).await?;
        let mut problems = self.file_problems();
        problems.extend(self.token_problems(who.as_ref()));
        problems.extend(self.secret_problems().await?);
        problems.extend(self.database_problems(self.client.now()).await);
        let fleet = self.fleet().await?;
        let first = fleet.registered().next().is_none();
        problems.extend(self.strategy_problems(first).await);
        if !fleet.unmanaged.is_empty() {
            let names: Vec<&str> = fleet.unmanaged.iter().map(|machine| machine.id.as_str()).collect();
            let text = format!("{} has machines that no release made, left alone: {}", self.settings.app, names.join(", "));
            problems.push(self.problem(false, "fly::unmanaged", text, None));
        }
        Ok(problems)
    }

    /// Asks who the token is; only a refusal says anything, since not every token may ask.
    async fn ask_token(&self) -> Result<Option<CurrentTokens>, PlatformError> {
        match self.client.current_tokens().await {
            Err(error) if matches!(error.kind, PlatformErrorKind::Unauthorized(_)) => {
                let app = &self.settings.app;
                Err(error.hint(format!(
                    "an expired token is refused like a wrong one: fly tokens create deploy -a {app}, and set FLY_API_TOKEN to all that it prints"
                )))
            }
            Err(error) => {
                tracing::debug!(%error, "the token does not say who it is");
                Ok(None)
            }
            Ok(current) => Ok(Some(current)),
        }
    }

    async fn ask_app(&self, who: Option<&CurrentTokens>) -> Result<(), PlatformError> {
        let app = &self.settings.app;
        self.client.get_app(app).await.map(drop).map_err(|error| match &error.kind {
            PlatformErrorKind::NotFound(_) => error.hint(format!("make it with `fly apps create {app}`, or correct `app` in fly.toml")),
            PlatformErrorKind::Forbidden(_) => {
                let reach = who.and_then(reach_of).map(|reach| format!("; the token is for {reach}")).unwrap_or_default();
                error.hint(format!("app {app} exists where this token cannot see it{reach}: fly tokens create deploy -a {app}"))
            }
            _ => error,
        })
    }

    fn file_problems(&self) -> Vec<Problem> {
        let (app, config) = (&self.settings.app, &self.settings.config);
        let mut problems = Vec::new();
        if let Some(other) = config.app.as_deref().filter(|other| other != app) {
            let text = format!("fly.toml names app {other}, and this release goes to {app}.");
            let hint = format!("correct `app` in fly.toml unless another app is meant for this environment than {other}");
            problems.push(self.problem(false, "fly::other-app", text, Some(hint)));
        }
        problems
    }

    async fn secret_problems(&self) -> Result<Vec<Problem>, PlatformError> {
        let wanted = self.required_secrets();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (app, listed) = (&self.settings.app, self.client.secrets(&self.settings.app).await?);
        let there = |name: &String| listed.contains_key(name) || self.settings.secret_values.contains_key(name);
        let missing = wanted.iter().filter(|name| !there(name)).map(|name| {
            let hint = format!("set {name} in the environment of this run, or type: fly secrets set --stage -a {app} {name}=…");
            self.problem(true, "secret::missing", format!("{app} has no secret {name}, and this run has no value for it."), Some(hint))
        });
        Ok(missing.collect())
    }

    async fn strategy_problems(&self, first: bool) -> Vec<Problem> {
        let (app, config) = (&self.settings.app, &self.settings.config);
        let mut problems = Vec::new();
        let mut fatal = |code, text: String, hint: &str| problems.push(self.problem(true, code, text, Some(hint.to_owned())));
        let rolling = "use strategy rolling";
        if first && config.primary_region.is_none() {
            fatal("fly::region", format!("{app} has no machines, and fly.toml has no primary_region."), "add primary_region to fly.toml");
        }
        if first && !config.mounts.is_empty() {
            fatal(
                "fly::first-volume",
                format!("{app} has no machines, and fly.toml asks for a volume."),
                "make the first machine with `fly deploy`",
            );
        }
        match self.strategy() {
            Strategy::Bluegreen => {
                if !config.mounts.is_empty() {
                    fatal(
                        "fly::bluegreen-volume",
                        "bluegreen cannot be used with a volume: it belongs to one machine.".to_owned(),
                        rolling,
                    );
                }
                if !config.groups().iter().any(|group| config.has_checks(group)) {
                    let text =
                        "bluegreen needs at least one check in fly.toml: nothing else tells that the new machines are well.".to_owned();
                    fatal("fly::bluegreen-checks", text, "add a check to the service, or use strategy rolling");
                }
                if let Some(group) = config.groups().into_iter().find(|group| config.services_of(group).is_empty()) {
                    let text = format!(
                        "bluegreen cannot be used for process group {group}, which has no service: its machines would work at once."
                    );
                    fatal("fly::bluegreen-worker", text, rolling);
                }
                if self.client.can_bluegreen(app).await == Some(false) {
                    let text =
                        format!("the organisation of {app} has no room for a second set of machines (canPerformBluegreenDeployment).");
                    fatal("fly::bluegreen-limit", text, "ask Fly for a higher limit, or use strategy rolling");
                }
            }
            Strategy::Rolling => {}
            other => {
                let text = format!("strategy {other} is done as rolling here: the first machine alone, each well before the next.");
                problems.push(self.problem(false, "fly::strategy", text, None));
            }
        }
        problems
    }

    pub(super) fn problem(&self, fatal: bool, code: &'static str, text: String, hint: Option<String>) -> Problem {
        Problem { target: self.settings.target.clone(), fatal, code, text, hint }
    }
}
