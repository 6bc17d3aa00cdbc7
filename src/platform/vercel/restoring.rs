//! Putting back the one setting that a move of production disturbs, and leaving alone what somebody else has set.
//!
//! A promotion turns `autoAssignCustomDomains` on and a rollback turns it off (vercel.md 6.3). Only that is undone: where the setting is neither
//! as it was saved nor as the last move of this release leaves it, a person has decided meanwhile, and the decision stays and is told as
//! drift. What a person sets to the very value that a move leaves cannot be told from the move. A deploy hook needs the setting off before
//! it is called, so a target that builds at the vendor's has it put back always.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::api::Verb;
use super::hooking::began_ms;
use super::observing::AUTO_ASSIGN;
use super::wire::Project;
use super::{READ_LAG, VercelSource, VercelTarget};
use crate::event::Level;
use crate::platform::{PlatformError, PlatformErrorKind, Scope, Settings};

/// The pause between two looks whether the setting has come to be.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// What this process's own moves have done to the setting.
#[derive(Debug, Default)]
pub(super) struct Disturbed {
    /// The values that it may have by our hand: one, unless what became of a move is not known.
    left: BTreeSet<bool>,
    /// What the last move that was asked for makes of it.
    asked: Option<bool>,
    /// What somebody else has set it to between two moves of ours.
    theirs: Option<bool>,
}

impl Verb {
    /// Returns what the move makes of the setting.
    const fn makes(self) -> bool {
        matches!(self, Self::Promote)
    }
}

impl VercelTarget {
    /// Notes, before a move is asked for, what it makes of the setting, and what somebody else has made of it since the move before.
    ///
    /// In a process that has moved nothing yet the move before is the project's last job, where that is of the same release: a dead runner's.
    pub(super) fn about_to_move(&self, scope: &Scope, project: &Project, verb: Verb) {
        let now = project.auto_assign_custom_domains.unwrap_or(true);
        let disturbed = &mut self.memory().disturbed;
        if disturbed.left.is_empty() {
            // Until it has moved it may be as it was.
            disturbed.left.insert(job_made(scope, project).unwrap_or(now));
        }
        if disturbed.left.len() == 1 && !disturbed.left.contains(&now) {
            disturbed.theirs = Some(now);
        }
        disturbed.left.insert(verb.makes());
        disturbed.asked = Some(verb.makes());
    }

    /// Notes that production is where the last move was to bring it.
    pub(super) fn has_moved(&self, id: &str) {
        let mut memory = self.memory();
        (memory.moved, memory.moved_to) = (Some(Instant::now()), Some(id.to_owned()));
        memory.disturbed.left = memory.disturbed.asked.into_iter().collect();
    }

    /// Puts back the setting as it was saved, where this release has changed it; already so is done.
    pub(super) async fn restore_settings(&self, scope: &Scope, settings: &Settings) -> Result<(), PlatformError> {
        let Some(saved) = settings.get(AUTO_ASSIGN).and_then(Value::as_bool) else { return Ok(()) };
        let project = self.project().await?;
        let now = project.auto_assign_custom_domains.unwrap_or(true);
        if now == saved {
            return Ok(());
        }
        if !self.left_so(scope, &project, now) {
            let text = format!(
                "{}: {AUTO_ASSIGN} is {now} and was {saved}, and no move of this release made it so: somebody else has changed it, and it stays.",
                self.settings.target
            );
            scope.events.notice(Level::Warning, "drift::setting", text);
            return Ok(());
        }
        scope.step(&self.settings.target, format!("{AUTO_ASSIGN} goes back to {saved}"));
        // An answer alone is not believed: whoever finds the setting off takes it for somebody's pin.
        let until = Instant::now() + READ_LAG;
        loop {
            self.client.set_auto_assign(&project.id, saved).await?;
            if self.project().await?.auto_assign_custom_domains == Some(saved) {
                return Ok(());
            }
            if Instant::now() >= until {
                let what = format!("{AUTO_ASSIGN} being read as {saved}");
                return Err(self.error("update_project", PlatformErrorKind::TimedOut { what, limit: READ_LAG }));
            }
            self.pause(scope, LOOK_PAUSE).await?;
        }
    }

    /// Returns whether the setting may be what it is by this release's hand.
    fn left_so(&self, scope: &Scope, project: &Project, now: bool) -> bool {
        if !matches!(self.settings.source, VercelSource::Directory) {
            return true;
        }
        let memory = self.memory();
        if memory.disturbed.theirs == Some(now) {
            return false;
        }
        if !memory.disturbed.left.is_empty() {
            return memory.disturbed.left.contains(&now);
        }
        // Another process may have moved it before it died: the project's last job tells what that made of the setting.
        match (job_made(scope, project), &project.last_alias_request) {
            (Some(made), _) => made == now,
            (None, Some(_)) => false,
            // Nothing tells: what takes domains by itself is put back, what keeps them is left, since a pin harms nobody.
            (None, None) => now,
        }
    }
}

/// Returns what the project's last job has made of the setting, where it is of this release by the time at which it was asked for.
fn job_made(scope: &Scope, project: &Project) -> Option<bool> {
    let job = project.last_alias_request.as_ref()?;
    let since = began_ms(scope).unwrap_or(i64::MIN);
    job.requested_at.is_none_or(|at| at as i64 >= since).then_some(job.r#type != "rollback")
}
