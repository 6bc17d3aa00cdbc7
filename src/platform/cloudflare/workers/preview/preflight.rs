//! What stands in a preview's way, read without changing anything.

use super::showing::Whose;
use super::{DEV, TAKEN_HINT, WorkerPreview};
use crate::platform::cloudflare::workers::preflight::TOKEN_HINT;
use crate::platform::{PlatformError, PlatformErrorKind, Problem};

impl WorkerPreview {
    pub(super) async fn problems(&self) -> Result<Vec<Problem>, PlatformError> {
        if let Some(wrong) = self.site.client.token_problem() {
            return Err(self.site.error("read_token", PlatformErrorKind::Unauthorized(wrong.to_owned())).hint(TOKEN_HINT));
        }
        let account = self.site.client.account_subdomain().await.map_err(|mut error| {
            if matches!(error.kind, PlatformErrorKind::Unauthorized(_) | PlatformErrorKind::Forbidden(_)) {
                error.hints = vec![TOKEN_HINT.to_owned()];
            }
            error
        })?;
        let mut problems: Vec<Problem> = self.other_subdomain(account.as_deref()).into_iter().collect();
        if let Whose::Others = self.whose().await? {
            let text = format!("The preview cannot be shown: {}.", self.taken());
            problems.push(self.problem("cloudflare::worker-in-use", text, TAKEN_HINT.to_owned()));
        }
        Ok(problems)
    }

    /// The address was told without asking anybody; here the account says what it really is.
    fn other_subdomain(&self, account: Option<&str>) -> Option<Problem> {
        let Some(real) = account else {
            let text = format!("The account {} has no name on workers.dev, below which previews show.", self.site.settings.account);
            let hint = "choose one in the dashboard (Workers & Pages, Your subdomain)".to_owned();
            return Some(self.problem("cloudflare::no-subdomain", text, hint));
        };
        if real == self.subdomain {
            return None;
        }
        let text = format!("The account is {real}{DEV}, so its previews show elsewhere than below {}{DEV}.", self.subdomain);
        Some(self.problem("cloudflare::subdomain", text, format!("write `worker: {{ name: {}, subdomain: {real} }}`", self.base)))
    }

    fn problem(&self, code: &'static str, text: String, hint: String) -> Problem {
        Problem { target: self.site.settings.target.clone(), fatal: true, code, text, hint: Some(hint) }
    }
}
