//! What stands in a release's way, read without changing anything.

use super::WorkerTarget;
use crate::platform::{PlatformError, PlatformErrorKind, Problem};

/// What to do about a token that is not accepted.
pub(super) const TOKEN_HINT: &str =
    "set CLOUDFLARE_API_TOKEN to a token with Account › Workers Scripts › Edit: https://dash.cloudflare.com/profile/api-tokens";

impl WorkerTarget {
    pub(super) async fn problems(&self) -> Result<Vec<Problem>, PlatformError> {
        if let Some(wrong) = self.client.token_problem() {
            return Err(self.error("read_token", PlatformErrorKind::Unauthorized(wrong.to_owned())).hint(TOKEN_HINT));
        }
        let in_force = self.in_force().await.map_err(|mut error| {
            if matches!(error.kind, PlatformErrorKind::Unauthorized(_) | PlatformErrorKind::Forbidden(_)) {
                error.hints = vec![TOKEN_HINT.to_owned()];
            }
            error
        })?;
        let mut problems = Vec::new();
        let newest = in_force.as_ref().and_then(|deployment| deployment.serving().next());
        if let Some(share) = newest
            && let Some(version) = self.client.version(&self.settings.worker, &share.version_id).await?
        {
            let resources = version.resources.unwrap_or_default();
            let bound = resources.bindings.is_some_and(|bindings| !bindings.is_empty());
            let handles = resources.script.and_then(|script| script.handlers).is_some_and(|handlers| !handlers.is_empty());
            problems.extend(self.has_more_than_files(bound, handles));
        }
        Ok(problems)
    }

    /// A version with files alone would take code and bindings away from users.
    fn has_more_than_files(&self, bound: bool, handles: bool) -> Option<Problem> {
        let worker = &self.settings.worker;
        let (fatal, what) = match (bound, handles) {
            (true, _) => (true, "bindings"),
            // Whether a worker with files alone shows a handler of the platform's own is not documented [?].
            (false, true) => (false, "code"),
            (false, false) => return None,
        };
        Some(Problem {
            target: self.settings.target.clone(),
            fatal,
            code: "cloudflare::worker-has-more",
            text: format!("The worker {worker} has {what} beside static assets, and a release would make it a worker with files alone."),
            hint: Some("name another worker, one that serves files and nothing else".to_owned()),
        })
    }
}
