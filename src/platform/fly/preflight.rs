//! Preflight: what a release needs to be allowed, all of it told at once.

use super::FlyTarget;
use super::permission::reach_of;
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
        problems.extend(self.strategy_problems(&fleet).await);
        problems.extend(self.machine_problems(&fleet).await?);
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

    pub(super) fn problem(&self, fatal: bool, code: &'static str, text: String, hint: Option<String>) -> Problem {
        Problem { target: self.settings.target.clone(), fatal, code, text, hint }
    }
}
