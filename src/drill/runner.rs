//! One simulated process that releases or recovers: the product's own code, with targets, journal and wire of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::arena::{self, Arena};
use super::blueprint::GITHUB_TOKEN;
use super::director::Director;
use super::keeper::{Kept, Ledger};
use super::life::Life;
use super::line::Line;
use super::schedule::Keeping;
use crate::event::{Event, Events, Level, Outcome, Phase, Serving};
use crate::github::census::GitHubCensus;
use crate::github::ref_store::RefStore;
use crate::github::{GitHub, Repository};
use crate::http::Transport;
use crate::id::{Chance, Name, ReleaseId};
use crate::platform::{AnyTarget, Scope, Target};
use crate::release::drift::DriftPolicy;
use crate::release::journal::{Journal, Owner, OwnerJob, State};
use crate::release::lock::{self, NoTurn, Nobody, Patience, Turn};
use crate::release::store::file::FileStore;
use crate::release::store::{Store, StoreError};
use crate::release::{Context, Failure, Plan, Recovered, Release, end_due, look_at_closed, recover};
use crate::settings::targets::{Means, TargetSettings, Unusable};

/// What a runner is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// To release.
    Release,
    /// To bring an unfinished release to its end, knowing nothing but the journal.
    Recover,
}

/// How a runner said that it ended.
#[derive(Debug, Clone)]
pub struct Word {
    /// The outcome.
    pub outcome: Outcome,
    /// What serves, by its word.
    pub serving: Serving,
    /// Why, unless all went well.
    pub failure: Option<String>,
}

/// One process.
#[derive(Debug)]
pub struct Runner {
    arena: Arc<Arena>,
    director: Arc<Director>,
    life: Life,
    ledger: Ledger,
    keeping: Keeping,
    context: Context,
}

impl Runner {
    /// Returns a process that has not begun, and what it will tell.
    pub fn new(
        arena: &Arc<Arena>,
        director: &Arc<Director>,
        ledger: &Ledger,
        keeping: Keeping,
        life: Life,
        seed: u64,
    ) -> (Self, tokio::sync::mpsc::UnboundedReceiver<Event>) {
        let clock = arena.clock.shifted(life.shift());
        let line = Line::new(arena.platforms.world.clone(), director.clone(), life.clone());
        let chance = Chance::seeded(seed.wrapping_mul(1_000).wrapping_add(life.number()));
        let transport = Transport::new(Arc::new(line), clock, Arc::new(chance));
        let (events, told) = Events::channel(clock);
        let blueprint = &arena.blueprint;
        let context = Context {
            product: blueprint.product.clone(),
            environment: blueprint.environment.clone(),
            release: ReleaseId::from_text(format!("r-{}", life.number())),
            commit: "c".repeat(40),
            reason: "a drill".to_owned(),
            transport,
            events,
            shutdown: life.shutdown().clone(),
            timing: blueprint.timing.clone(),
            secrets: blueprint.secrets.clone(),
            drift: DriftPolicy::Refuse,
            changes: crate::platform::Changes::default(),
            hostnames: crate::platform::cloudflare::dns::Hostnames::default(),
        };
        director.knows(&life);
        let runner = Self { arena: arena.clone(), director: director.clone(), life, ledger: ledger.clone(), keeping, context };
        (runner, told)
    }

    /// Does the errand as the command line would.
    pub async fn run(self, errand: Errand) -> Word {
        let result = match errand {
            Errand::Release => Box::pin(self.release()).await,
            Errand::Recover => Box::pin(self.recover()).await,
        };
        result.unwrap_or_else(|word| word)
    }

    async fn release(&self) -> Result<Word, Word> {
        let mut journal = self.journal().await?;
        self.recover_first(&mut journal).await?;
        let transport = self.context.transport.guarded(Arc::new(journal.ownership().clone()));
        let moves = self.arena.blueprint.moves(|part| part.settings.target(transport.clone()));
        let moves = moves.map_err(|error| refused(Outcome::PreflightFailed, error.to_string()))?;
        let scope = self.scope(Phase::Preflight);
        let problems = join_all(moves.iter().map(|each| each.target.preflight(&scope))).await;
        for answer in problems {
            let fatal = answer.map(|problems| problems.into_iter().find(|problem| problem.fatal).map(|problem| problem.text));
            if let Some(text) = fatal.unwrap_or_else(|error| Some(error.to_string())) {
                let outcome = if self.cancelled() { Outcome::Cancelled } else { Outcome::PreflightFailed };
                return Err(refused(outcome, text));
            }
        }
        let plan = Plan::make(&self.context, moves).await.map_err(|failure| failed(&failure))?;
        let ending = Box::pin(Release::new(self.context.clone(), &mut journal, plan).run()).await;
        Ok(Word { outcome: ending.outcome, serving: ending.serving, failure: ending.failure.map(|failure| failure.to_string()) })
    }

    async fn recover(&self) -> Result<Word, Word> {
        let mut journal = self.journal().await?;
        if journal.state().open.is_none() {
            self.look(&journal).await?;
        }
        let recovered = self.recover_first(&mut journal).await?;
        if matches!(recovered, Recovered::Finished(_)) {
            self.look(&journal).await?;
        }
        let (outcome, serving) = match recovered {
            Recovered::Nothing => (Outcome::Carried, Serving::Unknown),
            Recovered::RolledBack(_) => (Outcome::RolledBack, Serving::Before),
            Recovered::Finished(_) | Recovered::Unfinished(_) => (Outcome::Finished, Serving::After),
            Recovered::Stuck(_, failures) => {
                let text = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                return Err(refused(Outcome::Stuck, text));
            }
        };
        Ok(Word { outcome, serving, failure: None })
    }

    /// Looks whether closed releases left anything.
    async fn look(&self, journal: &Journal) -> Result<(), Word> {
        let targets = self.recorded(journal)?;
        let by_name: BTreeMap<Name, &AnyTarget> = targets.iter().map(|target| (target.name().clone(), target)).collect();
        for found in look_at_closed(&self.context, journal, &by_name).await {
            let text = format!("{}: removed {}, error {:?}", found.target, found.removed.len(), found.error.map(|error| error.to_string()));
            self.context.events.notice(Level::Note, "drill::looked", text);
        }
        Ok(())
    }

    /// Brings an open release to its end first, when it is this runner's turn.
    async fn recover_first(&self, journal: &mut Journal) -> Result<Recovered, Word> {
        let abandoned = match self.turn(journal).await.map_err(|no_turn| no_turn_for(&no_turn))? {
            Turn::Free => {
                let targets = self.recorded(journal)?;
                let by_name: BTreeMap<Name, &AnyTarget> = targets.iter().map(|target| (target.name().clone(), target)).collect();
                for ended in end_due(&self.context, journal, &by_name).await {
                    let text = format!("{}: {} ended, error {:?}", ended.target, ended.label, ended.error.map(|error| error.to_string()));
                    self.context.events.notice(Level::Note, "drill::ended-kept", text);
                }
                return Ok(Recovered::Nothing);
            }
            Turn::Abandoned(abandoned) => abandoned,
        };
        let targets = self.recorded(journal)?;
        let by_name: BTreeMap<Name, &AnyTarget> = targets.iter().map(|target| (target.name().clone(), target)).collect();
        match Box::pin(recover(&self.context, journal, &by_name, &abandoned)).await {
            Ok(Recovered::Stuck(_, failures)) => {
                let text = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                Err(refused(Outcome::Stuck, text))
            }
            Ok(recovered) => Ok(recovered),
            Err(failure) => Err(Word { serving: Serving::Unknown, ..failed(&failure) }),
        }
    }

    /// Returns the targets that the journal names, made from the journal alone.
    fn recorded(&self, journal: &Journal) -> Result<Vec<AnyTarget>, Word> {
        let transport = self.context.transport.guarded(Arc::new(journal.ownership().clone()));
        let made = known(&self.arena.blueprint.means(), journal.state())
            .and_then(|known| known.iter().map(|settings| settings.target(transport.clone())).collect::<Result<Vec<_>, _>>());
        made.map_err(|error| refused(Outcome::PreflightFailed, error.to_string()))
    }

    async fn journal(&self) -> Result<Journal, Word> {
        let owner = self.owner();
        let unopened = |error: StoreError| {
            let outcome = if matches!(error, StoreError::Held { .. }) { Outcome::Held } else { Outcome::PreflightFailed };
            refused(outcome, error.to_string())
        };
        let store: Box<dyn Store> = match self.keeping {
            Keeping::File => Box::new(FileStore::open(&self.arena.journal(), &owner).map_err(unopened)?),
            Keeping::Ref => {
                let blueprint = &self.arena.blueprint;
                Box::new(RefStore::new(&self.github(), &blueprint.product, &blueprint.environment))
            }
        };
        let ground = self.arena.platforms.world.ground().clone();
        let kept = Kept::new(store, ground, self.director.clone(), self.life.clone(), self.ledger.clone());
        Journal::open(Box::new(kept), owner, self.context.transport.clock()).await.map_err(unopened)
    }

    /// Returns who it is in the journal: a job of a workflow where the journal is GitHub's, else a process.
    fn owner(&self) -> Owner {
        let number = self.life.number();
        match self.keeping {
            Keeping::File => Owner::process(format!("drill@machine/{number}")),
            Keeping::Ref => Owner {
                id: format!("{}/1/release", arena::run_of(number)),
                url: String::new(),
                job: Some(OwnerJob {
                    repository: arena::REPOSITORY.to_owned(),
                    run: arena::run_of(number),
                    attempt: 1,
                    name: "release".to_owned(),
                    runner: None,
                    id: None,
                }),
                process: None,
                actor: None,
            },
        }
    }

    fn github(&self) -> GitHub {
        github(self.context.transport.clone())
    }

    /// Waits for this runner's turn.
    async fn turn(&self, journal: &mut Journal) -> Result<Turn, NoTurn> {
        match self.keeping {
            Keeping::File => lock::turn(&self.context, journal, &Nobody, Patience::default()).await,
            Keeping::Ref => lock::turn(&self.context, journal, &GitHubCensus::new(self.github(), None), Patience::default()).await,
        }
    }

    fn scope(&self, phase: Phase) -> Scope {
        let context = &self.context;
        context.scope(phase, &context.shutdown)
    }

    fn cancelled(&self) -> bool {
        self.context.shutdown.level() >= crate::shutdown::Level::Drain
    }
}

/// Returns every target that the journal knows, the newest word on each, made from the journal alone.
fn known(means: &Means<'_>, state: &State) -> Result<Vec<TargetSettings>, Unusable> {
    let all = state.reached();
    all.into_iter().map(|(name, at)| TargetSettings::recorded(means, &name, at.platform, &at.thing, &at.reach)).collect()
}

fn refused(outcome: Outcome, text: String) -> Word {
    let serving = if outcome == Outcome::Stuck { Serving::Unknown } else { Serving::Before };
    Word { outcome, serving, failure: Some(text) }
}

fn failed(failure: &Failure) -> Word {
    refused(if failure.cancelled { Outcome::Cancelled } else { Outcome::PreflightFailed }, failure.to_string())
}

fn no_turn_for(no_turn: &NoTurn) -> Word {
    let outcome = match no_turn {
        NoTurn::TimedOut { .. } => Outcome::Held,
        NoTurn::Superseded(_) => Outcome::Superseded,
        NoTurn::Cancelled => Outcome::Cancelled,
        NoTurn::Store(_) => Outcome::PreflightFailed,
    };
    Word { serving: Serving::Unknown, ..refused(outcome, no_turn.to_string()) }
}

/// Returns GitHub as a runner reaches it.
pub(super) fn github(transport: Transport) -> GitHub {
    // Constants of this file's own, which parse.
    let api = url::Url::parse("https://api.github.com").unwrap_or_else(|_| unreachable!("a constant address"));
    let repository = Repository::parse(arena::REPOSITORY).unwrap_or_else(|| unreachable!("a constant name"));
    GitHub::new(transport, api, GITHUB_TOKEN.to_owned().into(), repository)
}
