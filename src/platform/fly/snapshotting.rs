//! Snapshots of the database before a migration: asked for, found, and waited for until they can be gone back to.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::api::{VolumeSnapshot, snapshot_of};
use super::live::Volume;
use super::{FlyTarget, LOOKUP_WINDOW, POLL};
use crate::platform::{PlatformError, PlatformErrorKind, Problem, Scope, Snapshot};

/// How long a snapshot may take; the first one of a large volume is the slowest, and later ones hold only what changed.
const SNAPSHOT_LIMIT: Duration = Duration::from_mins(15);
/// How often a snapshot is asked for whose answer was lost, and which nobody can find.
const ASKINGS: u32 = 3;
/// How long a snapshot that was surely asked for may be missing in the list.
const LISTED_LIMIT: Duration = Duration::from_mins(2);

/// Where a release's database is, and how old its newest snapshot may be; from the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlyDatabase {
    /// The app that has it.
    pub app: String,
    /// The volumes of which snapshots are taken; every one in use where none is named.
    pub volumes: Vec<String>,
    /// How old the newest snapshot may be before preflight warns.
    pub rpo: Option<Duration>,
}

impl FlyTarget {
    /// Takes a snapshot of each volume of the database that the manifest names, and waits until all are complete.
    pub(super) async fn take_snapshots(&self, scope: &Scope) -> Result<Vec<Snapshot>, PlatformError> {
        let Some(database) = &self.settings.database else { return Ok(Vec::new()) };
        let mut taken = Vec::new();
        for volume in self.database_volumes(database).await? {
            let id = self.take_snapshot(scope, &database.app, &volume.id).await?;
            taken.push(Snapshot { id, of: snapshot_of(&database.app, &volume.id) });
        }
        Ok(taken)
    }

    /// Tells what stands in the way of a snapshot, and whether the newest one is older than the manifest wants.
    pub(super) async fn database_problems(&self, now: jiff::Timestamp) -> Vec<Problem> {
        let Some(database) = &self.settings.database else { return Vec::new() };
        if self.settings.config.deploy.release_command.is_none() {
            let text = "the manifest names a database for a migration, and fly.toml has no release_command: no snapshot is taken.";
            let hint = "add release_command to fly.toml, or take `migration` out of the manifest";
            return vec![self.problem(false, "fly::no-migration", text.to_owned(), Some(hint.to_owned()))];
        }
        let unseen = |error: &PlatformError| {
            let text = format!("the database cannot be looked at: {error}.");
            let hint = format!("the token must be allowed to see app {}: an organisation token can", database.app);
            self.problem(true, "fly::database", text, Some(hint))
        };
        let volumes = match self.database_volumes(database).await {
            Ok(volumes) => volumes,
            Err(error) => return vec![unseen(&error)],
        };
        let Some(rpo) = database.rpo else { return Vec::new() };
        let mut problems = Vec::new();
        for volume in volumes {
            match self.client.list_snapshots(&database.app, &volume.id).await {
                Ok(snapshots) => problems.extend(self.too_old(&database.app, &volume.id, &snapshots, rpo, now)),
                Err(error) => problems.push(unseen(&error)),
            }
        }
        problems
    }

    fn too_old(&self, app: &str, volume: &str, snapshots: &[VolumeSnapshot], rpo: Duration, now: jiff::Timestamp) -> Option<Problem> {
        let newest = snapshots.iter().filter(|snapshot| snapshot.is_complete()).filter_map(VolumeSnapshot::made).max();
        let what = snapshot_of(app, volume);
        let text = match newest {
            None => format!("{what} has no snapshot; the manifest wants one that is at most {rpo:?} old."),
            Some(newest) => {
                let age = Duration::try_from(now.duration_since(newest)).unwrap_or_default();
                if age <= rpo {
                    return None;
                }
                let hours = age.as_secs() / 3600;
                format!("the newest snapshot of {what} is {hours} h old ({newest}); the manifest wants one that is at most {rpo:?} old.")
            }
        };
        let hint = format!("look why it is not backed up: `fly volumes snapshots list {volume} -a {app}`");
        Some(self.problem(false, "fly::rpo", text, Some(hint)))
    }

    /// Returns the volumes of which snapshots are taken: those that are named, else every one that a machine has. None at all is a fault.
    async fn database_volumes(&self, database: &super::FlyDatabase) -> Result<Vec<Volume>, PlatformError> {
        let impossible = |why: String| self.error("list_volumes", PlatformErrorKind::Impossible(why));
        let all = self.client.database_volumes(&database.app).await?;
        if let Some(missing) = database.volumes.iter().find(|id| all.iter().all(|volume| volume.id != **id)) {
            return Err(impossible(format!("app {} has no volume {missing}", database.app)));
        }
        let used = |volume: &Volume| volume.attached_machine_id.as_deref().is_some_and(|machine| !machine.is_empty());
        let wanted = |volume: &Volume| if database.volumes.is_empty() { used(volume) } else { database.volumes.contains(&volume.id) };
        let chosen: Vec<Volume> = all.into_iter().filter(wanted).collect();
        if chosen.is_empty() {
            return Err(impossible(format!(
                "app {} has no volume that a machine uses, so there is nothing to take a snapshot of",
                database.app
            )));
        }
        Ok(chosen)
    }

    async fn take_snapshot(&self, scope: &Scope, app: &str, volume: &str) -> Result<String, PlatformError> {
        let known: BTreeSet<String> = self.client.list_snapshots(app, volume).await?.into_iter().map(|snapshot| snapshot.id).collect();
        scope.step(&self.settings.target, format!("taking a snapshot of {}", snapshot_of(app, volume)));
        let id = self.ask_for_snapshot(scope, app, volume, &known).await?;
        let until = Instant::now() + SNAPSHOT_LIMIT;
        let work = async {
            loop {
                let all = self.client.list_snapshots(app, volume).await?;
                if let Some(ours) = all.iter().find(|snapshot| snapshot.id == id) {
                    if ours.has_failed() {
                        let why = format!("snapshot {id} of {} failed", snapshot_of(app, volume));
                        return Err(self.error("create_snapshot", PlatformErrorKind::Unexpected(why)));
                    }
                    if ours.is_complete() {
                        return Ok(());
                    }
                }
                if Instant::now() >= until {
                    let what = format!("the completion of snapshot {id} of {}", snapshot_of(app, volume));
                    return Err(self.timed_out("create_snapshot", what, SNAPSHOT_LIMIT));
                }
                tokio::time::sleep(POLL).await;
            }
        };
        self.or_cancelled(scope, "create_snapshot", work).await?;
        scope.step(&self.settings.target, format!("snapshot {id} of {} is complete", snapshot_of(app, volume)));
        Ok(id)
    }

    /// Asks for a snapshot and finds it in the list, where it appears late. One more than is needed harms nobody and ends by itself.
    async fn ask_for_snapshot(&self, scope: &Scope, app: &str, volume: &str, known: &BTreeSet<String>) -> Result<String, PlatformError> {
        let mut asked = 0;
        loop {
            self.unless_cancelled(scope, "create_snapshot")?;
            asked += 1;
            let window = match self.client.create_snapshot(app, volume).await {
                Ok(()) => LISTED_LIMIT,
                Err(error) if error.ambiguous() && asked < ASKINGS => LOOKUP_WINDOW,
                Err(error) => return Err(error),
            };
            let found = self.or_cancelled(scope, "create_snapshot", self.appearing(app, volume, known, window)).await?;
            match found {
                Some(id) => return Ok(id),
                None if window == LISTED_LIMIT => {
                    return Err(self.timed_out("create_snapshot", format!("a new snapshot of {}", snapshot_of(app, volume)), LISTED_LIMIT));
                }
                None => {}
            }
        }
    }

    async fn appearing(
        &self,
        app: &str,
        volume: &str,
        known: &BTreeSet<String>,
        window: Duration,
    ) -> Result<Option<String>, PlatformError> {
        let until = Instant::now() + window;
        loop {
            let all = self.client.list_snapshots(app, volume).await?;
            if let Some(new) = all.into_iter().find(|snapshot| !known.contains(&snapshot.id)) {
                return Ok(Some(new.id));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
