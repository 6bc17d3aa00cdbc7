//! Serve: production is this revision, by a rollback to a deployment that was production before, or by posting the same manifest to the production
//! branch.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::building::of_commit;
use super::creating::Place;
use super::hints::Hints;
use super::record::Parts;
use super::stamp::Stamp;
use super::wire::{Deployment, Progress, Project};
use super::{MovedTo, PagesTarget, READ_LAG};
use crate::event::Phase;
use crate::platform::{Observed, PlatformError, PlatformErrorKind, Revision, Scope};

/// How often a move is asked for before it is given up: lost answers and other people's deployments use up tries.
const MOVES: usize = 4;
/// The shortest and the longest pause between two looks at production.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// How a revision comes to serve.
enum Way {
    /// Its deployment was production before.
    RollBack(String),
    /// It is made once more.
    Post(Parts),
    /// Cloudflare builds its commit.
    Build(String),
}

/// The project, and its newest production deployments, once none of them is under way.
struct Settled {
    project: Project,
    production: Vec<Deployment>,
}

impl PagesTarget {
    /// Reads before each change: what serves already is left alone, a deployment under way is waited out whoever began it.
    pub(super) async fn serve_revision(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        let hints = Hints::of(revision)
            .ok_or_else(|| self.error("serve", PlatformErrorKind::Impossible(format!("{} names no deployment", revision.label))))?;
        let mut last = None;
        for tries in 0..MOVES {
            let settled = self.settled(scope, revision).await?;
            if self.is_production(&settled.project, revision, &hints).await? {
                if tries == 0 && self.may_be_old_news(scope, revision).await? {
                    continue;
                }
                return self.observed_serving(scope, revision).await;
            }
            self.is_expected(scope, &settled.project).await?;
            self.forward_may_go_on(scope)?;
            let way = self.way(scope, revision, &hints, &settled).await?;
            let stale = scope.turn.wait(&scope.shutdown).await;
            self.forward_may_go_on(scope)?;
            if stale {
                continue;
            }
            match self.move_to(scope, revision, &hints, way, &settled).await {
                Ok(()) => {}
                Err(error) if error.ambiguous() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        let settled = self.settled(scope, revision).await?;
        if self.is_production(&settled.project, revision, &hints).await? {
            return self.observed_serving(scope, revision).await;
        }
        let what = format!("the move of production to {}", revision.label);
        Err(last.unwrap_or_else(|| self.error("serve", PlatformErrorKind::TimedOut { what, limit: self.settings.move_deadline })))
    }

    fn forward_may_go_on(&self, scope: &Scope) -> Result<(), PlatformError> {
        if scope.phase == Phase::RollBack { Ok(()) } else { self.may_go_on(scope) }
    }

    /// Returns whether production is this revision: this very deployment, or another one of the same content.
    async fn is_production(&self, project: &Project, revision: &Revision, hints: &Hints) -> Result<bool, PlatformError> {
        let Some(canonical) = self.canonical(project).await? else { return Ok(false) };
        Ok(canonical.id == hints.deployment_id || self.revision_of(&canonical).same_content(revision))
    }

    /// Returns the project once no production deployment is under way: it would be production when it ends, whatever is done now. On the way
    /// back one that this release has made is removed instead of waited for.
    async fn settled(&self, scope: &Scope, wanted: &Revision) -> Result<Settled, PlatformError> {
        let began = Instant::now();
        let limit = if self.builds_elsewhere() { self.build_limit() } else { self.settings.move_deadline };
        let mut pause = LOOKS.0;
        let mut removed = BTreeSet::new();
        loop {
            let production = self.client.deployments(&self.settings.project, "production", 1).await?;
            let project = self.project().await?;
            let now = self.client.transport.clock().now();
            let under_way = |one: &&Deployment| one.may_still_end(now) && !project.serves(&one.id);
            let Some(first) = production.iter().find(under_way) else { return Ok(Settled { project, production }) };
            let id = first.id.clone();
            let ours = match first.stamp() {
                Some(stamp) => stamp.is_of(scope) && stamp.revision() != wanted.digest,
                // A build carries no mark: of this commit only a release would ask for one, since pushes build nothing.
                None => {
                    self.builds_elsewhere() && first.commit() == Some(scope.commit.as_str()) && of_commit(&scope.commit) != wanted.digest
                }
            };
            if removed.is_empty() {
                scope.step(&self.settings.target, format!("the production deployment {id} is under way: waiting for its end"));
            }
            if removed.insert(id.clone()) && ours && scope.phase == Phase::RollBack {
                // Refused where it has just become production; the next look tells.
                let _ = scope.changes.during(self.client.delete_deployment(&self.settings.project, &id)).await;
            }
            if began.elapsed() >= limit {
                let what = format!("the end of the production deployment {id}");
                return Err(self.error("serve", PlatformErrorKind::TimedOut { what, limit }));
            }
            self.pause(scope, pause).await?;
            pause = (pause * 3 / 2).min(LOOKS.1);
        }
    }

    /// Makes sure that what is in production may be replaced. Neither call has a precondition on Cloudflare's side, so a person's act between this
    /// look and the move is still run over.
    async fn is_expected(&self, scope: &Scope, project: &Project) -> Result<(), PlatformError> {
        let Some(expected) = &scope.expected else { return Ok(()) };
        let Some(canonical) = self.canonical(project).await? else { return Ok(()) };
        let known = |revision: &Revision| Hints::of(revision).is_some_and(|hints| hints.deployment_id == canonical.id);
        let now = self.revision_of(&canonical);
        let own = now.release.as_deref() == Some(scope.release.as_str());
        if own || expected.iter().any(|revision| known(revision) || revision.same_content(&now)) {
            return Ok(());
        }
        let text = format!("{} is in production, which this release did not find there", now.label);
        Err(self.error("serve", PlatformErrorKind::Foreign(text)))
    }

    /// Returns whether what was read may be from before the move that was asked for last, or contradicts a move that was seen; then waits until it
    /// cannot be old any more.
    async fn may_be_old_news(&self, scope: &Scope, revision: &Revision) -> Result<bool, PlatformError> {
        let (asked, contradicts) = {
            let mut memory = self.memory();
            let contradicts = memory.moved_to.as_ref().is_some_and(|known| known.digest != revision.digest);
            (memory.asked.take(), contradicts)
        };
        let recent = asked.map_or(Duration::ZERO, |asked| READ_LAG.saturating_sub(asked.elapsed()));
        let left = if contradicts && asked.is_some() { READ_LAG } else { recent };
        if !left.is_zero() {
            self.pause(scope, left).await?;
        }
        Ok(!left.is_zero())
    }

    /// Returns by which call the revision comes to serve.
    async fn way(&self, scope: &Scope, revision: &Revision, hints: &Hints, settled: &Settled) -> Result<Way, PlatformError> {
        if hints.production
            && !hints.deployment_id.is_empty()
            && self.client.deployment(&self.settings.project, &hints.deployment_id).await?.is_some()
        {
            return Ok(Way::RollBack(hints.deployment_id.clone()));
        }
        let earlier = settled.production.iter().find(|one| {
            let marked = one.stamp().is_some_and(|stamp| stamp.is_ours(scope) && stamp.revision() == revision.digest);
            let built = self.builds_elsewhere() && one.stamp().is_none() && self.revision_of(one).same_content(revision);
            (marked || built) && one.progress() == Progress::Ready && !settled.project.serves(&one.id)
        });
        if let Some(earlier) = earlier {
            return Ok(Way::RollBack(earlier.id.clone()));
        }
        let commit = revision.artifact.as_ref().filter(|sha| self.builds_elsewhere() && of_commit(sha) == revision.digest);
        if let Some(sha) = commit.filter(|_| scope.phase != Phase::RollBack) {
            return Ok(Way::Build(sha.clone()));
        }
        self.postable(scope, revision, hints).await?.map(Way::Post).ok_or_else(|| self.unpostable(revision))
    }

    /// Returns what the revision is made of, where anybody knows: its own staging deployment, or another one of the same content.
    async fn postable(&self, scope: &Scope, revision: &Revision, hints: &Hints) -> Result<Option<Parts>, PlatformError> {
        let staged = if hints.production {
            let previews = self.client.deployments(&self.settings.project, "preview", 4).await?;
            let same = |one: &&Deployment| {
                one.stamp().is_some_and(|stamp| stamp.is_ours(scope) && stamp.revision() == revision.digest)
                    && one.progress() == Progress::Ready
            };
            previews.iter().find(same).and_then(|one| Hints::of(&self.revision_of(one)))
        } else {
            Some(hints.clone())
        };
        self.parts(revision, staged.as_ref()).await
    }

    /// Asks for the move and follows it. `Ok` means that a look decides what is next, not that it has happened.
    async fn move_to(&self, scope: &Scope, revision: &Revision, hints: &Hints, way: Way, settled: &Settled) -> Result<(), PlatformError> {
        let id = match way {
            Way::Post(parts) => self.post(scope, revision, &parts, settled).await?,
            Way::Build(sha) => {
                let known = settled.production.iter().map(|one| one.id.clone()).collect();
                self.build(scope, &sha, settled.project.branch(), &known).await?
            }
            Way::RollBack(id) => {
                scope.step(&self.settings.target, format!("asks for the rollback to {id}"));
                self.memory().asked = Some(Instant::now());
                match scope.changes.during(self.client.roll_back(&self.settings.project, &id)).await {
                    Ok(()) => id,
                    Err(error) if is_no(&error) => {
                        // Whether a project without git can be rolled back by call is not documented (cloudflare.md 5).
                        let Some(parts) = self.postable(scope, revision, hints).await? else { return Err(error) };
                        scope.step(&self.settings.target, format!("the rollback is refused, posting the same once more: {}", error.kind));
                        self.post(scope, revision, &parts, settled).await?
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        self.until_production(scope, &id, revision).await
    }

    /// Posts the same manifest to the production branch; returns the deployment once it answers.
    async fn post(&self, scope: &Scope, revision: &Revision, parts: &Parts, settled: &Settled) -> Result<String, PlatformError> {
        if parts.is_stale() {
            self.is_stored(scope, revision, parts).await?;
        }
        let known: BTreeSet<String> = settled.production.iter().map(|one| one.id.clone()).collect();
        let branch = settled.project.branch();
        let place = Place { branch, production: true, known: &known };
        let stamp = Stamp::of(scope, &revision.digest, revision.artifact.as_deref(), "");
        scope.step(&self.settings.target, format!("posts {} to {branch}", revision.label));
        self.memory().asked = Some(Instant::now());
        let made = scope.changes.during(self.create_once(scope, place, &stamp.message(), parts, None)).await?;
        if made.environment.is_some() && !made.is_production() {
            self.client.delete_deployment(&self.settings.project, &made.id).await?;
            let text =
                format!("the deployment of {branch} was made as a preview: it is not the production branch any more; it was removed");
            let hint = "somebody has changed the project's production branch; release again once it is what it should be";
            return Err(self.error("serve", PlatformErrorKind::Refused(text)).hint(hint));
        }
        Ok(self.until_ready(scope, made).await?.id)
    }

    /// Makes sure that every content is still stored: how long Pages keeps what nobody deploys is not documented (cloudflare.md 5).
    async fn is_stored(&self, scope: &Scope, revision: &Revision, parts: &Parts) -> Result<(), PlatformError> {
        if let Some(site) = &parts.site {
            return self.store(scope, &site.assets, |_| Ok(())).await;
        }
        let mut keys: Vec<&str> = parts.record.manifest.values().map(String::as_str).collect();
        keys.sort_unstable();
        keys.dedup();
        let missing = self.not_stored(&keys).await?;
        if missing.is_empty() { Ok(()) } else { Err(self.unpostable(revision)) }
    }

    /// Waits until the project's own word on its production is this deployment; a limit reached is left to the caller's next look.
    async fn until_production(&self, scope: &Scope, id: &str, revision: &Revision) -> Result<(), PlatformError> {
        let began = Instant::now();
        let mut pause = LOOKS.0;
        loop {
            let project = self.project().await?;
            if project.serves(id) {
                let mut memory = self.memory();
                memory.moved = Some(Instant::now());
                memory.moved_to = Some(MovedTo { id: id.to_owned(), digest: revision.digest.clone() });
                return Ok(());
            }
            if began.elapsed() >= READ_LAG.max(self.settings.move_deadline / MOVES as u32) {
                return Ok(());
            }
            self.pause(scope, pause).await?;
            pause = (pause * 3 / 2).min(LOOKS.1);
        }
    }

    /// Observes production that was seen to be the revision; what shows another is looked at again for as long as reads may lag.
    async fn observed_serving(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        let until = Instant::now() + READ_LAG;
        loop {
            let observed = self.observed(scope).await?;
            let id = Hints::of(revision).map(|hints| hints.deployment_id);
            let serves =
                observed.single().is_some_and(|one| one.same_content(revision) || Hints::of(one).map(|hints| hints.deployment_id) == id);
            if serves || Instant::now() >= until {
                return Ok(observed);
            }
            self.pause(scope, LOOKS.1).await?;
        }
    }
}

/// Returns whether the platform has said no, so that nothing has happened.
fn is_no(error: &PlatformError) -> bool {
    matches!(error.kind, PlatformErrorKind::Refused(_) | PlatformErrorKind::NotFound(_) | PlatformErrorKind::Conflict(_))
}
