//! Preflight: what a release needs to be allowed, all of it told at once.

use super::FlyTarget;
use super::toml::Strategy;
use crate::platform::{PlatformError, PlatformErrorKind, Problem};

impl FlyTarget {
    pub(super) async fn problems(&self) -> Result<Vec<Problem>, PlatformError> {
        self.ask_token().await?;
        self.ask_app().await?;
        let mut problems = self.file_problems();
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
