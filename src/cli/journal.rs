//! Which journal is an environment's, and how a command comes by it.

use std::path::PathBuf;

use super::conduct::Conclusion;
use super::run::Base;
use super::stage::{Means, Stage};
use super::{Failure, ask};
use crate::event::{Level, Outcome};
use crate::id::Name;
use crate::release::journal::{Journal, Record};
use crate::release::store::file::FileStore;
use crate::release::store::{Store, StoreError};

/// Where the journals of a run are kept.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In files under this folder of this machine.
    Files(PathBuf),
}

impl Place {
    /// Decides where the journals are.
    pub(crate) async fn of(means: &Means) -> Result<Self, Conclusion> {
        Ok(Self::Files(means.state_dir.clone()))
    }

    /// Returns the journals that are there, by product and environment.
    pub(crate) async fn journals(&self) -> Result<Vec<(Name, Name)>, Conclusion> {
        match self {
            Self::Files(folder) => FileStore::journals(folder).map_err(|error| refusal(&error, None)),
        }
    }

    /// Opens the environment's journal for a run that releases or recovers; on a machine of its own that takes the machine's lock.
    pub(crate) async fn open(&self, means: &Means, product: &Name, environment: &Name) -> Result<Journal, Conclusion> {
        let store: Result<Box<dyn Store>, StoreError> = match self {
            Self::Files(folder) => {
                FileStore::open(&FileStore::path(folder, product, environment), &means.owner()).map(|store| Box::new(store) as _)
            }
        };
        self.handle(means, store, environment).await
    }

    /// Opens the environment's journal beside whoever holds it, for reading and for a record that may come in between.
    pub(crate) async fn beside(&self, means: &Means, product: &Name, environment: &Name) -> Result<Journal, Conclusion> {
        let store: Box<dyn Store> = match self {
            Self::Files(folder) => Box::new(FileStore::beside(&FileStore::path(folder, product, environment))),
        };
        self.handle(means, Ok(store), environment).await
    }

    async fn handle(&self, means: &Means, store: Result<Box<dyn Store>, StoreError>, environment: &Name) -> Result<Journal, Conclusion> {
        let opened = match store {
            Ok(store) => Journal::open(store, means.owner(), means.clock).await,
            Err(error) => Err(error),
        };
        opened.map_err(|error| refusal(&error, Some(environment)))
    }
}

/// Opens the journal of an environment of the manifest for a release, wherever it is.
pub(crate) async fn open(stage: &Stage, environment: &Name) -> Result<Journal, Conclusion> {
    let place = Place::of(stage).await?;
    if matches!(place, Place::Files(_)) {
        tell_local_only(stage);
    }
    place.open(stage, &stage.manifest.product, environment).await
}

/// Opens the journal of an environment wherever it is, beside whoever holds it.
pub(crate) async fn beside(means: &Means, product: &Name, environment: &Name) -> Result<Journal, Conclusion> {
    Place::of(means).await?.beside(means, product, environment).await
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
