//! Migrate: a snapshot, then every migration once on its new artifact, then what needs the new schema is prepared.
//!
//! A migration is begun in this phase alone and never a second time for one release; whoever finds a release whose runner died in it waits
//! for its end before anything goes back. One that is called breaking leaves no way back once it may have run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::journal::{Entry, Migrated, Open};
use super::plan::{Plan, Planned, Shipment};
use super::{Context, Failure, Release, keep};
use crate::event::{EventKind, Phase, SnapshotTaken};
use crate::id::Name;
use crate::platform::{AnyTarget, Artifact, AskedFrom, Migration, MigrationEnd, MigrationResult, PlatformError, Target};
use crate::shutdown::Shutdown;

/// How often the lock is looked after while a migration runs.
const KEEP: Duration = Duration::from_secs(10);
/// The pause between two tries to find out how a migration ended.
const RETRY: Duration = Duration::from_secs(2);

impl Planned {
    /// Returns the migration that the target runs in this release, with the artifact that it runs on. What an earlier release shipped here is
    /// not migrated to: its migrations have run.
    pub fn migration(&self) -> Option<(Migration, &Artifact)> {
        match &self.shipment {
            Shipment::New(artifact) if !self.carried => Some((self.target.migration()?, artifact)),
            _ => None,
        }
    }
}

impl Plan {
    /// Returns the targets whose new revision needs the new schema to run: those that migrate, and those that need one of these, unless they have
    /// an address of their own at which they are asked (a front end that is prepared runs nothing against the database).
    pub(super) fn after_migrations(&self) -> BTreeSet<&Name> {
        let (mut reached, mut late) = (BTreeSet::new(), BTreeSet::new());
        // The order has what is needed first.
        for planned in self.moving() {
            let name = planned.target.name();
            let migrates = planned.migration().is_some();
            if !migrates && !planned.needs.iter().any(|needed| reached.contains(needed)) {
                continue;
            }
            reached.insert(name);
            if migrates || planned.target.capabilities().asked_from != AskedFrom::Public {
                late.insert(name);
            }
        }
        late
    }
}

impl Release<'_> {
    /// Runs the migrations, if there are any.
    pub(super) async fn migrate(&mut self) -> Result<(), Failure> {
        if self.plan.moving().all(|planned| planned.migration().is_none()) {
            return Ok(());
        }
        self.phase(Phase::Migrate, async |release| {
            let migrations = release.before_migrations().await?;
            release.append(Phase::Migrate, Entry::Migrating { migrations: migrations.clone() }).await?;
            let mut ended = BTreeMap::new();
            for (name, migrated) in &migrations {
                ended.insert(name.clone(), release.migrate_one(name, migrated).await?);
            }
            release.append(Phase::Migrate, Entry::Migrated { ended }).await
        })
        .await
    }

    /// Takes the snapshots; returns what the journal is to know before anything runs.
    async fn before_migrations(&mut self) -> Result<BTreeMap<Name, Migrated>, Failure> {
        let Self { context, journal, plan, .. } = self;
        let mut migrations = BTreeMap::new();
        for planned in plan.moving() {
            let Some((migration, _)) = planned.migration() else { continue };
            if context.cancelled() {
                return Err(Failure::cancellation(Phase::Migrate));
            }
            let name = planned.target.name().clone();
            let scope = context.scope(Phase::Migrate, &context.shutdown);
            let snapshots = keeping(context, journal, planned.target.snapshot(&scope)).await?;
            let snapshots = snapshots.map_err(|error| Failure::on(Phase::Migrate, &name, &error))?;
            migrations.insert(name, Migrated { migration, snapshots, ended: None, back_allowed: false });
        }
        Ok(migrations)
    }

    /// Runs one migration to its end; anything but success is a failure.
    async fn migrate_one(&mut self, name: &Name, migrated: &Migrated) -> Result<MigrationEnd, Failure> {
        let Self { context, journal, plan, .. } = self;
        let planned = plan.moving().find(|planned| planned.target.name() == name);
        let Some((planned, (_, artifact))) = planned.and_then(|planned| Some((planned, planned.migration()?))) else {
            return Err(Failure::said(Phase::Migrate, Some(name), "it has no migration any more"));
        };
        if context.cancelled() {
            return Err(Failure::cancellation(Phase::Migrate));
        }
        let began = Instant::now();
        let scope = context.scope(Phase::Migrate, &context.shutdown);
        let result = keeping(context, journal, planned.target.migrate(&scope, artifact, &planned.before)).await?;
        tell(context, name, migrated, began.elapsed(), &result);
        let MigrationResult { end, mut hints } = result.map_err(|error| Failure::on(Phase::Migrate, name, &error))?;
        if end.succeeded() {
            return Ok(end);
        }
        let text = format!("the migration `{}` {end}", migrated.migration.command);
        hints.insert(0, format!("once the migration is mended: cutover release {}", context.environment));
        Err(Failure { hints, ..Failure::said(Phase::Migrate, Some(name), text) })
    }
}

fn tell(context: &Context, name: &Name, migrated: &Migrated, duration: Duration, result: &Result<MigrationResult, PlatformError>) {
    let (succeeded, ended) = match result {
        Ok(MigrationResult { end, .. }) => (end.succeeded(), end.to_string()),
        Err(error) => (false, error.to_string()),
    };
    let snapshots = migrated.snapshots.iter().map(|snapshot| SnapshotTaken { id: snapshot.id.clone(), of: snapshot.of.clone() });
    context.events.emit(EventKind::Migrated {
        target: name.clone(),
        command: migrated.migration.command.clone(),
        breaking: migrated.migration.breaking,
        snapshots: snapshots.collect(),
        succeeded,
        ended: ended.clone(),
    });
    let failure = (!succeeded).then_some(ended);
    context.events.emit(EventKind::TargetFinished { target: name.clone(), phase: Phase::Migrate, duration, failure });
}

/// Does `work` and looks after the environment's lock meanwhile; what is under way when the lock is lost is not waited for.
///
/// Both are polled all the time: a call of `work` may be looking at the journal when the lock's turn comes, and would never end its look if it
/// stood still meanwhile. A renewal that has begun is finished, so that the journal is known afterwards.
async fn keeping<T>(context: &Context, journal: &mut super::journal::Journal, work: impl Future<Output = T>) -> Result<T, Failure> {
    let over = Notify::new();
    let work = async {
        let result = work.await;
        over.notify_one();
        Ok(result)
    };
    let kept = async {
        loop {
            tokio::select! {
                biased;
                () = over.notified() => return Ok(()),
                () = tokio::time::sleep(KEEP) => keep(context, journal, Phase::Migrate).await?,
            }
        }
    };
    tokio::try_join!(work, kept).map(|(result, ())| result)
}

/// Finds out how the migrations of an open release ended of which the journal does not say it; waits for those that still run.
///
/// Errors: a platform that could not be asked for as long as one target may take to go back; nobody knows then whether it still runs.
pub(super) async fn settle(
    context: &Context,
    open: &Open,
    targets: &BTreeMap<Name, &AnyTarget>,
    shutdown: &Shutdown,
) -> Result<BTreeMap<Name, MigrationEnd>, Vec<Failure>> {
    let (mut ended, mut failures) = (BTreeMap::new(), Vec::new());
    for (name, migrated) in &open.migrations {
        let found = match (&migrated.ended, targets.get(name)) {
            (Some(end), _) => Ok(end.clone()),
            (None, Some(target)) => settle_one(context, open, target, &migrated.migration, shutdown).await,
            (None, None) => {
                Err(Failure::said(Phase::RollBack, Some(name), "this run has no access to it, and its migration may still run"))
            }
        };
        match found {
            Ok(end) => drop(ended.insert(name.clone(), end)),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(ended) } else { Err(failures) }
}

async fn settle_one(
    context: &Context,
    open: &Open,
    target: &AnyTarget,
    migration: &Migration,
    shutdown: &Shutdown,
) -> Result<MigrationEnd, Failure> {
    let mut scope = context.scope(Phase::RollBack, shutdown);
    scope.release = open.begun.release.clone();
    let limit = migration.limit_ms.map_or(Duration::MAX, Duration::from_millis).saturating_add(context.timing.back_limit);
    let until = Instant::now().checked_add(limit);
    loop {
        let error = match target.settle_migration(&scope, migration).await {
            Ok(end) => return Ok(end),
            Err(error) => error,
        };
        let over = until.is_some_and(|until| Instant::now() + RETRY > until);
        if over || error.cancelled() || matches!(error.kind, crate::platform::PlatformErrorKind::Withheld(_)) {
            return Err(Failure::on(Phase::RollBack, target.name(), &error));
        }
        scope.step(target.name(), format!("how its migration ended cannot be seen yet, trying again: {error}"));
        tokio::time::sleep(RETRY).await;
    }
}

/// Returns why nothing may be taken back: a breaking migration has run, or nobody knows that it has not.
pub(super) fn barred(context: &Context, open: &Open, ended: &BTreeMap<Name, MigrationEnd>) -> Vec<Failure> {
    let bars = open.migrations.iter().filter(|(name, migrated)| match ended.get(*name) {
        Some(end) => migrated.bars_the_way(end),
        None => migrated.migration.breaking && !migrated.back_allowed,
    });
    bars.map(|(name, migrated)| {
        let how = ended.get(name).map_or_else(|| "may have run".to_owned(), ToString::to_string);
        let text = format!(
            "the breaking migration `{}` {how}, so the code that served before may not work with the database; nothing was taken back",
            migrated.migration.command
        );
        let mut hints: Vec<String> = migrated
            .snapshots
            .iter()
            .map(|snapshot| format!("the state of the database before it is in snapshot {} of {}", snapshot.id, snapshot.of))
            .collect();
        hints.push(format!("once the old code can work with the database again: cutover recover {} --over-migration", context.environment));
        Failure { hints, ..Failure::said(Phase::RollBack, Some(name), text) }
    })
    .collect()
}
