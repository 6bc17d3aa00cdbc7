//! Following one promotion or rollback to its end.

use std::time::Duration;

use tokio::time::Instant;

use super::VercelTarget;
use super::api::Verb;
use super::wire::{AliasRequest, Project};
use crate::platform::{PlatformError, PlatformErrorKind, Scope};

/// How long a job that was surely asked for may be missing in the project, before its hostnames alone decide (vercel.md 6.2).
const APPEARS: Duration = Duration::from_secs(10);
/// How long a job that was perhaps asked for is looked for.
const PERHAPS: Duration = Duration::from_secs(4);
/// How long the project's production may lag behind a job that succeeded.
const CONFIRMED: Duration = Duration::from_secs(15);

/// What a look at the project says about our job.
enum Look<'a> {
    /// It is under way.
    Running,
    /// Every hostname has moved, says the job.
    Succeeded,
    /// Nothing was to be done, says the job.
    Skipped,
    /// Some hostnames may have moved.
    Failed,
    /// There is none (yet), or the project shows none.
    Absent,
    /// Somebody else's job came after ours.
    Overtaken(&'a AliasRequest),
}

impl VercelTarget {
    /// Follows the move of production to `id` that was asked for just now; `known` is the job that the project showed before, which is not ours.
    ///
    /// Returns once the move has happened, or, where `certain` is false, once no job has appeared; with the project where that says that all of it has
    /// moved. The job counts as ours because it is
    /// another one than before and goes to `id`; that needs no agreement of clocks. Errors: the job failed (production may be split), was
    /// overtaken, or did not end in time.
    pub(super) async fn follow_move(
        &self,
        scope: &Scope,
        verb: Verb,
        id: &str,
        known: Option<&AliasRequest>,
        certain: bool,
    ) -> Result<Option<Project>, PlatformError> {
        let began = Instant::now();
        let limit = self.settings.job_deadline;
        let mut succeeded_at = None;
        let mut pause = Self::longer(scope, Duration::ZERO);
        if certain {
            // A job has moved nothing so soon after it was asked for; a slow answer has used that time up.
            let since = self.memory().asked.map_or(Duration::ZERO, |asked| asked.elapsed());
            let left = pause.saturating_sub(since);
            if !left.is_zero() {
                self.pause(scope, left).await?;
            }
        }
        loop {
            let project = self.project().await?;
            match look(&project, id, known) {
                Look::Succeeded if project.serves(id) => return Ok(Some(project)),
                Look::Succeeded => {
                    let since = *succeeded_at.get_or_insert_with(Instant::now);
                    if since.elapsed() >= CONFIRMED {
                        let what = format!("the project's production to be {id} although the {} succeeded", verb.in_words());
                        return Err(self.error("serve", PlatformErrorKind::TimedOut { what, limit: CONFIRMED }));
                    }
                }
                Look::Skipped if project.serves(id) => return Ok(None),
                Look::Skipped => {
                    let text = format!("the {} to {id} was skipped, and production is another deployment", verb.in_words());
                    return Err(self.error("serve", PlatformErrorKind::Refused(text)));
                }
                Look::Failed => return Err(self.failed_move(verb, &project, id).await),
                Look::Overtaken(other) => {
                    let text = format!("somebody else moves production: {}", other.in_words());
                    return Err(self.error("serve", PlatformErrorKind::Conflict(text)));
                }
                Look::Absent if began.elapsed() >= PERHAPS && !certain => return Ok(None),
                // A look at the hostnames costs a request each; while a job has just been made they have not moved yet.
                Look::Absent if project.serves(id) && self.serves_wholly(&project, id).await? => return Ok(None),
                Look::Absent if began.elapsed() >= APPEARS && self.all_lead_to(&project, id).await? => return Ok(None),
                Look::Absent | Look::Running => {}
            }
            if began.elapsed() >= limit {
                let what = format!("the end of the {} to {id}", verb.in_words());
                return Err(self.error("serve", PlatformErrorKind::TimedOut { what, limit }));
            }
            self.pause(scope, pause).await?;
            pause = Self::longer(scope, pause);
        }
    }

    /// Returns whether there are hostnames to be seen and all of them lead to `id`, whatever the project says of its production.
    async fn all_lead_to(&self, project: &Project, id: &str) -> Result<bool, PlatformError> {
        let hosts = self.hosts(project).await?;
        Ok(!hosts.is_empty() && hosts.iter().all(|(_, leads_to)| leads_to == id))
    }

    async fn failed_move(&self, verb: Verb, project: &Project, id: &str) -> PlatformError {
        // Best effort: the move has failed whatever these lists say.
        let failed = self.client.failed_hosts(verb, &project.id).await.unwrap_or_default();
        let moved = self.hosts(project).await.map(|hosts| hosts.iter().filter(|(_, leads_to)| leads_to == id).count());
        let which = if failed.is_empty() { String::new() } else { format!(": {} did not move", failed.join(", ")) };
        let state = match moved {
            Ok(0) => "no hostname leads there",
            _ => "production may be split",
        };
        let text = format!("the {} to {id} failed{which}; {state}", verb.in_words());
        self.error("serve", PlatformErrorKind::Conflict(text))
    }
}

fn look<'a>(project: &'a Project, id: &str, known: Option<&AliasRequest>) -> Look<'a> {
    let Some(request) = &project.last_alias_request else { return Look::Absent };
    if known.is_some_and(|known| known.same_job(request)) {
        return Look::Absent;
    }
    if request.to_deployment_id != id {
        return Look::Overtaken(request);
    }
    match request.job_status.as_str() {
        "succeeded" => Look::Succeeded,
        "skipped" => Look::Skipped,
        "failed" => Look::Failed,
        _ => Look::Running,
    }
}
