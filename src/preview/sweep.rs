//! What no open pull request owns is removed.
//!
//! The order of looking is what makes it safe: first everything of ours is listed, then the open pull requests, so that whatever was listed belongs
//! to a pull request that existed before; and each pull request is asked for once more, alone, right before anything of it is removed. Whoever
//! cannot be asked keeps what is theirs. The deployments that people see are retired before the last thing of a pull request goes: a sweep that dies in
//! between leaves something by which the next one finds the rest.

use std::collections::{BTreeMap, BTreeSet};

use super::AnyGround;
use crate::event::{Events, Level};
use crate::platform::{Leftover, PreviewGround, PreviewsOf};
use crate::shutdown::{self, Shutdown};

/// Who knows which pull requests are open, and what people see of their previews.
#[expect(async_fn_in_trait, reason = "used through concrete types, whose futures' auto traits the compiler sees")]
pub trait PullRequests {
    /// Returns the pull requests whose previews people may still see as active, as far back as is looked.
    async fn shown(&self) -> Result<BTreeSet<u64>, String>;
    /// Returns every open pull request; complete, or an `Err`.
    async fn open(&self) -> Result<BTreeSet<u64>, String>;
    /// Returns whether a pull request is open now.
    async fn is_open(&self, pull_request: u64) -> Result<bool, String>;
    /// Lets people see that the preview is gone. Repeated it changes nothing.
    async fn retire(&self, pull_request: u64) -> Result<Retired, String>;
}

/// What became of what people see of a preview.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retired {
    /// Whether anything was still seen as active.
    pub changed: bool,
    /// What could not be tidied up and does not matter, each in a sentence.
    pub untidy: Vec<String>,
}

/// How much one sweep may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepLimits {
    /// The most things.
    pub most: usize,
    /// Only those of this pull request.
    pub only: Option<u64>,
    /// Nothing at all: what would be removed is told.
    pub dry_run: bool,
}

/// What was found on the platforms and on GitHub.
#[derive(Debug, Default)]
pub struct Found {
    /// The things, each with the number of its ground.
    pub things: Vec<(usize, Leftover)>,
    /// Pull requests that people see a preview of.
    pub shown: BTreeSet<u64>,
    /// The open pull requests.
    pub open: BTreeSet<u64>,
}

/// What a sweep does to one pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The pull request.
    pub pull_request: u64,
    /// Its things, each with the number of its ground.
    pub things: Vec<(usize, Leftover)>,
}

/// What a sweep has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Things that open pull requests own, and that stay.
    pub kept: usize,
    /// What was removed, or would be: each with its pull request.
    pub removed: Vec<Leftover>,
    /// Pull requests whose preview nobody sees as active any more.
    pub retired: Vec<u64>,
    /// How many things the limit left for the next sweep.
    pub left: usize,
    /// What could not be done, each in a sentence; the next sweep tries again.
    pub failed: Vec<String>,
}

/// Why nothing was swept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// Nobody could say which pull requests are open.
    #[error("nobody can say which pull requests are open, so nothing was removed: {0}")]
    OpenUnknown(String),
}

/// Returns what is removed of what was found, oldest pull requests first, and how many things are left for the next sweep. Pure.
pub fn plan_sweep(found: &Found, limits: SweepLimits) -> (Vec<Removal>, usize) {
    let mut by_pull: BTreeMap<u64, Vec<(usize, Leftover)>> = found.shown.iter().map(|number| (*number, Vec::new())).collect();
    for (ground, thing) in &found.things {
        by_pull.entry(thing.pull_request).or_default().push((*ground, thing.clone()));
    }
    let owned = |number: &u64| found.open.contains(number) || limits.only.is_some_and(|only| only != *number);
    let (mut room, mut left, mut removals) = (limits.most, 0, Vec::new());
    for (pull_request, mut things) in by_pull.into_iter().filter(|(number, _)| !owned(number)) {
        left += things.len().saturating_sub(room);
        let none = things.is_empty();
        things.truncate(room);
        room -= things.len();
        // A pull request of which nothing could be removed now is not touched at all.
        if none || !things.is_empty() {
            removals.push(Removal { pull_request, things });
        }
    }
    (removals, left)
}

/// Removes what no open pull request owns, as far as `limits` allow.
pub async fn sweep<P: PullRequests>(
    grounds: &[AnyGround],
    previews: &PreviewsOf,
    pull_requests: &P,
    limits: SweepLimits,
    (events, shutdown): (&Events, &Shutdown),
) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    let found = look(grounds, previews, pull_requests, limits.only, &mut swept).await?;
    swept.kept = found.things.iter().filter(|(_, thing)| found.open.contains(&thing.pull_request)).count();
    let (removals, left) = plan_sweep(&found, limits);
    swept.left = left;
    for Removal { pull_request, things } in removals {
        if shutdown.level() >= shutdown::Level::Drain {
            swept.failed.push("the run was cancelled".to_owned());
            break;
        }
        if limits.dry_run {
            swept.removed.extend(things.into_iter().map(|(_, thing)| thing));
            continue;
        }
        match pull_requests.is_open(pull_request).await {
            Ok(false) => {}
            Ok(true) => {
                swept.kept += things.len();
                continue;
            }
            Err(why) => {
                swept.failed.push(format!("whether pull request #{pull_request} is open is not known, so its preview stays: {why}"));
                continue;
            }
        }
        match pull_requests.retire(pull_request).await {
            Ok(retired) => {
                swept.retired.extend(retired.changed.then_some(pull_request));
                for text in retired.untidy {
                    events.notice(Level::Note, "sweep::untidy", text);
                }
            }
            Err(why) => {
                swept
                    .failed
                    .push(format!("the deployments of pull request #{pull_request} could not be retired, so its preview stays: {why}"));
                continue;
            }
        }
        for (ground, thing) in things {
            let Some(ground) = grounds.get(ground) else { continue };
            match ground.remove(previews, &thing, shutdown).await {
                Ok(()) => {
                    let text = format!("Removed {} ({}), of pull request #{pull_request}.", thing.thing, thing.platform);
                    events.notice(Level::Note, "sweep::removed", text);
                    swept.removed.push(thing);
                }
                Err(error) => swept.failed.push(format!("{} of pull request #{pull_request} could not be removed: {error}", thing.thing)),
            }
        }
    }
    Ok(swept)
}

/// Lists everything of ours, and then the open pull requests.
async fn look<P: PullRequests>(
    grounds: &[AnyGround],
    previews: &PreviewsOf,
    pull_requests: &P,
    only: Option<u64>,
    swept: &mut Swept,
) -> Result<Found, SweepError> {
    let mut found = Found::default();
    for (index, ground) in grounds.iter().enumerate() {
        match ground.leftovers(previews).await {
            Ok(things) => found.things.extend(things.into_iter().map(|thing| (index, thing))),
            Err(error) => swept.failed.push(format!("what stands in {} of {} is not known: {error}", ground.place(), ground.platform())),
        }
    }
    if let Some(only) = only {
        // Whether this one is open is asked right before anything of it is removed.
        found.shown = BTreeSet::from([only]);
        return Ok(found);
    }
    match pull_requests.shown().await {
        Ok(shown) => found.shown = shown,
        Err(why) => swept.failed.push(format!("which previews people see is not known: {why}")),
    }
    found.open = pull_requests.open().await.map_err(SweepError::OpenUnknown)?;
    Ok(found)
}
