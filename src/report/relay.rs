//! What a privileged run says about a fork's run that could not speak for itself.
//!
//! Two sources, never mixed: GitHub's own word (which jobs there were and how they ended, which files the pull request changes) decides, and is told
//! first; what the fork's run left behind is read as [`Claims`], told below a heading that says whose word it is, and decides nothing. It is a
//! narrow reading: gates and the lines of those that failed. A target, a release, an environment, an outcome, a hint or an address of the
//! fork's is not even decoded.
//!
//! The workflow that ran is the fork's own as well: GitHub takes it from the merge of the pull request. So names of jobs and their
//! conclusions say something only while the pull request does not change what is below `.github/`.

mod claims;
mod words;

pub use claims::{Claim, Claims};
pub use words::body;

use crate::github::{ChangedFile, Conclusions};

/// What a fork's run comes to, by GitHub's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    /// How its jobs ended; `None` while it runs.
    pub jobs: Option<Conclusions>,
    /// Whether it waits for a maintainer's approval.
    pub waits: bool,
    /// What the pull request changes that decides about itself.
    pub decides: Deciding,
    /// The numbers of all open pull requests of the same commit.
    pub pulls: Vec<u64>,
    /// The run's page.
    pub page: String,
}

/// What a pull request changes of what decides about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deciding {
    /// Files below `.github/`: what ran, and what counted as success.
    pub workflow: Vec<String>,
    /// Whether the manifest is changed: which gates there are.
    pub manifest: bool,
    /// Whether the list of files may not be whole, so that nothing can be ruled out.
    pub unknown: bool,
}

impl Deciding {
    /// Returns what `files` change of what decides; `None` means that nobody knows all of them. Both names of a renamed file count.
    pub fn of(files: Option<&[ChangedFile]>, manifest: &str) -> Self {
        let Some(files) = files else { return Self { unknown: true, ..Self::default() } };
        let names = || files.iter().flat_map(|file| std::iter::once(&file.filename).chain(&file.previous_filename));
        // Some file systems do not tell upper case from lower case; a look too many harms nobody.
        let below = |name: &&String| name.to_ascii_lowercase().starts_with(".github/");
        Self { workflow: names().filter(below).cloned().collect(), manifest: names().any(|name| name == manifest), unknown: false }
    }
}

/// How a run stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Every job did what it was to do, and nothing says that this means nothing.
    Passed,
    /// A job did not.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It runs, or waits.
    UnderWay,
    /// Its jobs passed, and a person must look: they are the pull request's own, or another pull request's.
    ToBeSeen,
}

impl Relayed {
    /// Returns how the run stands.
    pub fn standing(&self) -> Standing {
        match &self.jobs {
            _ if self.waits => Standing::UnderWay,
            None => Standing::UnderWay,
            Some(jobs) if jobs.only_cancelled() => Standing::Cancelled,
            Some(jobs) if !jobs.are_good() => Standing::Failed,
            Some(_) if self.decides.unknown || !self.decides.workflow.is_empty() || self.pulls.len() > 1 => Standing::ToBeSeen,
            Some(_) => Standing::Passed,
        }
    }

    /// Returns the standing in one line of our own words, for a status.
    pub fn headline(&self) -> String {
        let trouble = self.jobs.as_ref().map(Conclusions::trouble).unwrap_or_default();
        match self.standing() {
            Standing::Passed => "Every job of the fork's run passed.".to_owned(),
            Standing::Failed if trouble.len() == 1 => "A job of the fork's run did not succeed.".to_owned(),
            Standing::Failed => format!("{} jobs of the fork's run did not succeed.", trouble.len()),
            Standing::Cancelled => "The fork's run was cancelled.".to_owned(),
            Standing::UnderWay if self.waits => "The fork's run waits for a maintainer's approval.".to_owned(),
            Standing::UnderWay => "The fork's run is under way.".to_owned(),
            Standing::ToBeSeen if self.pulls.len() > 1 => "Several pull requests have this commit; which one was tested?".to_owned(),
            Standing::ToBeSeen if self.decides.unknown => {
                "Too many files to tell whether it changes its own checks; look at it.".to_owned()
            }
            Standing::ToBeSeen => "It passed checks that it changes itself; a maintainer must look at .github.".to_owned(),
        }
    }
}
