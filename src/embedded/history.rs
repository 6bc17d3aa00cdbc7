//! What each edge would have answered at every instant, worked out afterwards: from the changes of the table, the edges' lags and the lives of the
//! backends. No client has to be there to see it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::traffic::{Change, Life, Traffic};

/// A backend as an edge believed in it for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name: a machine's or a deployment's id.
    pub backend: String,
    /// What it served, by content.
    pub content: String,
    /// Whether it answered.
    pub alive: bool,
}

/// What one edge would have answered for a host during some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The edge.
    pub edge: usize,
    /// From when on, since the world began.
    pub from: Duration,
    /// Until when; `None` while it lasts.
    pub until: Option<Duration>,
    /// Who shared the requests among them; empty: nobody.
    pub shown: Vec<Shown>,
}

impl View {
    /// Returns whether every request would have been answered: there was a backend, and each was alive.
    pub fn is_whole(&self) -> bool {
        !self.shown.is_empty() && self.shown.iter().all(|shown| shown.alive)
    }

    /// Returns whether no request would have been answered.
    pub fn is_nothing(&self) -> bool {
        !self.shown.iter().any(|shown| shown.alive)
    }

    /// Returns whether some request would have been answered with a content that is none of these.
    pub fn serves_other_than(&self, allowed: &[&str]) -> bool {
        self.shown.iter().any(|shown| shown.alive && !allowed.contains(&shown.content.as_str()))
    }

    /// Returns how long it lasted, until `end` where it lasts still.
    pub fn lasted(&self, end: Duration) -> Duration {
        self.until.unwrap_or(end).saturating_sub(self.from)
    }
}

impl Traffic {
    /// Returns what each edge would have answered for `host` at every instant since it first knew of it: edge by edge, in order of time, without
    /// gaps.
    ///
    /// Computed with the lags that the edges have now: a judge asks once, at the end. What lasted for no time at all is left out. Cost: the
    /// product of changes and lives of the host's backends, in the hundreds for a release.
    pub fn history(&self, host: &str) -> Vec<View> {
        let changes: Vec<Change> = self.changes().into_iter().filter(|change| change.host == host).collect();
        let mut lives: BTreeMap<String, Vec<Life>> = BTreeMap::new();
        for life in self.all_lives() {
            lives.entry(life.backend.clone()).or_default().push(life);
        }
        let lags = self.all_lags();
        lags.iter().enumerate().flat_map(|(edge, lag)| at_edge(edge, *lag, &changes, &lives)).collect()
    }
}

fn at_edge(edge: usize, lag: Duration, changes: &[Change], lives: &BTreeMap<String, Vec<Life>>) -> Vec<View> {
    // A host that is forgotten is forgotten everywhere at once, and what was on its way there with it.
    let seen_at = |change: &Change| if change.gone { change.at } else { change.at + lag };
    let mut views: Vec<View> = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        let from = seen_at(change);
        let later = changes[index + 1..].iter().map(seen_at).min();
        if later.is_some_and(|until| until <= from) {
            continue;
        }
        let born_and_died = change.backends.iter().filter_map(|backend| lives.get(backend)).flatten().map(|life| life.at);
        let mut cuts: Vec<Duration> = born_and_died.filter(|at| *at > from && later.is_none_or(|until| *at < until)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let starts = std::iter::once(from).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().map(Some).chain(std::iter::once(later));
        for (from, until) in starts.zip(ends) {
            let shown = change.backends.iter().zip(&change.contents);
            let shown = shown.map(|(backend, content)| Shown {
                backend: backend.clone(),
                content: content.clone(),
                alive: alive(lives.get(backend), from),
            });
            let view = View { edge, from, until, shown: shown.collect() };
            match views.last_mut() {
                Some(last) if last.shown == view.shown && last.until == Some(view.from) => last.until = view.until,
                _ => views.push(view),
            }
        }
    }
    views
}

fn alive(lives: Option<&Vec<Life>>, at: Duration) -> bool {
    lives.is_some_and(|lives| lives.iter().rev().find(|life| life.at <= at).is_some_and(|life| life.alive))
}
