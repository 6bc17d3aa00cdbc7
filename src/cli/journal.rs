//! Which journal is an environment's, and how a command comes by it.
//!
//! In a workflow, and wherever else the repository is on GitHub, it is a ref of the repository, so that every machine reads the same truth; else
//! a file on this machine. Where it may be on GitHub and nobody can look, nothing is released: two journals of one environment are none.

use std::path::PathBuf;

use super::conduct::Conclusion;
use super::run::Base;
use super::stage::{Means, Stage};
use super::{Failure, ask};
use crate::event::{Level, Outcome};
use crate::github::census::{GitHubCensus, OwnRun, own_job};
use crate::github::ref_store::{self, RefStore};
use crate::github::{GitHub, Repository};
use crate::id::Name;
use crate::release::journal::{Journal, Owner, Record};
use crate::release::lock::{Census, Nobody};
use crate::release::ownership::Terms;
use crate::release::store::file::FileStore;
use crate::release::store::{Store, StoreError};
use crate::settings::{Keeper, variable};
use crate::trigger::git;

/// Where the journals of a run are kept.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In files under this folder of this machine.
    Files(PathBuf),
    /// In refs of a repository.
    Refs(GitHub),
}

/// An environment's journal, ready for a run, and who can be asked about its owners.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The journal.
    pub(crate) journal: Journal,
    /// Who knows whether an owner is at work.
    pub(crate) census: Box<dyn Census>,
}

impl Place {
    /// Decides where the journals are: as was said, else by where the repository is.
    pub(crate) async fn of(means: &Means) -> Result<Self, Conclusion> {
        let said = means.settings.journal;
        if said == Some(Keeper::File) {
            return Ok(Self::Files(means.state_dir.clone()));
        }
        let repository = repository(means).await.as_deref().and_then(Repository::parse);
        match (repository, means.settings.github_token.clone()) {
            (Some(repository), Some(token)) => {
                Ok(Self::Refs(GitHub::new(means.transport.clone(), means.settings.github_api.clone(), token, repository)))
            }
            (Some(repository), None) => Err(unreadable(&repository)),
            (None, _) if said == Some(Keeper::GitHub) => {
                let text = "the journal is to be kept on GitHub, and nobody says in which repository: this is part of no workflow, and git knows no remote `origin` there; nothing was touched";
                Err(Conclusion::refused(text, vec!["run it in a clone, or leave out --journal github".to_owned()]))
            }
            (None, _) => Ok(Self::Files(means.state_dir.clone())),
        }
    }

    /// Decides where to read; where the journals may be on GitHub and nobody can look, this machine's, and a sentence that says so.
    pub(crate) async fn to_read(means: &Means) -> (Self, Option<String>) {
        match Self::of(means).await {
            Ok(place) => (place, None),
            Err(conclusion) => (Self::Files(means.state_dir.clone()), conclusion.failure),
        }
    }

    /// Returns the journals that are there, by product and environment.
    pub(crate) async fn journals(&self) -> Result<Vec<(Name, Name)>, Conclusion> {
        match self {
            Self::Files(folder) => FileStore::journals(folder).map_err(|error| refusal(&error, None)),
            Self::Refs(github) => ref_store::journals(github).await.map_err(|error| {
                let text = format!("the journals of {} cannot be listed: {error}", github.repository());
                Conclusion::refused(text, vec!["the token needs contents: write".to_owned()])
            }),
        }
    }

    /// Opens the environment's journal for a run that releases or recovers; on a machine of its own that takes the machine's lock. A run that
    /// gives way to a newer one says which it is itself.
    pub(crate) async fn open(&self, means: &Means, product: &Name, environment: &Name, own: Option<OwnRun>) -> Result<Opened, Conclusion> {
        let mut owner = means.owner();
        let opened: Result<Opened, StoreError> = async {
            match self {
                Self::Files(folder) => {
                    let store = FileStore::open(&FileStore::path(folder, product, environment), &owner)?;
                    Ok(Opened { journal: handle(means, Box::new(store), owner).await?, census: Box::new(Nobody) })
                }
                Self::Refs(github) => {
                    if let Some(job) = &mut owner.job {
                        job.id = own_job(github, job).await;
                    }
                    let journal = handle(means, Box::new(RefStore::new(github, product, environment)), owner).await?;
                    Ok(Opened { journal, census: Box::new(GitHubCensus::new(github.clone(), own)) })
                }
            }
        }
        .await;
        opened.map_err(|error| refusal(&error, Some(environment)))
    }

    /// Opens the environment's journal beside whoever holds it, for reading and for a record that may come in between.
    pub(crate) async fn beside(&self, means: &Means, product: &Name, environment: &Name) -> Result<Journal, Conclusion> {
        let store: Box<dyn Store> = match self {
            Self::Files(folder) => Box::new(FileStore::beside(&FileStore::path(folder, product, environment))),
            Self::Refs(github) => Box::new(RefStore::new(github, product, environment)),
        };
        handle(means, store, means.owner()).await.map_err(|error| refusal(&error, Some(environment)))
    }
}

async fn handle(means: &Means, store: Box<dyn Store>, owner: Owner) -> Result<Journal, StoreError> {
    let terms = match means.settings.deadline {
        // On real platforms nobody may say that a runner is dead which is not.
        _ if !means.on_embedded() => Terms::default(),
        Some(deadline) => Terms::REHEARSED.alive_for(deadline),
        None => Terms::REHEARSED,
    };
    Journal::open_on(store, owner, means.clock, terms).await
}

/// Returns `owner/name` of the repository on GitHub that the run belongs to, by the workflow's word or by where the clone came from.
async fn repository(means: &Means) -> Option<String> {
    if let Some(run) = &means.trigger.run {
        return Some(run.repository.clone());
    }
    // The API of github.com has a host of its own; an own server has one for everything.
    let host = means.settings.environment.get("GITHUB_SERVER_URL").and_then(|server| url::Url::parse(server).ok());
    let host = host.as_ref().and_then(url::Url::host_str).unwrap_or("github.com");
    git::repository_on(host, &git::origin(&means.root).await?)
}

/// Returns the repository on GitHub that the run belongs to, where there is one and a token to ask it with.
pub(super) async fn github(means: &Means) -> Option<GitHub> {
    let repository = Repository::parse(&repository(means).await?)?;
    let token = means.settings.github_token.clone()?;
    Some(GitHub::new(means.transport.clone(), means.settings.github_api.clone(), token, repository))
}

/// Returns the refusal of whoever cannot read a journal that may be there.
fn unreadable(repository: &Repository) -> Conclusion {
    let token = variable::GITHUB_TOKEN;
    let text = format!("the journal of this environment may be on GitHub, in {repository}, and {token} is not set, so nobody can look");
    let set = format!("set {token} to a token that may write the contents of {repository}");
    let file = "or add `--journal file`, if no workflow releases this environment: its journal is on this machine then".to_owned();
    Conclusion::refused(text, vec![set, file])
}

/// Opens the journal of an environment of the manifest for a release, wherever it is. With `gives_way` a newer run supersedes this one.
pub(crate) async fn open(stage: &Stage, environment: &Name, gives_way: bool) -> Result<Opened, Conclusion> {
    let place = Place::of(stage).await?;
    if matches!(place, Place::Files(_)) {
        tell_local_only(stage);
    }
    let own = if gives_way { own_run(stage) } else { None };
    place.open(stage, &stage.manifest.product, environment, own).await
}

/// Returns this run as GitHub lists it; `None` outside a workflow, or on no branch.
fn own_run(means: &Means) -> Option<OwnRun> {
    let workflow = OwnRun::workflow_file(means.settings.environment.get(variable::GITHUB_WORKFLOW_REF)?)?;
    let branch = means.trigger.branch()?.to_owned();
    Some(OwnRun { id: means.trigger.run.as_ref()?.id, workflow, branch, sha: means.trigger.tested_commit().to_owned() })
}

/// Opens the journal of an environment wherever it is, beside whoever holds it, for a record of a person.
pub(crate) async fn beside(means: &Means, product: &Name, environment: &Name) -> Result<Journal, Conclusion> {
    Place::of(means).await?.beside(means, product, environment).await
}

/// Opens the journal of an environment wherever it can be read, with a sentence where that may not be the one that counts.
pub(crate) async fn read(means: &Means, product: &Name, environment: &Name) -> Result<(Journal, Option<String>), Conclusion> {
    let (place, caveat) = Place::to_read(means).await;
    Ok((place.beside(means, product, environment).await?, caveat))
}

/// Reads the newest records of a journal, oldest first.
pub(crate) async fn records(journal: &mut Journal, most: usize) -> Result<Vec<Record>, Conclusion> {
    journal.records(most).await.map_err(|error| refusal(&error, None))
}

/// Returns whose journal a command means: the product that was named, else the manifest's, whose environments are known.
pub(super) fn product(base: &Base, product: Option<Name>, environment: &Name) -> Result<Name, Failure> {
    if let Some(product) = product {
        return Ok(product);
    }
    let loaded = super::run::manifest(&base.manifest).map_err(|failure| failure.hint("or name the product: --product NAME"))?;
    ask::known(&loaded.manifest, environment).map_err(|misfit| Failure::usage(misfit.to_string()))?;
    Ok(loaded.manifest.product)
}

/// Returns the folder that a command stands in without reading the manifest.
pub(super) fn root(base: &Base) -> PathBuf {
    let parent = base.manifest.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or_else(|| PathBuf::from("."), std::path::Path::to_owned)
}

/// Returns the conclusion of a run whose journal cannot be read or written.
pub(crate) fn refusal(error: &StoreError, environment: Option<&Name>) -> Conclusion {
    let status = || environment.map_or_else(|| "cutover status ENV".to_owned(), |name| format!("cutover status {name}"));
    let hints = match error {
        StoreError::Held { .. } => vec![format!("wait for that run, then try again; {} shows where it is", status())],
        StoreError::Damaged { place, .. } => vec![format!("look at {place}; nothing was touched")],
        StoreError::Refused { what: "written", .. } => {
            vec!["the token needs contents: write, in a workflow on the job that releases".to_owned()]
        }
        _ => Vec::new(),
    };
    let outcome = if matches!(error, StoreError::Held { .. }) { Outcome::Held } else { Outcome::PreflightFailed };
    Conclusion { outcome, ..Conclusion::refused(error.to_string(), hints) }
}

fn tell_local_only(means: &Means) {
    if means.trigger.run.is_some() && !means.rehearsal {
        let text = "The journal is a file on this runner and ends with it: a runner that dies in mid-release leaves no record that a later run could read.";
        means.events.notice(Level::Warning, "journal::local-only", text);
    }
}
