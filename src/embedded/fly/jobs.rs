//! What ran to its end in machines of one command: the platform's own count, by which nobody can run a release command twice unseen.

use std::time::Duration;

use jiff::Timestamp;

use super::{Fly, config};
use crate::embedded::ground::lock;

/// A machine of one command as a test sees it, whether or not it is destroyed by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// The machine's id.
    pub id: String,
    /// Its process group.
    pub group: Option<String>,
    /// The release that its stamp names.
    pub release: Option<String>,
    /// How often its process was begun.
    pub starts: usize,
    /// When its process was begun for the first time, since the world began.
    pub began: Option<Duration>,
    /// When its process ended for the last time.
    pub ended: Option<Duration>,
    /// Whether it is still there.
    pub lives: bool,
}

impl Fly {
    /// Returns the machines of `app` that run one command and then destroy themselves, in order of creation.
    pub fn jobs(&self, app: &str) -> Vec<JobView> {
        let now = self.inner.now();
        let since = |event: &serde_json::Value| {
            let at = Timestamp::from_millisecond(event["timestamp"].as_i64()?).ok()?;
            let ago = Duration::try_from(now.wall.duration_since(at)).ok()?;
            Some(now.elapsed.saturating_sub(ago))
        };
        let state = lock(&self.inner.state);
        let machines = state.apps.get(app).into_iter().flat_map(|app| app.machines.values());
        let mut jobs: Vec<_> = machines.filter(|machine| machine.one_shot()).collect();
        jobs.sort_by_key(|machine| machine.ordinal);
        let started = |event: &&serde_json::Value| event["type"] == "start" && event["status"] == "started";
        jobs.into_iter()
            .map(|machine| JobView {
                id: machine.id.clone(),
                group: config::metadata(&machine.config, "fly_process_group").map(str::to_owned),
                release: config::metadata(&machine.config, "cutover_release").map(str::to_owned),
                starts: machine.events.iter().filter(started).count(),
                // The newest event stands first.
                began: machine.events.iter().rfind(started).and_then(since),
                ended: machine.events.iter().find(|event| event["type"] == "exit").and_then(since),
                lives: machine.died.is_none(),
            })
            .collect()
    }
}
