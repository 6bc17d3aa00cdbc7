//! One append: the commit, then the ref; and what became of it when an answer is lost.
//!
//! Moving the ref to our commit may be asked for any number of times: it moves forward only, so a request that arrives late finds the ref
//! there already, or is refused. What was answered is never believed alone unless it says that the ref is where we want it: after anything
//! else the ref is read, and what it points at decides.

use std::time::Duration;

use tokio::time::Instant;

use super::chain::{FIRST_PAUSE, LONGEST_PAUSE, READ_LAG, Tip};
use super::{Head, RefStore, message};
use crate::github::{GitCommit, GitHubError, GitSignature, NewCommit};
use crate::release::journal::Record;
use crate::release::store::StoreError;

/// How long one append may take before nobody can say.
const APPEND_LIMIT: Duration = Duration::from_secs(60);

/// How often a commit is asked for that the server refuses or answers unreadably: what it stands on may not be readable at once.
const COMMIT_TRIES: u32 = 3;

/// The pause before a commit is asked for again.
const COMMIT_PAUSE: Duration = Duration::from_secs(1);

/// The pause after a rate limit that the transport did not wait out.
const LIMITED_PAUSE: Duration = Duration::from_secs(20);

/// Who is named as the author of records: no account, and nobody's address (RFC 2606).
const AUTHOR: (&str, &str) = ("cutover", "journal@cutover.invalid");

/// The one file in the tree of records that stand in their message whole.
const ABOUT: (&str, &str) = (
    "about.txt",
    "The commits of this ref are the release journal of one environment, written by cutover.\nEach message is one record: read them with git log.\n",
);

/// An append under way, or in doubt.
#[derive(Debug)]
pub(super) struct Flight {
    nonce: String,
    sequence: u64,
    /// The record that it stands on; `None` for the first one.
    base: Option<Head>,
    /// Our commit.
    pub(super) commit: String,
    /// Whether a change of the ref was sent of which nobody knows what became.
    doubt: bool,
    /// What happened last, for people.
    reason: String,
}

/// What a look at the ref says about an append.
enum Seen {
    /// Our record is the newest one, or under this newer one.
    Landed(Option<Box<Tip>>),
    /// Another record took its place.
    Overtaken(Option<Box<Tip>>),
    /// The ref is where it was, or is read as it was even before that.
    NotYet {
        /// Whether that is where our record belongs.
        there: bool,
    },
}

impl RefStore {
    /// Appends a record; see [`crate::release::store::Store::append`].
    pub(super) async fn put(&mut self, record: &Record) -> Result<(), StoreError> {
        let resumed = self.flight.as_ref().is_some_and(|flight| flight.nonce == record.nonce);
        let landing = async {
            if !resumed {
                let follows = self.head.as_ref().map_or(0, |head| head.sequence) + 1 == record.sequence;
                if !follows {
                    return self.find(record).await;
                }
                let commit = self.commit(record).await?;
                let (nonce, sequence, base) = (record.nonce.clone(), record.sequence, self.head.clone());
                self.flight = Some(Flight { nonce, sequence, base, commit, doubt: false, reason: String::new() });
            }
            self.land().await
        };
        match tokio::time::timeout(APPEND_LIMIT, landing).await {
            Ok(result) => result,
            Err(_) => Err(self.undecided(record, &format!("no answer settled it within {APPEND_LIMIT:?}"))),
        }
    }

    /// Returns the error for an append that ends without an answer: unknown only if a change of the ref was sent.
    fn undecided(&mut self, record: &Record, why: &str) -> StoreError {
        let flight = self.flight.as_ref().filter(|flight| flight.nonce == record.nonce);
        let said = flight.map(|flight| flight.reason.as_str()).filter(|said| !said.is_empty());
        let reason = said.map_or_else(|| why.to_owned(), |said| format!("{why}; last: {said}"));
        if flight.is_some_and(|flight| flight.doubt) {
            return StoreError::Unknown { place: self.chain.place(), reason };
        }
        self.flight = None;
        self.refused(reason)
    }

    fn refused(&self, reason: String) -> StoreError {
        StoreError::Refused { place: self.chain.place(), what: "written", reason }
    }

    /// Makes the record's commit on the last known one; no ref points at it yet. Returns its name.
    async fn commit(&mut self, record: &Record) -> Result<String, StoreError> {
        let impossible = |error: serde_json::Error| self.refused(error.to_string());
        let written = message::write(&self.environment, record).map_err(impossible)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let tree = match &written.file {
                Some(json) => self.chain.github().create_tree(&[ABOUT, (message::FILE, json)]).await,
                None => self.plain_tree().await,
            };
            let tree = tree.map_err(|error| self.refused(in_words(&error)))?;
            let new = self.described(record, written.message.clone(), tree);
            match self.chain.github().create_commit(&new).await {
                Ok(made) => return self.named(&new, made),
                Err(GitHubError::Refused { .. } | GitHubError::Unreadable { .. }) if tries < COMMIT_TRIES => {
                    self.plain_tree = None;
                    tokio::time::sleep(COMMIT_PAUSE).await;
                }
                Err(error) => return Err(self.refused(in_words(&error))),
            }
        }
    }

    /// Returns the commit of a record. Everything in it comes from the record and what is before it: the same record is the same commit.
    fn described(&self, record: &Record, message: String, tree: String) -> NewCommit {
        // git keeps whole seconds.
        let date = jiff::Timestamp::from_second(record.at.as_second()).unwrap_or(record.at);
        let who = GitSignature { name: AUTHOR.0, email: AUTHOR.1, date };
        let parents = self.head.iter().map(|head| head.sha.clone()).collect();
        NewCommit { message, tree, parents, author: who.clone(), committer: who }
    }

    /// Returns the name of the commit that was made: the one that git gives it. A server that names commits in its own way is taken at its word
    /// as long as the commit says what it should.
    fn named(&self, new: &NewCommit, made: GitCommit) -> Result<String, StoreError> {
        let expected = new.id();
        if made.sha == expected {
            return Ok(expected);
        }
        if made.message.trim_end() == new.message.trim_end() && made.parents == new.parents && made.tree == new.tree {
            tracing::warn!(expected, sha = made.sha, "the server names a commit otherwise than git");
            return Ok(made.sha);
        }
        Err(self.refused(format!("the server has made another commit than it was asked for: {} for {expected}", made.sha)))
    }

    async fn plain_tree(&mut self) -> Result<String, GitHubError> {
        if let Some(tree) = &self.plain_tree {
            return Ok(tree.clone());
        }
        let tree = self.chain.github().create_tree(&[ABOUT]).await?;
        Ok(self.plain_tree.insert(tree).clone())
    }

    /// Moves the ref to our commit, until it is there, or can never be.
    async fn land(&mut self) -> Result<(), StoreError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(flight) = &mut self.flight else { return Err(self.refused("there is nothing to append".to_owned())) };
            let (doubt, commit, base) = (flight.doubt, flight.commit.clone(), flight.base.clone());
            // Whoever stops waiting from here on must count with the change.
            flight.doubt = true;
            let answer = match &base {
                Some(_) => self.chain.github().update_ref(self.chain.reference(), &commit).await,
                None => self.chain.github().create_ref(self.chain.reference(), &commit).await,
            };
            let refusal = match answer {
                // A moved ref is believed: the next record stands on it, or finds out. Of a journal that never came to be nothing would tell.
                Ok(at) if at == commit && base.is_some() => {
                    self.landed(None);
                    return Ok(());
                }
                Ok(at) if at == commit => {
                    self.note(true, "the ref was said to be made".to_owned());
                    None
                }
                Ok(at) => {
                    self.note(true, format!("the ref was said to be at {at}"));
                    None
                }
                Err(error) => {
                    self.note(doubt || error.may_have_happened(), in_words(&error));
                    (!error.may_have_happened()).then_some(error)
                }
            };
            match self.look().await? {
                Seen::Landed(tip) => {
                    self.landed(tip.as_deref());
                    return Ok(());
                }
                Seen::Overtaken(tip) => return Err(self.overtaken(tip)),
                Seen::NotYet { there } => {
                    let final_word = refusal.as_ref().filter(|_| there && !self.in_doubt()).and_then(|error| {
                        let token = error.is_about_the_token() || matches!(error, GitHubError::NotFound { .. });
                        let name = base.is_none() && began.elapsed() >= READ_LAG && !matches!(error, GitHubError::RateLimited { .. });
                        (token || name).then(|| in_words(error))
                    });
                    if let Some(reason) = final_word {
                        self.flight = None;
                        let hint = if base.is_none() { self.namespace_hint() } else { String::new() };
                        return Err(self.refused(format!("{reason}{hint}")));
                    }
                }
            }
            let limited = matches!(refusal, Some(GitHubError::RateLimited { .. }));
            tokio::time::sleep(if limited { LIMITED_PAUSE } else { pause }).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Looks where the ref is. An error means that nobody will be able to say, or that the record can never land.
    async fn look(&mut self) -> Result<Seen, StoreError> {
        let pointed = match self.chain.pointed().await {
            Ok(pointed) => pointed,
            Err(error) => return self.unseen(&error),
        };
        let Some(Flight { commit, base, nonce, sequence, .. }) = &self.flight else { return Ok(Seen::NotYet { there: false }) };
        let at_base = pointed.as_deref() == base.as_ref().map(|base| base.sha.as_str());
        match pointed {
            Some(sha) if sha == *commit => Ok(Seen::Landed(None)),
            _ if at_base => Ok(Seen::NotYet { there: true }),
            None => self.gone().await,
            Some(sha) => {
                let tip = match self.chain.tip(&sha).await {
                    Ok(tip) => tip,
                    Err(error @ (StoreError::UnknownFormat { .. } | StoreError::Damaged { .. })) => return self.under(&sha, error).await,
                    Err(error) => return self.unseen_record(error),
                };
                // Older than what ours stands on: a read that lags.
                if tip.record.sequence < *sequence {
                    return Ok(Seen::NotYet { there: false });
                }
                match self.chain.holds(&tip.commit, commit, nonce, tip.record.sequence - sequence + 1).await {
                    Ok(Some(true)) => Ok(Seen::Landed(Some(Box::new(tip)))),
                    Ok(Some(false)) => Ok(Seen::Overtaken(Some(Box::new(tip)))),
                    Ok(None) => Err(StoreError::Unknown { place: self.chain.place(), reason: "too many records have followed".to_owned() }),
                    Err(error) => self.unseen(&error),
                }
            }
        }
    }

    /// The ref cannot be read: that passes, or the token is the reason and it does not.
    fn unseen(&mut self, error: &GitHubError) -> Result<Seen, StoreError> {
        let reason = in_words(error);
        if error.is_about_the_token() || matches!(error, GitHubError::NotFound { .. }) {
            let place = self.chain.place();
            if self.in_doubt() {
                return Err(StoreError::Unknown { place, reason });
            }
            self.flight = None;
            return Err(self.refused(reason));
        }
        self.note(self.in_doubt(), reason);
        Ok(Seen::NotYet { there: false })
    }

    fn unseen_record(&mut self, error: StoreError) -> Result<Seen, StoreError> {
        match error {
            StoreError::Refused { reason, .. } => {
                self.note(self.in_doubt(), reason);
                Ok(Seen::NotYet { there: false })
            }
            other => Err(other),
        }
    }

    /// The ref was there and is not read any more: waited for as long as reads may lag, then somebody has removed it.
    async fn gone(&mut self) -> Result<Seen, StoreError> {
        match self.chain.newest().await {
            // A change that is still on its way moves no ref that is not there.
            Ok(None) => Ok(Seen::Overtaken(None)),
            Ok(Some(_)) => Ok(Seen::NotYet { there: false }),
            Err(error) => self.unseen_record(error),
        }
    }

    /// The newest commit is no record that this version knows: ours may be under it, else it can never land.
    async fn under(&mut self, sha: &str, why: StoreError) -> Result<Seen, StoreError> {
        let Some(Flight { commit, nonce, .. }) = &self.flight else { return Err(why) };
        let (commit, nonce) = (commit.clone(), nonce.clone());
        let found = async {
            let newest = self.chain.github().get_commit(sha).await?;
            self.chain.holds(&newest, &commit, &nonce, UNKNOWN_REACH).await
        };
        match found.await {
            Ok(Some(true)) => Ok(Seen::Landed(None)),
            Ok(_) => {
                self.flight = None;
                Err(why)
            }
            Err(error) => self.unseen(&error),
        }
    }

    /// Looks for a record that does not follow the known head: it has landed before, or never will.
    async fn find(&mut self, record: &Record) -> Result<(), StoreError> {
        let tip = self.chain.newest().await?;
        self.know(tip.as_ref());
        let Some(tip) = tip else { return Err(self.overtaken(None)) };
        let length = (tip.record.sequence + 1).saturating_sub(record.sequence);
        let found = if length == 0 { Ok(Some(false)) } else { self.chain.holds(&tip.commit, "", &record.nonce, length).await };
        match found {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(self.overtaken(Some(Box::new(tip)))),
            Ok(None) => Err(StoreError::Unknown { place: self.chain.place(), reason: "too many records have followed".to_owned() }),
            Err(error) => Err(StoreError::Unknown { place: self.chain.place(), reason: in_words(&error) }),
        }
    }

    /// Notes that our record is there, under `tip` if it is not the newest one.
    fn landed(&mut self, tip: Option<&Tip>) {
        let Some(flight) = self.flight.take() else { return };
        self.chain.has(flight.sequence);
        self.head = Some(Head { sha: flight.commit, sequence: flight.sequence });
        if tip.is_some() {
            self.know(tip);
        }
    }

    fn overtaken(&mut self, tip: Option<Box<Tip>>) -> StoreError {
        self.flight = None;
        self.know(tip.as_deref());
        StoreError::Overtaken { place: self.chain.place(), head: tip.map(|tip| Box::new(tip.record)) }
    }

    fn in_doubt(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.doubt)
    }

    fn note(&mut self, doubt: bool, reason: String) {
        if let Some(flight) = &mut self.flight {
            (flight.doubt, flight.reason) = (doubt, reason);
        }
    }

    fn namespace_hint(&self) -> String {
        if self.chain.reference().starts_with(super::NAMESPACE) {
            let branch = self.chain.reference().replacen("refs/", "refs/heads/", 1);
            return format!(". Where a server or a rule allows only branches, the journal can be kept in one: {branch}");
        }
        String::new()
    }
}

/// How far back ours is looked for under a commit that cannot be read.
const UNKNOWN_REACH: u64 = 100;

fn in_words(error: &GitHubError) -> String {
    error.to_string()
}
