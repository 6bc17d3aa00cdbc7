//! What a chain of records means: the pure fold, in which an impossible step is an error.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::migrated::{self, Migrated};
use super::{Begun, Entry, HISTORY, Kept, Owner, Record, TargetRecord};
use crate::http::Platform;
use crate::id::{Name, ReleaseId};
use crate::manifest::Check;
use crate::platform::{Artifact, KnownSecret, Reach, Revision, SecretChange, Settings, Weighted};

/// Where an open release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Making things out of sight.
    Begun,
    /// Everything is made.
    Prepared,
    /// Migrations may be running.
    Migrating,
    /// Every migration has run; what needs the new schema is being made.
    Migrated,
    /// Traffic may be changing.
    Cutting,
    /// It stays; only finishing is left.
    Committed,
    /// Removing what is not needed.
    Finishing,
    /// Going back.
    RollingBack,
}

impl Stage {
    /// Returns the stage as a release in it is described: "it is …".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Begun => "being prepared",
            Self::Prepared => "prepared",
            Self::Migrating => "migrating its database",
            Self::Migrated => "migrated, and being prepared",
            Self::Cutting => "being cut over",
            Self::Committed => "committed, and to be finished",
            Self::Finishing => "being finished",
            Self::RollingBack => "being rolled back",
        }
    }
}

/// A release that is not closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// As it began, with `after` filled in once prepared.
    pub begun: Begun,
    /// Where it is.
    pub stage: Stage,
    /// Its migrations, by target, from `migrating` on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub migrations: BTreeMap<Name, Migrated>,
    /// Whether `cutting` was ever recorded: else no traffic was moved, and going back must not touch what serves. A record that does not
    /// say so counts as one that was.
    #[serde(default = "always")]
    pub cut: bool,
    /// Why it goes back, or why it is stuck.
    pub cause: Option<String>,
    /// Whether a person is needed.
    pub stuck: bool,
    /// The secrets that it has set or may have set, by target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<Name, Vec<SecretChange>>,
    /// Who works on it.
    pub owner: Owner,
    /// Until when that owner counts as alive where nobody can say.
    pub until: Timestamp,
}

/// A wish of a person that no release begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Why, in the person's words.
    pub reason: String,
    /// Whose.
    pub by: Owner,
    /// Since when.
    pub since: Timestamp,
}

/// A closed release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// The release.
    pub release: ReleaseId,
    /// The git commit.
    pub commit: String,
    /// Who or what asked for it.
    pub reason: String,
    /// When it was closed.
    pub at: Timestamp,
    /// Whether it serves, or was rolled back.
    pub finished: bool,
    /// Why it was rolled back.
    pub cause: Option<String>,
    /// What it shipped, by target; what a rollback to it ships again.
    pub targets: BTreeMap<Name, Shipped>,
    /// Its migrations, by target: they stay where the code goes back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub migrations: BTreeMap<Name, Migrated>,
    /// Where every target is that it was about, prepared or not: something of it may land there late.
    #[serde(default)]
    pub reached: BTreeMap<Name, Reached>,
}

/// Where a target is, without any manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Its platform.
    pub platform: Platform,
    /// What it is called there.
    pub thing: String,
    /// How it is reached.
    pub reach: Reach,
}

/// What a closed release shipped to one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shipped {
    /// What the target served from then on; what it was to serve, when the release was rolled back.
    pub revision: Revision,
    /// The artifact; `None` when the target was carried from before our time.
    pub artifact: Option<Artifact>,
    /// What it served before.
    pub before: Option<Revision>,
    /// Its platform.
    pub platform: Platform,
    /// What it is called there.
    pub thing: String,
    /// How it is reached without the manifest.
    pub reach: Reach,
    /// The settings as the release left them.
    pub settings: Settings,
    /// How it was judged.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Whether it stayed as it was.
    #[serde(default)]
    pub carried: bool,
}

/// The meaning of a chain of records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The release that is not closed, if any.
    pub open: Option<Open>,
    /// Closed releases, newest last, at most [`HISTORY`].
    pub closed: Vec<Closed>,
    /// A person's wish that no release begins.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// The secrets that releases have set, as the newest one left them, by target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<Name, Vec<KnownSecret>>,
    /// What served before the newest releases and stays for a while, by target; at most one generation of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<Name, Kept>,
}

/// A record that cannot follow the state before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// The entry does not fit the stage.
    #[error("`{entry}` cannot follow {stage}")]
    Step {
        /// The entry's name.
        entry: &'static str,
        /// The stage in words.
        stage: String,
    },
}

impl State {
    /// Returns where every target is that the remembered releases were about, by the newest that names it.
    pub fn reached(&self) -> BTreeMap<Name, Reached> {
        let mut all: BTreeMap<Name, Reached> = self.kept.iter().map(|(name, kept)| (name.clone(), kept.at.clone())).collect();
        all.extend(self.closed.iter().flat_map(|closed| closed.reached.clone()));
        all.extend(self.open.iter().flat_map(|open| places(&open.begun)));
        all
    }

    /// Returns the newest release that serves, as the journal knows it.
    pub fn serving(&self) -> Option<&Closed> {
        self.closed.iter().rev().find(|closed| closed.finished)
    }

    /// Returns the release before the one that serves: where `rollback` goes by default.
    pub fn previous(&self) -> Option<&Closed> {
        self.closed.iter().rev().filter(|closed| closed.finished).nth(1)
    }

    /// Returns the state after `record`; pure, and an impossible step is an error.
    pub fn after(&self, record: &Record) -> Result<Self, Impossible> {
        let Record { entry, owner, at, until, .. } = record;
        let at = *at;
        let mut next = self.clone();
        let impossible = || Impossible::Step {
            entry: entry.as_str(),
            stage: self
                .open
                .as_ref()
                .map_or_else(|| "a closed release".to_owned(), |open| format!("a release that is {}", open.stage.in_words())),
        };
        match (entry, &mut next.open) {
            (Entry::Begun(begun), open @ None) => {
                *open = Some(Open {
                    begun: (**begun).clone(),
                    stage: Stage::Begun,
                    migrations: BTreeMap::new(),
                    cut: false,
                    cause: None,
                    stuck: false,
                    secrets: BTreeMap::new(),
                    owner: owner.clone(),
                    until: *until,
                });
            }
            (Entry::Prepared { after, placeholders }, Some(open)) if matches!(open.stage, Stage::Begun | Stage::Migrated) => {
                for target in &mut open.begun.targets {
                    if let Some(revision) = after.get(&target.name) {
                        target.after = Some(revision.clone());
                    }
                    if let Some(revision) = placeholders.get(&target.name) {
                        target.before.serving = vec![Weighted { revision: revision.clone(), percent: 100.0 }];
                    }
                }
                open.stage = Stage::Prepared;
            }
            (Entry::Migrating { migrations }, Some(open))
                if matches!(open.stage, Stage::Begun | Stage::Prepared) && open.migrations.is_empty() && !migrations.is_empty() =>
            {
                open.migrations.clone_from(migrations);
                open.stage = Stage::Migrating;
            }
            (Entry::Migrated { ended }, Some(open)) if open.stage == Stage::Migrating => {
                let all = ended.len() == open.migrations.len() && ended.values().all(crate::platform::MigrationEnd::succeeded);
                if !all || !migrated::settle(&mut open.migrations, ended) {
                    return Err(impossible());
                }
                open.stage = Stage::Migrated;
            }
            (Entry::BackAllowed { .. }, Some(open)) if !open.migrations.is_empty() => {
                open.migrations.values_mut().for_each(|migrated| migrated.back_allowed = true);
            }
            (Entry::Secrets { changes }, Some(open)) if matches!(open.stage, Stage::Begun | Stage::Prepared) => {
                for (target, changes) in changes {
                    open.secrets.entry(target.clone()).or_default().extend(changes.iter().cloned());
                }
            }
            (Entry::SecretsSet { known }, Some(open)) if matches!(open.stage, Stage::Begun | Stage::Prepared) => {
                for (target, known) in known {
                    let all = next.secrets.entry(target.clone()).or_default();
                    all.retain(|old| known.iter().all(|new| new.name != old.name));
                    all.extend(known.iter().cloned());
                }
            }
            (Entry::SecretsKept, Some(open)) if open.stuck => {
                for change in open.secrets.values_mut().flatten() {
                    change.compatible = true;
                }
            }
            (Entry::Cutting, Some(open)) if open.stage == Stage::Prepared => {
                open.stage = Stage::Cutting;
                open.cut = true;
            }
            (Entry::Committed, Some(open)) if open.stage == Stage::Cutting => open.stage = Stage::Committed,
            (Entry::Finishing, Some(open)) if matches!(open.stage, Stage::Committed | Stage::Finishing) => {
                open.stage = Stage::Finishing;
            }
            (Entry::Finished, Some(open)) if matches!(open.stage, Stage::Committed | Stage::Finishing) => next.close(true, at),
            (Entry::RollingBack { cause }, Some(open)) if !matches!(open.stage, Stage::Committed | Stage::Finishing) => {
                open.stage = Stage::RollingBack;
                open.cause.get_or_insert_with(|| cause.clone());
            }
            (Entry::RolledBack, Some(open)) if open.stage == Stage::RollingBack => next.close(false, at),
            (Entry::Stuck { cause }, Some(open)) => {
                open.stuck = true;
                open.cause = Some(cause.clone());
            }
            (Entry::TakenOver { .. }, Some(open)) => {
                open.owner = owner.clone();
                open.stuck = false;
            }
            (Entry::Renewed, Some(open)) if open.owner.id == owner.id => {}
            (Entry::Hold { reason }, _) => next.hold = Some(Hold { reason: reason.clone(), by: owner.clone(), since: at }),
            (Entry::Unhold, _) if next.hold.is_some() => next.hold = None,
            // While a release is open, what is kept may be what it goes to.
            (Entry::EndingKept { targets }, None) if targets.iter().all(|name| self.kept.contains_key(name)) => {
                next.kept.iter_mut().filter(|(name, _)| targets.contains(*name)).for_each(|(_, kept)| kept.ending = true);
            }
            (Entry::EndedKept { targets }, None) if targets.iter().all(|name| self.kept.get(name).is_some_and(|kept| kept.ending)) => {
                next.kept.retain(|name, _| !targets.contains(name));
            }
            _ => return Err(impossible()),
        }
        // Every record of the owner is a sign of its life; a hold of somebody else is not.
        if let Some(open) = next.open.as_mut().filter(|open| open.owner.id == owner.id) {
            open.until = *until;
        }
        Ok(next)
    }

    /// Remembers what served before a release although no release recorded here left it, so that there is a place to go back to.
    fn adopt(&mut self, begun: &Begun, at: Timestamp) {
        let adopted = begun.targets.iter().filter_map(|target| {
            let revision = target.before_revision()?.clone();
            Some((
                target.name.clone(),
                Shipped { artifact: target.before_artifact.clone(), before: None, checks: Vec::new(), ..shipped(target, revision) },
            ))
        });
        let targets: BTreeMap<Name, Shipped> = adopted.collect();
        if targets.is_empty() {
            return;
        }
        self.closed.push(Closed {
            release: ReleaseId::from_text(format!("before-{}", begun.release)),
            commit: "0".repeat(40),
            reason: if begun.adopts {
                format!("adopted: somebody else changed what serves, and {} began from it", begun.release)
            } else {
                "adopted: it served before the first release that is recorded here".to_owned()
            },
            at,
            finished: true,
            cause: None,
            targets,
            migrations: BTreeMap::new(),
            reached: places(begun),
        });
    }

    /// Remembers what a finished release leaves alive; what was kept before on its targets is gone with it.
    fn keep(&mut self, begun: &Begun, at: Timestamp) {
        for target in begun.targets.iter().filter(|target| !target.carried) {
            self.kept.remove(&target.name);
            self.kept.extend(Kept::of(begun, target, at).map(|kept| (target.name.clone(), kept)));
        }
    }

    fn close(&mut self, finished: bool, at: Timestamp) {
        let Some(open) = self.open.take() else { return };
        if open.begun.adopts || finished && self.serving().is_none() {
            self.adopt(&open.begun, at);
        }
        let targets = open.begun.targets.iter().filter_map(|target| {
            let revision = target.after.clone()?;
            Some((target.name.clone(), shipped(target, revision)))
        });
        let (targets, reached) = (targets.collect::<BTreeMap<Name, Shipped>>(), places(&open.begun));
        if finished {
            self.keep(&open.begun, at);
        }
        self.closed.push(Closed {
            release: open.begun.release,
            commit: open.begun.commit,
            reason: open.begun.reason,
            at,
            finished,
            cause: open.cause,
            targets,
            migrations: open.migrations,
            reached,
        });
        let surplus = self.closed.len().saturating_sub(HISTORY);
        self.closed.drain(..surplus);
    }
}

const fn always() -> bool {
    true
}

/// Returns where the targets of a release are.
fn places(begun: &Begun) -> BTreeMap<Name, Reached> {
    let place = |target: &TargetRecord| Reached { platform: target.platform, thing: target.thing.clone(), reach: target.reach.clone() };
    begun.targets.iter().map(|target| (target.name.clone(), place(target))).collect()
}

/// Returns what is remembered of a target once its release is closed.
fn shipped(target: &TargetRecord, revision: Revision) -> Shipped {
    Shipped {
        revision,
        artifact: target.artifact.clone(),
        before: target.before_revision().cloned(),
        platform: target.platform,
        thing: target.thing.clone(),
        reach: target.reach.clone(),
        settings: target.settings.clone(),
        checks: target.checks.clone(),
        carried: target.carried,
    }
}

/// Folds a chain from its beginning.
pub fn fold(records: &[Record]) -> Result<State, Impossible> {
    records.iter().try_fold(State::default(), |state, record| state.after(record))
}
