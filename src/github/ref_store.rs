//! The journal as a git ref: a record is a commit on the last one, and the rule that a ref moves forward only is the compare-and-set.
//!
//! `refs/cutover/<product>/<environment>` is fetched by no ordinary clone, starts no workflow and meets no branch rule. Two calls a record:
//! the commit, then the ref. Author, committer and their dates come from the record, so the same record is the same commit, by a name that is
//! known before it is made. The message says in words what happened (`git log` on the ref is readable by itself), its last line is the record
//! as JSON; a long record is a file of the commit's tree.
//!
//! | file | concept |
//! |---|---|
//! | `message` | a record as text |
//! | `chain` | reading: the newest record, those before it, whether one is among them |
//! | `landing` | writing: one append, whatever becomes of its answers |

mod chain;
mod landing;
mod message;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use self::chain::{Chain, Tip};
use self::landing::Flight;
use super::{GitHub, GitHubError};
use crate::id::Name;
use crate::release::journal::Record;
use crate::release::store::{HeadId, Store, StoreError, Watcher};

/// Where the journals are, in the namespace of refs.
const NAMESPACE: &str = "refs/cutover/";

/// The records of one environment behind a ref of a repository on GitHub.
#[derive(Debug)]
pub struct RefStore {
    chain: Chain,
    /// The environment, for the first line of messages.
    environment: String,
    /// The newest record that is known: what comes next is appended on it.
    head: Option<Head>,
    /// The append under way, or in doubt.
    flight: Option<Flight>,
    /// The tree of records that stand in their message whole, once it is known to be there.
    plain_tree: Option<String>,
}

/// A record by its commit and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    sha: String,
    sequence: u64,
}

impl RefStore {
    /// Returns the store of an environment's journal at `refs/cutover/<product>/<environment>`; nothing is asked yet.
    ///
    /// Reading needs `contents: read`, writing `contents: write`.
    pub fn new(github: &GitHub, product: &Name, environment: &Name) -> Self {
        Self::at(github, format!("{NAMESPACE}{product}/{environment}"))
    }

    /// Returns the store of a journal at a ref of another name, for example [`RefStore::branch`]'s.
    pub fn at(github: &GitHub, reference: String) -> Self {
        let environment = reference.rsplit('/').next().unwrap_or_default().to_owned();
        // The journal's calls wait for no report's.
        let chain = Chain::new(github.beside("github.journal"), reference);
        Self { chain, environment, head: None, flight: None, plain_tree: None }
    }

    /// Returns the ref to use where a server takes only branches and tags. A branch is seen by everybody who clones, and may start workflows.
    pub fn branch(product: &Name, environment: &Name) -> String {
        format!("refs/heads/cutover/{product}/{environment}")
    }

    /// Returns the ref.
    pub fn reference(&self) -> &str {
        self.chain.reference()
    }

    fn know(&mut self, tip: Option<&Tip>) {
        self.head = tip.map(|tip| Head { sha: tip.commit.sha.clone(), sequence: tip.record.sequence });
        if let Some(tip) = tip.filter(|tip| tip.has_plain_tree()) {
            self.plain_tree = Some(tip.commit.tree.clone());
        }
    }
}

/// Returns the product and environment of every journal in a repository, in the order of their names; one call for a hundred.
pub async fn journals(github: &GitHub) -> Result<Vec<(Name, Name)>, GitHubError> {
    let refs = github.matching_refs(NAMESPACE).await?;
    let mut journals: Vec<_> = refs
        .iter()
        .filter_map(|found| {
            let (product, environment) = found.name.strip_prefix(NAMESPACE)?.split_once('/')?;
            Some((Name::parse(product)?, Name::parse(environment)?))
        })
        .collect();
    journals.sort();
    Ok(journals)
}

impl Store for RefStore {
    fn place(&self) -> String {
        self.chain.place()
    }

    fn outlives_the_machine(&self) -> bool {
        true
    }

    fn head(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            let tip = self.chain.newest().await?;
            self.know(tip.as_ref());
            Ok(tip.map(|tip| tip.record))
        })
    }

    fn append<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.put(record))
    }

    fn records(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        Box::pin(async move {
            match self.chain.newest().await? {
                Some(tip) if most > 0 => self.chain.records(&tip, most).await,
                _ => Ok(Vec::new()),
            }
        })
    }

    fn watcher(&self) -> Arc<dyn Watcher> {
        Arc::new(self.chain.clone())
    }

    fn ours(&self) -> Vec<Option<HeadId>> {
        let head = self.head.as_ref().map(|head| HeadId(head.sha.clone()));
        let flying = self.flight.as_ref().map(|flight| Some(HeadId(flight.commit.clone())));
        [head].into_iter().chain(flying).collect()
    }
}
