//! What stands in a preview's way, read without changing anything.

use super::VercelPreview;
use super::hostname::Whose;
use crate::platform::vercel::client::TOKEN_HINT;
use crate::platform::vercel::wire::Project;
use crate::platform::vercel::{VercelSource, scope::TeamScope};
use crate::platform::{PlatformError, PlatformErrorKind, PreviewScope, Problem};

impl VercelPreview {
    pub(super) async fn problems(&self, scope: &PreviewScope) -> Result<Vec<Problem>, PlatformError> {
        let site = &self.site;
        if !site.client.has_token() {
            return Err(site.error("read_token", PlatformErrorKind::Unauthorized("no token".to_owned())).hint(TOKEN_HINT));
        }
        let unnamed = site.client.scope() == TeamScope::Personal;
        let project = site.project().await?;
        let mut problems: Vec<Problem> = site.team_not_named(&project, unnamed).into_iter().collect();
        problems.extend(site.paused(&project));
        problems.extend(site.protected(&project, true));
        problems.extend(self.cannot_be_made(&project));
        problems.extend(self.made_twice(&project));
        if let Whose::Others(why) = self.whose(scope, &project).await? {
            let text = format!("The hostname {} of the preview is somebody else's: {why}.", self.host);
            problems.push(site.problem(true, "vercel::alias-in-use", text, Some(self.other_name())));
        }
        Ok(problems)
    }

    fn cannot_be_made(&self, project: &Project) -> Vec<Problem> {
        let problem = |code, text: String, hint: &str| self.site.problem(true, code, text, Some(hint.to_owned()));
        let mut problems = Vec::new();
        if !matches!(self.site.settings.source, VercelSource::Directory) {
            problems.push(problem(
                "vercel::preview-of-commit",
                super::ONLY_DIRECTORIES.to_owned(),
                "ship a directory: `dir:`, or leave the target out",
            ));
        }
        if project.preview_deployments_disabled {
            let text = format!("The project {} makes no previews: they are turned off.", project.name);
            problems.push(problem("vercel::previews-disabled", text, "turn preview deployments on in the project's settings"));
        }
        if project.production().is_none() {
            problems.push(problem("vercel::no-production", super::first(&project.name), super::FIRST_HINT));
        }
        problems
    }

    /// A git integration makes a preview of its own for every push; both are right, and one of them costs builds for nothing.
    fn made_twice(&self, project: &Project) -> Option<Problem> {
        project.link.as_ref()?;
        if self.site.pushes_make_nothing(project) {
            return None;
        }
        let text = format!("Vercel's git integration makes a preview of {} by itself as well, on every push.", project.name);
        let hint = "write {\"git\": {\"deploymentEnabled\": false}} into vercel.json, or disconnect the repository".to_owned();
        Some(self.site.problem(false, "vercel::previewed-twice", text, Some(hint)))
    }
}
