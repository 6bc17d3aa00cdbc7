//! Serving: production is pointed at a deployment by a job of Vercel's, and believed only when the project's live target says so.

use std::time::Duration;

use tokio::time::Instant;

use super::client::Moved;
use super::wire::{AliasRequest, Project};
use super::{Hints, PlatformError, PlatformErrorKind, Scope, VercelTarget};
use crate::shutdown::Level;

/// The pause between two looks at a job; a quarter of it is chance, so that several projects do not ask in step.
const POLL: Duration = Duration::from_millis(400);
/// How long a job may be missing from the project before the live target alone is believed.
const ABSENT: Duration = Duration::from_secs(10);
/// How far Vercel's clock and ours may differ.
const CLOCK_SLACK_MS: i64 = 30_000;
/// How often a request that led to nothing is made again.
const REQUESTS: u32 = 3;

/// What a look at the project says about the job that we wait for.
enum Seen {
    /// Production is ours and nothing is at work.
    Serves,
    /// A job is at work, or none is seen yet.
    Wait,
    /// The job ended without moving production.
    Failed(AliasRequest),
}

impl VercelTarget {
    /// Makes a deployment serve production: waits out what is at work, asks, confirms. Asking again when it serves already does nothing.
    pub(super) async fn point_production_at(&self, scope: &Scope, wanted: &Hints) -> Result<(), PlatformError> {
        let deadline = Instant::now() + self.settings.job_deadline;
        let mut failed = None;
        for _ in 0..REQUESTS {
            let project = self.settled(scope, deadline).await?;
            // A job that failed may have moved some hostnames: the live target alone does not show them.
            let split = project
                .last_alias_request
                .as_ref()
                .is_some_and(|job| job.job_status == "failed" && job.to_deployment_id != wanted.deployment);
            if project.production() == Some(wanted.deployment.as_str()) && (!split || self.leads_everywhere(&project, wanted).await) {
                return Ok(());
            }
            let asked = self.client.transport().clock().now_ms() - CLOCK_SLACK_MS;
            let earlier = project.last_alias_request.as_ref().map(|job| job.requested_at);
            scope.step(&self.settings.target, format!("pointing production at {}", wanted.url));
            match self.ask(wanted).await {
                Ok(Moved::Accepted | Moved::Conflict) => {}
                Ok(Moved::Queued) => {
                    let text = "the promotion waits behind a rolling release; traffic has not moved".to_owned();
                    return Err(self
                        .error("promote", PlatformErrorKind::Refused(text))
                        .hint("complete or abort the rolling release in the project"));
                }
                // It may have happened: the project tells, and nothing is repeated blindly.
                Err(error) if error.ambiguous() => scope.step(&self.settings.target, "the answer was lost; looking what serves"),
                Err(error) => return Err(error),
            }
            match self.confirm(scope, wanted, asked, earlier, deadline).await? {
                None => return Ok(()),
                Some(job) => failed = Some(job),
            }
            if scope.shutdown.level() >= Level::Now || failed.as_ref().is_some_and(|job| job.job_status == "failed") {
                break;
            }
        }
        Err(self.not_moved(failed, wanted).await)
    }

    /// Sends the call that fits: promotion for a deployment that never had traffic, rollback for one that had.
    async fn ask(&self, wanted: &Hints) -> Result<Moved, PlatformError> {
        let deployment = self.client.deployment(&wanted.deployment).await?;
        if deployment.had_traffic() {
            return self.client.roll_back(&wanted.project, &wanted.deployment).await;
        }
        match (deployment.ready_substate.as_deref(), self.client.promote(&wanted.project, &wanted.deployment).await) {
            // Vercel did not say whether it ever had traffic, and will not promote it: then it had.
            (None, Err(error)) if matches!(error.kind, PlatformErrorKind::Refused(_)) => {
                self.client.roll_back(&wanted.project, &wanted.deployment).await
            }
            (_, result) => result,
        }
    }

    /// Waits until no job is at work on the project, whosever it is.
    async fn settled(&self, scope: &Scope, deadline: Instant) -> Result<Project, PlatformError> {
        let mut told = false;
        loop {
            let project = self.client.project().await?;
            let Some(job) = project.last_alias_request.as_ref().filter(|job| job.is_open()) else { return Ok(project) };
            if !told {
                scope.step(&self.settings.target, format!("waiting for a {} of {} to end", job.r#type, job.to_deployment_id));
                told = true;
            }
            self.pause(scope, deadline, "the end of an earlier promotion").await?;
        }
    }

    /// Waits until production is the wanted deployment; `Some` is the job that ended without moving it.
    async fn confirm(
        &self,
        scope: &Scope,
        wanted: &Hints,
        asked: i64,
        earlier: Option<i64>,
        deadline: Instant,
    ) -> Result<Option<AliasRequest>, PlatformError> {
        let began = Instant::now();
        loop {
            let project = self.client.project().await?;
            // An older job for the same deployment is not ours: ours was asked for after it.
            let ours = project.last_alias_request.clone().filter(|job| {
                job.to_deployment_id == wanted.deployment
                    && job.requested_at >= asked
                    && earlier.is_none_or(|earlier| job.requested_at > earlier)
            });
            let serves = project.production() == Some(wanted.deployment.as_str());
            let seen = match ours {
                Some(job) if job.is_open() => Seen::Wait,
                Some(job) if job.job_status == "failed" => Seen::Failed(job),
                Some(_) | None if serves && !project.last_alias_request.as_ref().is_some_and(AliasRequest::is_open) => Seen::Serves,
                Some(job) if began.elapsed() > ABSENT => Seen::Failed(job),
                None if began.elapsed() > ABSENT => Seen::Failed(AliasRequest::default()),
                Some(_) | None => Seen::Wait,
            };
            match seen {
                Seen::Serves => return Ok(None),
                Seen::Failed(job) => return Ok(Some(job)),
                Seen::Wait => self.pause(scope, deadline, "the end of the promotion").await?,
            }
        }
    }

    async fn pause(&self, scope: &Scope, deadline: Instant, what: &str) -> Result<(), PlatformError> {
        let jitter = self.client.transport().chance().below(100);
        let pause = POLL - Duration::from_millis(jitter);
        if Instant::now() + pause > deadline {
            let kind = PlatformErrorKind::TimedOut { what: what.to_owned(), limit: self.settings.job_deadline };
            return Err(self.error("get_project", kind));
        }
        tokio::select! {
            biased;
            // A promotion under way is not abandoned at the first signal: the way back would only have to wait for it.
            () = scope.shutdown.at_least(Level::Now) => Err(self.error("get_project", PlatformErrorKind::Cancelled)),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    async fn leads_everywhere(&self, project: &Project, wanted: &Hints) -> bool {
        let hosts = project.targets.get("production").and_then(Option::as_ref).map(|live| live.alias.clone()).unwrap_or_default();
        for host in hosts.iter().chain(self.hosts().clone().iter()) {
            if self.client.leads_to(host).await.is_some_and(|deployment| deployment != wanted.deployment) {
                return false;
            }
        }
        true
    }

    async fn not_moved(&self, job: Option<AliasRequest>, wanted: &Hints) -> PlatformError {
        let job = job.unwrap_or_default();
        let hosts = self.client.failed_aliases(&wanted.project, &job.r#type).await;
        let state = if job.job_status.is_empty() { "was never seen".to_owned() } else { format!("ended as {}", job.job_status) };
        let which = if hosts.is_empty() { String::new() } else { format!("; not moved: {}", hosts.join(", ")) };
        let text = format!("production was to serve {}, and the job {state}{which}", wanted.url);
        self.error("promote", PlatformErrorKind::Refused(text)).hint(format!("vercel inspect {}", wanted.deployment))
    }
}
