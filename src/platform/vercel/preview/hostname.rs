//! The hostname of a preview: whose it is, and moving it.

use std::time::Duration;

use tokio::time::Instant;

use super::VercelPreview;
use super::mark::{self, HOST};
use crate::platform::vercel::READ_LAG;
use crate::platform::vercel::api::{Assigned, Holder};
use crate::platform::vercel::wire::{Deployment, Project};
use crate::platform::{PlatformError, PlatformErrorKind, PreviewScope};

/// How often a move is asked for: lost answers, and moves that nobody sees happen, use up tries.
const MOVES: usize = 3;
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Whose the hostname is.
#[derive(Debug)]
pub(super) enum Whose {
    /// Nobody's yet.
    Nobody,
    /// This preview's, and this is what it shows.
    Ours(Box<Deployment>),
    /// Somebody else's, in words.
    Others(String),
}

impl VercelPreview {
    /// Returns whose the hostname is. One that leads to nothing is nobody's; whether it does is asked again for as long as a read may lag.
    pub(super) async fn whose(&self, scope: &PreviewScope, project: &Project) -> Result<Whose, PlatformError> {
        let until = Instant::now() + READ_LAG;
        let host = &self.host;
        loop {
            let alias = match self.site.client.holder(host).await? {
                Holder::Nobody => return Ok(Whose::Nobody),
                Holder::Unseen(error) => return Ok(Whose::Others(error.kind.to_string())),
                Holder::Known(alias) => alias,
            };
            if let Some(other) = alias.project_id.as_deref().filter(|id| *id != project.id) {
                return Ok(Whose::Others(format!("it leads to the project {other}")));
            }
            let Some(id) = alias.deployment_id else { return Ok(Whose::Nobody) };
            if let Some(shown) = self.site.client.deployment(&id).await? {
                let ours = mark::pull_request(&shown, &project.id, &self.preview.of) == Some(self.preview.pull_request);
                if ours && shown.meta(HOST) == Some(host) {
                    return Ok(Whose::Ours(Box::new(shown)));
                }
                return Ok(Whose::Others(format!("it leads to {}, which is not of this preview", shown.url.as_deref().unwrap_or(&id))));
            }
            if Instant::now() >= until {
                return Ok(Whose::Nobody);
            }
            self.site.pause(scope, LOOK).await?;
        }
    }

    /// Makes the hostname lead to a deployment and sees that it does. `found` says that the deployment was there already, so that one that is
    /// newer may be shown now.
    pub(super) async fn lead(&self, scope: &PreviewScope, project: &Project, to: &Deployment, found: bool) -> Result<(), PlatformError> {
        let mut moves = 0;
        loop {
            match self.whose(scope, project).await? {
                Whose::Ours(shown) if shown.id() == to.id() => return Ok(()),
                Whose::Others(why) => return Err(self.taken(&why)),
                Whose::Ours(shown) if !found && shown.created_at > to.created_at => {
                    let text = format!("a newer push is shown already, by {}", shown.url.as_deref().unwrap_or(shown.id()));
                    return Err(self.site.error("assign_alias", PlatformErrorKind::Conflict(text)));
                }
                Whose::Nobody | Whose::Ours(_) => {}
            }
            self.site.may_go_on(scope)?;
            scope.step(&self.site.settings.target, format!("{} leads to {}", self.host, to.url.as_deref().unwrap_or(to.id())));
            match self.site.client.assign_alias(to.id(), &self.host).await {
                Ok(Assigned::InUse) => return Err(self.taken("somebody else on Vercel has it")),
                Ok(Assigned::Done) if self.until_led(scope, to.id()).await? => return Ok(()),
                Ok(Assigned::Done) => {}
                Err(error) if error.ambiguous() => {
                    scope.step(&self.site.settings.target, "the answer to the move was lost: looking where the hostname leads");
                    if moves + 1 == MOVES {
                        return Err(error);
                    }
                    self.site.pause(scope, LOOK).await?;
                }
                Err(error) => return Err(error),
            }
            moves += 1;
            if moves == MOVES {
                let what = format!("{} to lead to {}", self.host, to.id());
                return Err(self.site.error("assign_alias", PlatformErrorKind::TimedOut { what, limit: READ_LAG }));
            }
        }
    }

    /// Returns whether the hostname leads to a deployment, looking for as long as a read may lag.
    async fn until_led(&self, scope: &PreviewScope, id: &str) -> Result<bool, PlatformError> {
        let until = Instant::now() + READ_LAG;
        loop {
            if let Holder::Known(alias) = self.site.client.holder(&self.host).await?
                && alias.deployment_id.as_deref() == Some(id)
            {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            self.site.pause(scope, LOOK).await?;
        }
    }

    pub(super) fn taken(&self, why: &str) -> PlatformError {
        let host = &self.host;
        self.site.error("assign_alias", PlatformErrorKind::Foreign(format!("{host} is not this preview's: {why}"))).hint(self.other_name())
    }

    /// Returns what to do about a hostname that somebody else has.
    pub(super) fn other_name(&self) -> String {
        format!("name another beginning in the manifest: `vercel: {{ project: {}, alias: NAME }}`", self.site.settings.project)
    }
}
