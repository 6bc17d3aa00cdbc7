//! Preflight: what a release needs to be allowed, all of it told at once.

use super::FlyTarget;
use crate::platform::{PlatformError, PlatformErrorKind, Problem};

impl FlyTarget {
    pub(super) async fn problems(&self) -> Result<Vec<Problem>, PlatformError> {
        self.ask_token().await?;
        self.ask_app().await?;
        let mut problems = self.file_problems();
        problems.extend(self.secret_problems().await?);
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
    async fn ask_token(&self) -> Result<(), PlatformError> {
        match self.client.current_tokens().await {
            Err(error) if matches!(error.kind, PlatformErrorKind::Unauthorized(_)) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "the token does not say who it is");
                Ok(())
            }
            Ok(current) => {
                tracing::debug!(tokens = current.tokens.len(), "token accepted");
                Ok(())
            }
        }
    }

    async fn ask_app(&self) -> Result<(), PlatformError> {
        let app = &self.settings.app;
        self.client.get_app(app).await.map(drop).map_err(|error| match &error.kind {
            PlatformErrorKind::NotFound(_) => error.hint(format!("make it with `fly apps create {app}`, or correct `app` in fly.toml")),
            PlatformErrorKind::Forbidden(_) => error.hint(format!("app {app} exists in an organisation that this token cannot see")),
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
        if config.deploy.release_command.is_some() {
            let text = "fly.toml has a release_command, and this version of cutover does not run it.".to_owned();
            let hint = "run it yourself before the release, and take it out of the fly.toml that this release reads".to_owned();
            problems.push(self.problem(true, "fly::release-command", text, Some(hint)));
        }
        problems
    }

    async fn secret_problems(&self) -> Result<Vec<Problem>, PlatformError> {
        if self.settings.secrets.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.client.secret_names(&self.settings.app).await?;
        let missing = self.settings.secrets.iter().filter(|wanted| !names.contains(wanted));
        Ok(missing
            .map(|name| {
                let hint = format!("fly secrets set --stage -a {} {name}=…", self.settings.app);
                self.problem(true, "secret::missing", format!("{} has no secret {name}.", self.settings.app), Some(hint))
            })
            .collect())
    }

    pub(super) fn problem(&self, fatal: bool, code: &'static str, text: String, hint: Option<String>) -> Problem {
        Problem { target: self.settings.target.clone(), fatal, code, text, hint }
    }
}
