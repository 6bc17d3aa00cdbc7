//! What many cases came to together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Summary;
use super::plan::base;

/// Counts and findings of many cases.
#[derive(Debug, Default)]
pub struct Tally {
    /// Cases in which everything that was to go wrong did.
    pub counted: usize,
    /// Cases in which something did not come to pass.
    pub missed: usize,
    /// Distinct combinations of journal state, operation, fault and ending.
    pub cells: BTreeSet<(String, String, String, String)>,
    /// Every operation that was struck, as `platform.operation`.
    pub struck: BTreeSet<String>,
    /// How the releases ended, and on which side.
    pub endings: BTreeMap<String, usize>,
    /// Cases in which something did not hold.
    pub failed: Vec<Summary>,
    /// From what went wrong to a consistent world, of every case.
    pub times: Vec<Duration>,
}

impl Tally {
    /// Counts one case.
    pub fn add(&mut self, summary: Summary) {
        if !summary.fired {
            self.missed += 1;
            return;
        }
        self.counted += 1;
        let ending = ending(&summary);
        *self.endings.entry(ending.clone()).or_default() += 1;
        for (boundary, what) in wrongs(&summary) {
            let operation = base(&boundary).to_owned();
            self.struck.insert(operation.split('[').next().unwrap_or_default().to_owned());
            self.cells.insert((summary.state.to_owned(), operation, what, ending.clone()));
        }
        self.times.extend(summary.until_consistent);
        if !summary.findings.is_empty() {
            self.failed.push(summary);
        }
    }

    /// Returns the time that this share of the cases (0 to 1) needed at most.
    pub fn within(&self, share: f64) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        let index = ((times.len() as f64 * share).ceil() as usize).saturating_sub(1);
        times.get(index).copied().unwrap_or_default()
    }
}

/// Returns how a case ended, in words.
pub fn ending(summary: &Summary) -> String {
    let side = if summary.stays { "the new release serves" } else { "what was before serves" };
    let end = summary.ending.map_or("died", |outcome| outcome.as_str());
    format!("{end}, {side}")
}

/// Returns what went wrong: at which requests, and what in words.
pub fn wrongs(summary: &Summary) -> Vec<(String, String)> {
    let rules = summary.schedule.rules.iter().map(|rule| {
        let text = rule.to_string();
        let (place, what) = text.split_once(": ").unwrap_or((&text, ""));
        (place.to_owned(), what.to_owned())
    });
    let incidents = summary.schedule.incidents.iter().map(|one| (one.boundary.clone(), format!("{} ({})", one.act, one.when)));
    rules.chain(incidents).collect()
}
