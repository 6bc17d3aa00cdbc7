//! Serve: all production hostnames lead to this deployment, by promotion or by rollback.

use std::time::Duration;

use tokio::time::Instant;

use super::api::{Moved, Verb};
use super::hints::Hints;
use super::wire::{Progress, Project};
use super::{READ_LAG, VercelTarget};
use crate::event::Phase;
use crate::platform::{Observed, PlatformError, PlatformErrorKind, Revision, Scope};

/// How often a move is asked for before it is given up: lost answers and other people's jobs use up tries.
const MOVES: usize = 4;
/// The shortest and the longest pause between two looks at a job.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// The shortest pause between two looks on the way back: users may see two sides, and a runner that is cancelled has ten seconds.
const SOON: Duration = Duration::from_millis(80);

impl VercelTarget {
    /// Reads before each change: what serves already is left alone, a job under way is waited out whoever began it.
    pub(super) async fn serve_revision(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        let hints = Hints::of(revision)
            .ok_or_else(|| self.error("serve", PlatformErrorKind::Impossible(format!("{} names no deployment", revision.label))))?;
        let id = hints.deployment_id.as_str();
        let mut last = None;
        for tries in 0..MOVES {
            let project = self.settled(scope).await?;
            if self.serves_wholly(&project, id).await? {
                if tries > 0 {
                    self.has_moved(id);
                } else if self.may_be_old_news(scope, id).await? {
                    continue;
                }
                return self.observed_serving(scope, id, None).await;
            }
            self.is_expected(scope, &project).await?;
            if scope.phase != Phase::RollBack {
                self.may_go_on(scope)?;
            }
            let verb = self.verb(scope, id).await?;
            let stale = scope.turn.wait(&scope.shutdown).await;
            if scope.phase != Phase::RollBack {
                self.may_go_on(scope)?;
            }
            if stale {
                continue;
            }
            match self.move_to(scope, &project, verb, id).await {
                Ok(Some(moved)) => {
                    self.has_moved(id);
                    return self.observed_serving(scope, id, Some(moved)).await;
                }
                Ok(None) => {}
                Err(error) if error.ambiguous() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        let project = self.settled(scope).await?;
        if self.serves_wholly(&project, id).await? {
            self.has_moved(id);
            return self.observed_serving(scope, id, None).await;
        }
        let what = format!("the move of production to {id}");
        Err(last.unwrap_or_else(|| self.error("serve", PlatformErrorKind::TimedOut { what, limit: self.settings.job_deadline })))
    }

    /// Makes sure that what is in production may be replaced: what was found there when the release last looked, or, on the way back, anything of
    /// ours. A promotion has no precondition on Vercel's side, so a person's act between this look and the move is still run over.
    async fn is_expected(&self, scope: &Scope, project: &Project) -> Result<(), PlatformError> {
        let (Some(expected), Some(production)) = (&scope.expected, project.production()) else { return Ok(()) };
        let known = |revision: &Revision| Hints::of(revision).is_some_and(|hints| hints.deployment_id == production.id);
        if expected.iter().any(known) {
            return Ok(());
        }
        let now = self.revision_in_production(project, production).await?;
        let own = now.release.as_deref() == Some(scope.release.as_str());
        if expected.iter().any(|revision| revision.same_content(&now)) || own {
            return Ok(());
        }
        Err(self
            .error("serve", PlatformErrorKind::Foreign(format!("{} is in production, which this release did not find there", now.label))))
    }

    /// Observes production that was seen to be `id`; what shows another is looked at again for as long as reads may lag.
    ///
    /// `moved` is the project as it was seen when the move had happened. What was left there is nobody's question while traffic moves.
    async fn observed_serving(&self, scope: &Scope, id: &str, moved: Option<Project>) -> Result<Observed, PlatformError> {
        if let (Some(project), Phase::CutOver | Phase::RollBack) = (&moved, scope.phase) {
            return self.seen(project).await;
        }
        let until = Instant::now() + READ_LAG;
        loop {
            let observed = self.observed(scope).await?;
            let serves = observed.single().and_then(Hints::of).is_some_and(|hints| hints.deployment_id == id);
            if serves || Instant::now() >= until {
                return Ok(observed);
            }
            self.pause(scope, LOOKS.1).await?;
        }
    }

    /// Returns whether what was read may be from before the move that was asked for last, or contradicts a move that was seen; then waits until
    /// it cannot be old any more.
    async fn may_be_old_news(&self, scope: &Scope, id: &str) -> Result<bool, PlatformError> {
        let (asked, moved_to) = {
            let mut memory = self.memory();
            (memory.asked.take(), memory.moved_to.take())
        };
        let contradicts = moved_to.is_some_and(|known| known != id);
        let recent = asked.map_or(Duration::ZERO, |asked| READ_LAG.saturating_sub(asked.elapsed()));
        let left = if contradicts { READ_LAG } else { recent };
        if !left.is_zero() {
            self.pause(scope, left).await?;
        }
        Ok(!left.is_zero())
    }

    /// Returns the project once no promotion or rollback of it is under way.
    pub(super) async fn settled(&self, scope: &Scope) -> Result<Project, PlatformError> {
        let began = Instant::now();
        let limit = self.settings.job_deadline;
        let mut pause = Self::longer(scope, Duration::ZERO);
        let mut told = false;
        loop {
            let project = self.project().await?;
            let Some(request) = project.running_request() else { return Ok(project) };
            if !told {
                scope.step(&self.settings.target, format!("{}: waiting for its end", request.in_words()));
                told = true;
            }
            if began.elapsed() >= limit {
                let what = format!("the end of another job ({})", request.in_words());
                return Err(self.error("serve", PlatformErrorKind::TimedOut { what, limit }));
            }
            self.pause(scope, pause).await?;
            pause = Self::longer(scope, pause);
        }
    }

    /// Returns whether the project's production is `id` and every production hostname leads there.
    ///
    /// A job that failed leaves the project's own word behind while some hostnames have moved (vercel.md 6.2), so the hostnames are asked
    /// unless the last job succeeded in moving all of them to `id`.
    pub(super) async fn serves_wholly(&self, project: &Project, id: &str) -> Result<bool, PlatformError> {
        if !project.serves(id) {
            return Ok(false);
        }
        let last = project.last_alias_request.as_ref();
        if last.is_some_and(|request| request.to_deployment_id == id && request.job_status == "succeeded") {
            return Ok(true);
        }
        Ok(self.hosts(project).await?.iter().all(|(_, leads_to)| leads_to == id))
    }

    /// Returns by which call the deployment comes to serve: promotion where it never had production traffic, rollback where it had.
    async fn verb(&self, scope: &Scope, id: &str) -> Result<Verb, PlatformError> {
        let Some(deployment) = self.client.deployment(id).await? else {
            let kind = PlatformErrorKind::NotFound(format!("the deployment {id} was deleted"));
            return Err(self.error("serve", kind).hint("roll back to an older release, or release this commit again"));
        };
        if deployment.progress() == Progress::Failed {
            return Err(self.error("serve", PlatformErrorKind::Unhealthy(format!("the deployment {id} is {}", deployment.reason()))));
        }
        Ok(match deployment.has_served() {
            Some(true) => Verb::RollBack,
            Some(false) => Verb::Promote,
            None if scope.phase == Phase::RollBack => Verb::RollBack,
            None => Verb::Promote,
        })
    }

    /// Asks for the move and follows it. `Ok` with the project means that it has happened, `Ok` without that a look decides what is next.
    async fn move_to(&self, scope: &Scope, project: &Project, verb: Verb, id: &str) -> Result<Option<Project>, PlatformError> {
        let known = project.last_alias_request.as_ref();
        self.about_to_move(scope, project, verb);
        scope.step(&self.settings.target, format!("asks for the {} to {id}", verb.in_words()));
        self.memory().asked = Some(Instant::now());
        match scope.changes.during(self.client.request_move(verb, &project.id, id)).await {
            Ok(Moved::Requested) => self.follow_move(scope, verb, id, known, true).await,
            Ok(Moved::Queued) => {
                let text = "the promotion waits behind a rolling release: no traffic has moved".to_owned();
                let hint = "complete or abort the rolling release in Vercel's dashboard, and turn rolling releases off";
                Err(self.error("promote", PlatformErrorKind::Conflict(text)).hint(hint))
            }
            // It serves already, or another job is under way: the next look tells which. A conflict without either is one.
            Ok(Moved::Conflict(error)) => {
                let now = self.project().await?;
                if now.running_request().is_some() || self.serves_wholly(&now, id).await? { Ok(None) } else { Err(error) }
            }
            Err(error) if error.ambiguous() => {
                scope.step(&self.settings.target, "the answer was lost: looking whether the job was made");
                self.follow_move(scope, verb, id, known, false).await?;
                Err(error)
            }
            Err(error) if verb == Verb::RollBack && matches!(error.kind, PlatformErrorKind::Refused(_)) => {
                // Plans limit how far back a rollback reaches; a promotion of the same deployment rebuilds nothing either.
                scope.step(&self.settings.target, format!("the rollback is refused, asking for the promotion: {}", error.kind));
                self.about_to_move(scope, project, Verb::Promote);
                match scope.changes.during(self.client.request_move(Verb::Promote, &project.id, id)).await {
                    Ok(Moved::Requested) => self.follow_move(scope, Verb::Promote, id, known, true).await,
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the next pause between looks.
    pub(super) fn longer(scope: &Scope, pause: Duration) -> Duration {
        if scope.phase == Phase::RollBack { (pause * 5 / 4).clamp(SOON, LOOKS.1) } else { (pause * 3 / 2).clamp(LOOKS.0, LOOKS.1) }
    }
}
