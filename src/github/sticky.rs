//! The one comment of a product on a pull request: found by its first line and its author, edited in place, twins made one again.
//!
//! It holds a section for each scope that reports there (the pull request's own gates, each environment released from it). A run replaces its
//! own section and leaves the others; a section written by a later run is never overwritten by an earlier one.

use super::client::TokenKind;
use super::error::RequestId;
use super::lookup;
use super::{Comment, GitHub, GitHubError};
use crate::id::Name;

/// The longest document that is written, in characters: below GitHub's limit, because GitHub may count other characters than we do.
pub const MAX_DOCUMENT_CHARACTERS: usize = 60_000;

/// Who writes with the token of Actions (<https://docs.github.com/actions/concepts/security/github_token>).
const ACTIONS_LOGIN: &str = "github-actions[bot]";
const END: &str = "<!-- cutover:end -->";

/// Which run wrote something; a later run is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The run's id, which GitHub counts upwards.
    pub run_id: u64,
    /// Its attempt.
    pub attempt: u32,
}

impl Stamp {
    /// Returns the run whose page an address is: `…/actions/runs/7/attempts/2`; the first attempt where it names none.
    pub fn in_address(address: &str) -> Option<Self> {
        let (_, rest) = address.split_once("/actions/runs/")?;
        let mut parts = rest.split(['/', '?', '#']);
        let run_id = parts.next()?.parse().ok()?;
        let attempt = if parts.next() == Some("attempts") { parts.next()?.parse().ok()? } else { 1 };
        Some(Self { run_id, attempt })
    }
}

/// What one scope has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The scope: an environment, or `pull-request`.
    pub scope: Name,
    /// Who says it.
    pub stamp: Stamp,
    /// Markdown, in which foreign text is escaped.
    pub body: String,
}

/// What became of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickyOutcome {
    /// The comment with this id was made for it.
    Created(u64),
    /// The comment with this id has it now.
    Updated(u64),
    /// The comment with this id had it already.
    Unchanged(u64),
    /// A later run has written there; nothing was changed.
    Outdated(Stamp),
    /// The conversation is locked; nothing can be written.
    Locked,
}

impl GitHub {
    /// Puts a section into the product's comment on a pull request. Called again with the same section it changes nothing.
    ///
    /// Two runs that make the comment at the same moment make twins; whoever sees them keeps the earliest with the newest sections of all.
    /// Needs `pull-requests: write`.
    pub async fn put_section(&self, pull_request: u64, product: &Name, section: &Section) -> Result<StickyOutcome, GitHubError> {
        match self.put(pull_request, product, section).await {
            Err(error @ GitHubError::Forbidden { .. }) => match self.pull(pull_request).await {
                Ok(pull) if pull.locked => Ok(StickyOutcome::Locked),
                _ => Err(error),
            },
            other => other,
        }
    }

    async fn put(&self, pull_request: u64, product: &Name, section: &Section) -> Result<StickyOutcome, GitHubError> {
        let author = match self.token_kind() {
            TokenKind::Installation => ACTIONS_LOGIN.to_owned(),
            TokenKind::Person => self.login().await?,
        };
        let found = self.own_comments(pull_request, product, &author).await?;
        if !found.is_empty() {
            match self.settle(product, &found, section).await {
                // It was removed after we had read it.
                Err(GitHubError::NotFound { .. }) => {}
                other => return other,
            }
        }
        let body = render(product, section, &[]);
        let created = match self.create_comment(pull_request, &body).await {
            Ok(created) => created,
            Err(error) if error.may_have_happened() => {
                let look = async || Ok(Some(self.own_comments(pull_request, product, &author).await?).filter(|found| !found.is_empty()));
                if let Some(found) = lookup::found(look).await? {
                    return self.settle(product, &found, section).await;
                }
                self.create_comment(pull_request, &body).await?
            }
            Err(error) => return Err(error),
        };
        // Another app's token writes under another name, which we learn here.
        let author = created.author.clone().unwrap_or(author);
        let twins = self.own_comments(pull_request, product, &author).await?;
        if twins.len() > 1 {
            return self.settle(product, &twins, section).await;
        }
        Ok(StickyOutcome::Created(created.id))
    }

    /// Makes the earliest of the product's comments hold the newest sections of all with ours, and removes the rest.
    async fn settle(&self, product: &Name, found: &[Comment], section: &Section) -> Result<StickyOutcome, GitHubError> {
        let (Some(keep), sections) = (found.first(), newest(product, found)) else {
            return Err(GitHubError::NotFound { operation: "update_comment", request_id: RequestId::default() });
        };
        let same = sections.iter().find(|it| it.scope == section.scope);
        let outdated = same.map(|it| it.stamp).filter(|stamp| *stamp > section.stamp);
        let first = same.filter(|_| outdated.is_some()).unwrap_or(section);
        let others: Vec<&Section> = sections.iter().filter(|it| it.scope != section.scope).collect();
        let body = render(product, first, &others);
        let changed = normalised(&keep.body) != body;
        if changed && (outdated.is_none() || found.len() > 1) {
            self.update_comment(keep.id, &body).await?;
        }
        for twin in found.iter().skip(1) {
            // A twin that stays is removed by the next run.
            if let Err(error) = self.delete_comment(twin.id).await {
                tracing::warn!(%error, comment = twin.id, "a second comment could not be removed");
            }
        }
        Ok(match outdated {
            Some(stamp) => StickyOutcome::Outdated(stamp),
            None if changed => StickyOutcome::Updated(keep.id),
            None => StickyOutcome::Unchanged(keep.id),
        })
    }

    /// Returns the product's comments by our own author, earliest first: anybody can paste our first line into a comment of theirs.
    async fn own_comments(&self, pull_request: u64, product: &Name, author: &str) -> Result<Vec<Comment>, GitHubError> {
        let mut comments = self.comments(pull_request).await?;
        comments.retain(|comment| comment.author.as_deref() == Some(author) && parse(product, &comment.body).is_some());
        comments.sort_by_key(|comment| comment.id);
        Ok(comments)
    }
}

fn first_line(product: &Name) -> String {
    format!("<!-- cutover:v1 product={product} -->")
}

/// GitHub stores a body with the line ends that it was sent with, and a person's edit brings others.
fn normalised(body: &str) -> String {
    body.replace("\r\n", "\n").trim_end().to_owned()
}

/// Writes the document: the marker, `first`, and as many of the others as fit.
fn render(product: &Name, first: &Section, others: &[&Section]) -> String {
    let mut document = first_line(product);
    for (index, section) in std::iter::once(&first).chain(others).enumerate() {
        let Section { scope, stamp, body } = section;
        let rule = if index == 0 { "" } else { "\n---\n" };
        let part = format!(
            "{rule}\n<!-- cutover:section scope={scope} run={} attempt={} -->\n{}\n{END}",
            stamp.run_id,
            stamp.attempt,
            normalised(body)
        );
        if index == 0 || document.chars().count() + part.chars().count() <= MAX_DOCUMENT_CHARACTERS {
            document.push_str(&part);
        }
    }
    document
}

/// Reads a document back; `None` when the text is not the product's comment.
fn parse(product: &Name, body: &str) -> Option<Vec<Section>> {
    let body = normalised(body);
    let mut lines = body.lines();
    if lines.next()? != first_line(product) {
        return None;
    }
    let mut sections = Vec::new();
    let mut open: Option<(Name, Stamp, Vec<&str>)> = None;
    for line in lines {
        if let Some(begun) = opening(line) {
            open = Some((begun.0, begun.1, Vec::new()));
        } else if line == END {
            sections.extend(open.take().map(|(scope, stamp, lines)| Section { scope, stamp, body: lines.join("\n") }));
        } else if let Some((_, _, lines)) = &mut open {
            lines.push(line);
        }
    }
    Some(sections)
}

fn opening(line: &str) -> Option<(Name, Stamp)> {
    let words = line.strip_prefix("<!-- cutover:section ")?.strip_suffix(" -->")?;
    let word = |key: &str| words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let stamp = Stamp { run_id: word("run")?.parse().ok()?, attempt: word("attempt")?.parse().ok()? };
    Some((Name::parse(word("scope")?)?, stamp))
}

/// Returns the newest section of each scope over all of the product's comments; of equals the later comment's.
fn newest(product: &Name, comments: &[Comment]) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for section in comments.iter().filter_map(|comment| parse(product, &comment.body)).flatten() {
        match sections.iter_mut().find(|it| it.scope == section.scope) {
            Some(known) if known.stamp <= section.stamp => *known = section,
            Some(_) => {}
            None => sections.push(section),
        }
    }
    sections
}
