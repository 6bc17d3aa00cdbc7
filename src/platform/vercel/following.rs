//! Following a deployment until it is ready or will never be.

use std::time::Duration;

use tokio::time::Instant;

use super::wire::{Deployment, Progress};
use super::{READ_LAG, VercelTarget};
use crate::event::Level;
use crate::platform::{Errand, PlatformError, PlatformErrorKind};

/// How many lines of a failed build's log are shown.
const LOG_LINES: usize = 20;

impl VercelTarget {
    /// Returns the deployment once it is READY.
    ///
    /// It does not wait for `aliasAssigned`: a deployment that keeps away from the domains may never say so (inkeep/agents#1725). CANCELED is a
    /// failure even where an ignored build step did it: nothing exists that could be promoted.
    pub(super) async fn until_ready(&self, errand: &impl Errand, made: Deployment) -> Result<Deployment, PlatformError> {
        let began = Instant::now();
        self.memory().made = Some(began);
        let limit = self.settings.ready_deadline;
        let mut deployment = made;
        let mut told = String::new();
        loop {
            match deployment.progress() {
                Progress::Ready => return Ok(deployment),
                Progress::Failed => return Err(self.failed_build(errand, &deployment).await),
                Progress::UnderWay => {}
            }
            if told != deployment.state() {
                deployment.state().clone_into(&mut told);
                errand.step(&self.settings.target, format!("{} is {told}", deployment.url.as_deref().unwrap_or(deployment.id())));
            }
            if began.elapsed() >= limit {
                let what = format!("the deployment {} to be ready (it is {told})", deployment.id());
                return Err(self.error("get_deployment", PlatformErrorKind::TimedOut { what, limit }));
            }
            self.pause(errand, delay(began.elapsed())).await?;
            let id = deployment.id().to_owned();
            match self.client.deployment(&id).await? {
                Some(found) => deployment = found,
                // A read may lag behind what was just made.
                None if began.elapsed() < READ_LAG => {}
                None => {
                    let kind = PlatformErrorKind::NotFound(format!("the deployment {id} was deleted while it was made"));
                    return Err(self.error("get_deployment", kind));
                }
            }
        }
    }

    /// Returns the platform's reason; the end of the log is told beside it. That the log cannot be read changes nothing.
    async fn failed_build(&self, errand: &impl Errand, deployment: &Deployment) -> PlatformError {
        let lines = self.client.last_log_lines(deployment.id(), LOG_LINES).await.unwrap_or_default();
        if !lines.is_empty() {
            let text =
                format!("The last lines of the log of {}:\n{}", deployment.url.as_deref().unwrap_or(deployment.id()), lines.join("\n"));
            errand.events().notice(Level::Warning, "vercel::build-log", text);
        }
        let kind = PlatformErrorKind::Unhealthy(format!("the deployment ended as {}", deployment.reason()));
        let error = PlatformError::new(crate::http::Platform::Vercel, "get_deployment", format!("deployment {}", deployment.id()), kind);
        let error = match lines.last() {
            Some(line) => error.hint(format!("its log ends with: {line}")),
            None => error,
        };
        match &deployment.inspector_url {
            Some(url) => error.hint(format!("see {url}")),
            None => error,
        }
    }
}

/// How long to wait before the next look: the vendor's client's delays (vercel.md 5), and shorter ones at first, since a deployment of ready
/// files takes a moment only.
fn delay(elapsed: Duration) -> Duration {
    Duration::from_millis(match elapsed.as_secs() {
        0..3 => 250,
        3..15 => 500,
        15..60 => 2_000,
        60..300 => 5_000,
        _ => 15_000,
    })
}
