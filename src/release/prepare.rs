//! Prepare: every new revision comes to exist, out of users' sight, all at once.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::journal::Entry;
use super::plan::{Planned, Shipment};
use super::{Failure, Release};
use crate::event::{EventKind, Level, Phase};
use crate::id::Name;
use crate::platform::{Artifact, Changes, PlainGet, PlatformError, Revision, Scope, Target};
use crate::shutdown::{Level as Urgency, Shutdown};

impl Release<'_> {
    /// Prepares everything that needs no new schema: without migrations, all moving targets.
    pub(super) async fn prepare(&mut self) -> Result<(), Failure> {
        let late = self.plan.after_migrations().into_iter().cloned().collect::<BTreeSet<Name>>();
        let early: BTreeSet<Name> =
            self.plan.moving().map(|planned| planned.target.name().clone()).filter(|name| !late.contains(name)).collect();
        if early.is_empty() { Ok(()) } else { self.prepare_these(&early).await }
    }

    /// Prepares what had to wait for a migration.
    pub(super) async fn prepare_rest(&mut self) -> Result<(), Failure> {
        let late: BTreeSet<Name> = self.plan.after_migrations().into_iter().cloned().collect();
        if late.is_empty() { Ok(()) } else { self.prepare_these(&late).await }
    }

    /// Prepares these targets in parallel; the first failure ends the others' waits.
    async fn prepare_these(&mut self, these: &BTreeSet<Name>) -> Result<(), Failure> {
        self.phase(Phase::Prepare, async |release| {
            let placeholders = release.placeholders(these).await?;
            let after = release.prepare_all(these).await?;
            for planned in &mut release.plan.targets {
                if let Some(revision) = after.get(planned.target.name()) {
                    planned.after = Some(revision.clone());
                }
            }
            release.append(Phase::Prepare, Entry::Prepared { after, placeholders }).await
        })
        .await
    }

    async fn prepare_all(&self, these: &BTreeSet<Name>) -> Result<BTreeMap<Name, Revision>, Failure> {
        let stop = Shutdown::default();
        let scope = self.context.scope(Phase::Prepare, &stop);
        let mut work: FuturesUnordered<_> = self.of(these).map(|planned| self.prepare_one(&scope, planned)).collect();
        let (mut after, mut failure) = (BTreeMap::new(), None);
        loop {
            tokio::select! {
                biased;
                () = self.context.shutdown.at_least(Urgency::Drain), if stop.level() == Urgency::None => {
                    failure.get_or_insert_with(|| Failure::cancellation(Phase::Prepare));
                    stop.raise(Urgency::Drain);
                }
                next = work.next() => match next {
                    None => break,
                    Some((name, Ok(revision))) => {
                        after.insert(name, revision);
                    }
                    Some((name, Err(error))) => {
                        // The first failure is the cause; what it ends is not.
                        if failure.is_none() {
                            failure = Some(self.refusal(&name, &error));
                        }
                        stop.raise(Urgency::Drain);
                    }
                },
            }
        }
        failure.map_or(Ok(after), Err)
    }

    fn of(&self, these: &BTreeSet<Name>) -> impl Iterator<Item = &Planned> {
        self.plan.moving().filter(|planned| these.contains(planned.target.name()))
    }

    fn refusal(&self, name: &Name, error: &PlatformError) -> Failure {
        match self.plan.moving().find(|planned| planned.target.name() == name) {
            Some(planned) => self.refused(Phase::Prepare, planned, error),
            None => Failure::on(Phase::Prepare, name, error),
        }
    }

    async fn prepare_one(&self, scope: &Scope, planned: &Planned) -> (Name, Result<Revision, PlatformError>) {
        let name = planned.target.name().clone();
        let began = tokio::time::Instant::now();
        let gets: Vec<PlainGet> =
            planned.checks.iter().filter_map(|check| check.plain_get()).map(|path| PlainGet { path: path.to_owned() }).collect();
        let result = match (&planned.shipment, &planned.after) {
            // Found alive while planning: it is prepared already.
            (Shipment::Earlier(_), Some(revision)) => Ok(revision.clone()),
            (Shipment::Earlier(shipped), None) => match &shipped.artifact {
                Some(artifact) => {
                    let again = planned.target.prepare(scope, artifact, &planned.before, &gets).await;
                    if again.as_ref().is_ok_and(|revision| !revision.same_content(&shipped.revision)) {
                        let text = format!(
                            "{name} ships the earlier artifact with today's settings: its files' settings have changed since then."
                        );
                        self.context.events.notice(Level::Warning, "rollback::settings", text);
                    }
                    again
                }
                None => Err(PlatformError::new(
                    planned.target.platform(),
                    "prepare",
                    planned.target.thing(),
                    crate::platform::PlatformErrorKind::Impossible(
                        "the earlier revision is gone and its artifact is not recorded".to_owned(),
                    ),
                )),
            },
            (Shipment::New(artifact), _) => planned.target.prepare(scope, artifact, &planned.before, &gets).await,
        };
        let failure = result.as_ref().err().map(ToString::to_string);
        let duration = began.elapsed();
        self.context.events.emit(EventKind::TargetFinished { target: name.clone(), phase: Phase::Prepare, duration, failure });
        (name, result)
    }

    /// Gives a target that serves nothing, and could not go back to that, something to go back to.
    async fn placeholders(&mut self, these: &BTreeSet<Name>) -> Result<BTreeMap<Name, Revision>, Failure> {
        let mut placeholders = BTreeMap::new();
        // A placeholder changes what users get, and is no part of the moment in which the targets do.
        let expected = Some(Vec::new());
        let scope = Scope { changes: Changes::default(), expected, ..self.context.scope(Phase::Prepare, &self.context.shutdown) };
        let doubts = self.context.transport.doubts();
        let moving = self.plan.targets.iter_mut().filter(|planned| !planned.carried && these.contains(planned.target.name()));
        for planned in moving.filter(|planned| planned.before.serving.is_empty()) {
            if planned.target.capabilities().unserve {
                continue;
            }
            let name = planned.target.name().clone();
            scope.step(&name, "serves nothing yet and could not go back to that: serving a placeholder first");
            let revision = place(&scope, planned).await.map_err(|error| Failure::on(Phase::Prepare, &name, &error))?;
            self.context.events.notice(
                Level::Note,
                "release::placeholder",
                format!(
                    "{name} served nothing before; a placeholder page serves now, and is what a failure of this first release goes back to."
                ),
            );
            placeholders.insert(name, revision);
        }
        if self.context.transport.doubts() > doubts {
            self.outwait_placeholder().await?;
        }
        Ok(placeholders)
    }

    /// A move to the placeholder whose answer was lost may still arrive, and would then take the place of the release: it is waited out.
    async fn outwait_placeholder(&self) -> Result<(), Failure> {
        let late = self.context.timing.late;
        let text =
            format!("An answer was lost while the placeholder began to serve: for {} s what was sent may still arrive.", late.as_secs());
        self.context.events.notice(Level::Note, "release::placeholder-doubt", text);
        tokio::select! {
            biased;
            () = self.context.shutdown.at_least(Urgency::Drain) => Err(Failure::cancellation(Phase::Prepare)),
            () = tokio::time::sleep(late) => Ok(()),
        }
    }
}

/// Serves a placeholder page on a target and makes it the target's `before`.
async fn place(scope: &Scope, planned: &mut Planned) -> Result<Revision, PlatformError> {
    let target = &planned.target;
    let unwritable = |error: std::io::Error| {
        let text = format!("the placeholder page cannot be written: {error}");
        PlatformError::new(target.platform(), "prepare", target.thing(), crate::platform::PlatformErrorKind::Impossible(text))
    };
    let folder = tempfile::tempdir().map_err(unwritable)?;
    let page = format!("<!doctype html><meta charset=\"utf-8\"><title>{0}</title><p>{0} is about to be released.\n", scope.product);
    std::fs::write(folder.path().join("index.html"), &page).map_err(unwritable)?;
    let digest = crate::platform::RevisionDigest::of(page.as_bytes()).as_str().to_owned();
    let artifact = Artifact::Directory { path: folder.path().to_owned(), digest };
    let revision = target.prepare(scope, &artifact, &planned.before, &[]).await?;
    planned.placeholder = Some(revision.clone());
    planned.before = target.serve(scope, &revision).await?;
    Ok(revision)
}
