//! What stands in a preview's way, read without changing anything.

use super::branch::Whose;
use super::{DEV, PagesPreview};
use crate::platform::cloudflare::client::TOKEN_HINT;
use crate::platform::cloudflare::pages::PagesSource;
use crate::platform::cloudflare::pages::preflight::repository;
use crate::platform::cloudflare::pages::wire::Project;
use crate::platform::{PlatformError, PlatformErrorKind, Problem};

impl PagesPreview {
    pub(super) async fn problems(&self) -> Result<Vec<Problem>, PlatformError> {
        let site = &self.site;
        if let Some(wrong) = site.client.token_problem() {
            return Err(site.error("read_token", PlatformErrorKind::Unauthorized(wrong.to_owned())).hint(TOKEN_HINT));
        }
        let project = site.project().await?;
        let fatal = |code, text, hint: &str| site.problem(true, code, text, Some(hint.to_owned()));
        let mut problems: Vec<Problem> = site.account_unusual().into_iter().collect();
        if !matches!(site.settings.source, PagesSource::Directory) {
            let text = super::ONLY_DIRECTORIES.to_owned();
            problems.push(fatal("cloudflare::preview-of-commit", text, "ship a directory: `dir:`, or leave the target out"));
        }
        if project.branch() == self.branch {
            problems.push(fatal("cloudflare::preview-is-production", self.is_production(), super::BRANCH_HINT));
        }
        problems.extend(self.other_subdomain(&project));
        problems.extend(self.made_twice(&project));
        if let Whose::Others(why) = self.whose().await? {
            let text = format!("The branch {} of the preview is somebody else's: {why}.", self.branch);
            problems.push(fatal("cloudflare::branch-in-use", text, super::TAKEN_HINT));
        }
        Ok(problems)
    }

    /// The address was told without asking anybody; here the project says what it really is.
    fn other_subdomain(&self, project: &Project) -> Option<Problem> {
        let real = project.subdomain.as_deref().filter(|real| *real != self.subdomain)?;
        let text = format!("The project {} is {real}, so its preview shows elsewhere than at {}.", project.name, self.address_text());
        Some(self.site.problem(true, "cloudflare::subdomain", text, Some(self.subdomain_hint(real))))
    }

    /// Returns what to write for a project that is called `real` on pages.dev.
    pub(super) fn subdomain_hint(&self, real: &str) -> String {
        format!("write `pages: {{ project: {}, subdomain: {} }}`", self.site.settings.project, real.trim_end_matches(DEV))
    }

    /// A git integration makes a preview of its own for every push.
    fn made_twice(&self, project: &Project) -> Option<Problem> {
        let config = project.source.as_ref()?.config.clone().unwrap_or_default();
        if config.preview_deployment_setting.as_deref() == Some("none") {
            return None;
        }
        let text = format!(
            "Cloudflare's git integration makes previews of {} by itself as well, on pushes{}.",
            self.site.settings.project,
            repository(&config)
        );
        let hint = "set preview branches to none in the project's settings (Builds, Branch control)".to_owned();
        Some(self.site.problem(false, "cloudflare::previewed-twice", text, Some(hint)))
    }

    pub(super) fn is_production(&self) -> String {
        format!("The branch {} is the production branch of {}: a preview would go live.", self.branch, self.site.settings.project)
    }
}
