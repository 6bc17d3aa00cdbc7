//! One volume and its snapshots: their data, and what state they are in at a given moment.
//!
//! States follow from times alone, so that a volume needs no task of its own and a copy of the platform shows the same. Source of the states and of
//! their order: fly.io/docs/volumes/volume-states. How long each lasts is [`super::Pace`]'s.

use std::time::Duration;

use jiff::Timestamp;

use super::problem::Problem;
use super::switches::{Pace, SnapshotFate};

/// How long a destroyed volume can still be seen. Source: fly.io/docs/volumes/volume-states (24 hours).
const SOFTLY_DELETED: Duration = Duration::from_hours(24);

/// A day, the unit in which snapshots are kept.
const DAY: Duration = Duration::from_hours(24);

/// What a volume was made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origin {
    /// Nothing: it was empty.
    #[default]
    Empty,
    /// A copy of the volume with this id.
    Fork(String),
    /// A copy of the snapshot with this id.
    Snapshot(String),
}

/// A snapshot.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub id: String,
    /// When it was asked for, in the world's time.
    pub asked: Duration,
    pub created_at: Timestamp,
    /// Size of the volume at that time.
    pub volume_gb: u64,
    pub retention_days: u64,
    pub fate: SnapshotFate,
    /// Its digest once it is made.
    pub digest: String,
    /// Made before the world began: neither waits nor works.
    pub old: bool,
}

/// A volume.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub id: String,
    pub name: String,
    pub region: String,
    pub zone: String,
    pub size_gb: u64,
    pub encrypted: bool,
    pub fstype: String,
    pub origin: Origin,
    pub host_status: &'static str,
    pub attached: Option<String>,
    pub snapshot_retention: u64,
    pub auto_backup_enabled: bool,
    pub created_at: Timestamp,
    /// Creation in the world's time.
    pub born: Duration,
    pub extended: Option<Duration>,
    /// When its destruction was asked for, in the world's time.
    pub died: Option<Duration>,
    /// Oldest first.
    pub snapshots: Vec<Snapshot>,
}

impl Volume {
    /// Returns its state's name.
    pub(super) fn state(&self, now: Duration, pace: &Pace) -> &'static str {
        if let Some(died) = self.died {
            return if now < died + pace.volume_end { "scheduling_destroy" } else { "pending_destroy" };
        }
        let age = now.saturating_sub(self.born);
        let stages: &[(Duration, &str)] = match self.origin {
            Origin::Empty => &[(pace.volume, "creating")],
            Origin::Fork(_) => &[(pace.volume, "creating"), (pace.export, "enabling_remote_export"), (pace.hydrate, "hydrating")],
            Origin::Snapshot(_) => &[(pace.volume, "creating"), (pace.restore, "restoring")],
        };
        let mut end = Duration::ZERO;
        for (lasts, state) in stages {
            end += *lasts;
            if age < end {
                return state;
            }
        }
        if self.extended.is_some_and(|at| now < at + pace.extend) { "extending" } else { "created" }
    }

    /// Returns whether it exists and was not destroyed.
    pub(super) fn lives(&self) -> bool {
        self.died.is_none()
    }

    /// Returns whether it is still listed: destroyed volumes are for a day.
    pub(super) fn listed(&self, now: Duration) -> bool {
        self.died.is_none_or(|died| now < died + SOFTLY_DELETED)
    }

    /// Refuses a mount that cannot be: of a volume that another machine has, is elsewhere, has not its data yet, or cannot be reached.
    ///
    /// Source of the status and of the last text: users' reports of "insufficient resources to create new machine with existing volume" (412).
    /// A volume that is hydrating can be mounted. Source: fly.io/docs/volumes/volume-states.
    pub(super) fn may_mount(&self, region: &str, now: Duration, pace: &Pace) -> Result<(), Problem> {
        let refused = |why: String| Err(Problem::new(412, format!("failed_precondition: volume {} {why}", self.id)));
        if let Some(machine) = &self.attached {
            return refused(format!("is not available: it is attached to machine {machine}"));
        }
        if self.region != region {
            return refused(format!("is not available in {region}: it is in {}", self.region));
        }
        if self.host_status != "ok" {
            return Err(Problem::new(412, "insufficient resources to create new machine with existing volume"));
        }
        match self.state(now, pace) {
            "created" | "creating" | "hydrating" | "extending" => Ok(()),
            other => refused(format!("cannot be mounted while it is '{other}'")),
        }
    }

    /// Returns the snapshots that can be seen, newest first.
    pub(super) fn seen_snapshots(&self, now: Timestamp, elapsed: Duration, pace: &Pace) -> Vec<&Snapshot> {
        let listed = |snapshot: &&Snapshot| snapshot.kept(now) && (snapshot.old || elapsed >= snapshot.asked + pace.snapshot_listed);
        let mut seen: Vec<_> = self.snapshots.iter().filter(listed).collect();
        seen.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.created_at));
        seen
    }
}

impl Snapshot {
    /// Returns its status: `waiting`, `creating`, `created`; `failed` where that is its fate (a guess of ours, like its name).
    pub(super) fn status(&self, now: Duration, pace: &Pace) -> &'static str {
        let age = now.saturating_sub(self.asked);
        if self.old {
            return "created";
        }
        if age < pace.snapshot_wait {
            return "waiting";
        }
        match self.fate {
            SnapshotFate::Stuck => "creating",
            _ if age < pace.snapshot_wait + pace.snapshot_make => "creating",
            SnapshotFate::Failed => "failed",
            SnapshotFate::Made => "created",
        }
    }

    /// Returns whether it is still kept: a snapshot goes when its days are over. Source: fly.io/docs/volumes/snapshots.
    fn kept(&self, now: Timestamp) -> bool {
        let days = DAY.saturating_mul(u32::try_from(self.retention_days).unwrap_or(u32::MAX));
        self.created_at.saturating_add(days).is_ok_and(|end| now < end)
    }

    /// Returns how many bytes it has by now: nothing while it waits, part of it while it is made.
    pub(super) fn size(&self, now: Duration, pace: &Pace) -> u64 {
        // What is stored is what is used; a small database in a large volume.
        let whole = 4096 * 1024 * self.volume_gb.max(1);
        match self.status(now, pace) {
            "waiting" => 0,
            "created" => whole,
            _ => {
                let made = now.saturating_sub(self.asked + pace.snapshot_wait).as_millis();
                let all = pace.snapshot_make.as_millis().max(1);
                u64::try_from(u128::from(whole) * made.min(all) / all / 2).unwrap_or(0)
            }
        }
    }
}
