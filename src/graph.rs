//! Order, ready set and cycles of things that need each other: values in, values out.
//!
//! Gates and targets both use it. It knows nothing of time, processes or platforms. Everything is stable: among equals, what was written first
//! comes first, so that two runs of one manifest tell the same story.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

use indexmap::IndexMap;
use thiserror::Error;

/// Things and what each of them needs; free of cycles and of unknown names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph<N: Eq + Hash> {
    needs: IndexMap<N, Vec<N>>,
}

/// Why things have no order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError<N: fmt::Display + fmt::Debug> {
    /// Something needs what is not there.
    #[error("`{from}` needs `{to}`, which does not exist")]
    Unknown {
        /// What needs it.
        from: N,
        /// What is not there.
        to: N,
    },
    /// Things need each other in a circle.
    #[error("{}", path(.0))]
    Cycle(
        /// The things of the circle, each needing the next, the last needing the first.
        Vec<N>,
    ),
}

impl<N: Clone + Eq + Hash + fmt::Display + fmt::Debug> Graph<N> {
    /// Returns the graph of `things`, each with what it needs; a thing that is given twice keeps the last needs.
    pub fn new(things: impl IntoIterator<Item = (N, Vec<N>)>) -> Result<Self, GraphError<N>> {
        let needs: IndexMap<N, Vec<N>> = things.into_iter().collect();
        for (from, all) in &needs {
            if let Some(to) = all.iter().find(|need| !needs.contains_key(*need)) {
                return Err(GraphError::Unknown { from: from.clone(), to: to.clone() });
            }
        }
        match cycles(&needs).into_iter().next() {
            Some(cycle) => Err(GraphError::Cycle(cycle)),
            None => Ok(Self { needs }),
        }
    }

    /// Returns every thing after all that it needs; among the free ones, the first written comes first.
    pub fn order(&self) -> Vec<&N> {
        let mut placed = HashSet::with_capacity(self.needs.len());
        let mut order = Vec::with_capacity(self.needs.len());
        while order.len() < self.needs.len() {
            let next = self.needs.iter().find(|(thing, needs)| !placed.contains(thing) && needs.iter().all(|need| placed.contains(&need)));
            let Some((thing, _)) = next else { break };
            placed.insert(thing);
            order.push(thing);
        }
        order
    }

    /// Returns what can start now, in the written order: not among `begun`, and all that it needs is among `done`.
    pub fn ready(&self, begun: &HashSet<N>, done: &HashSet<N>) -> Vec<&N> {
        let free = |(thing, needs): &(&N, &Vec<N>)| !begun.contains(*thing) && needs.iter().all(|need| done.contains(need));
        self.needs.iter().filter(free).map(|(thing, _)| thing).collect()
    }

    /// Returns what `thing` needs itself; nothing when it is not there.
    pub fn needs(&self, thing: &N) -> &[N] {
        self.needs.get(thing).map_or(&[], Vec::as_slice)
    }

    /// Returns everything that needs `thing`, however far away, in the written order.
    pub fn dependents(&self, thing: &N) -> Vec<&N> {
        let mut found: HashSet<&N> = HashSet::from([thing]);
        for later in self.order() {
            if self.needs(later).iter().any(|need| found.contains(need)) {
                found.insert(later);
            }
        }
        self.needs.keys().filter(|other| *other != thing && found.contains(other)).collect()
    }

    /// Returns `things` with everything that they need, however far away, in order.
    pub fn closure<'a>(&'a self, things: impl IntoIterator<Item = &'a N>) -> Vec<&'a N> {
        let mut wanted: HashSet<&N> = HashSet::new();
        let mut open: Vec<&N> = things.into_iter().collect();
        while let Some(thing) = open.pop() {
            if self.needs.contains_key(thing) && wanted.insert(thing) {
                open.extend(self.needs(thing));
            }
        }
        self.order().into_iter().filter(|thing| wanted.contains(thing)).collect()
    }
}

/// Returns circles of things that need each other: each thing in at most one, none when there is an order. Needs of what is not there are
/// passed over.
pub fn cycles<N: Clone + Eq + Hash>(needs: &IndexMap<N, Vec<N>>) -> Vec<Vec<N>> {
    let mut left: IndexMap<&N, &Vec<N>> = needs.iter().collect();
    let mut found = Vec::new();
    loop {
        strip(&mut left);
        // What is left after stripping needs something that is left, so following needs must come back to itself.
        let Some((&first, _)) = left.first() else { return found };
        let mut trail: Vec<&N> = vec![first];
        let cycle = loop {
            let here = trail[trail.len() - 1];
            let Some(next) = left.get(here).and_then(|needs| needs.iter().find(|need| left.contains_key(*need))) else { return found };
            if let Some(start) = trail.iter().position(|seen| *seen == next) {
                break trail.split_off(start);
            }
            trail.push(next);
        };
        left.retain(|thing, _| !cycle.contains(thing));
        found.push(from_first_written(needs, cycle.into_iter().cloned().collect()));
    }
}

/// Takes out what needs nothing that is left, until nothing more can be taken.
fn strip<N: Eq + Hash>(left: &mut IndexMap<&N, &Vec<N>>) {
    loop {
        let free: Vec<&N> =
            left.iter().filter(|(_, needs)| !needs.iter().any(|need| left.contains_key(need))).map(|(thing, _)| *thing).collect();
        if free.is_empty() {
            return;
        }
        left.retain(|thing, _| !free.contains(thing));
    }
}

/// Turns the circle so that what was written first leads.
fn from_first_written<N: Eq + Hash>(needs: &IndexMap<N, Vec<N>>, mut cycle: Vec<N>) -> Vec<N> {
    let written = |thing: &N| needs.get_index_of(thing).unwrap_or(usize::MAX);
    let first = (0..cycle.len()).min_by_key(|&at| written(&cycle[at])).unwrap_or(0);
    cycle.rotate_left(first);
    cycle
}

/// Returns a circle as people read it: `a → b → a`.
pub fn path<N: fmt::Display>(cycle: &[N]) -> String {
    let words: Vec<String> = cycle.iter().chain(cycle.first()).map(ToString::to_string).collect();
    words.join(" → ")
}

/// Returns `things` in order, each after what `needs` gives for it; needs that are not among `things` are passed over. Fails with a circle.
pub fn order<N, F>(things: &[N], needs: F) -> Result<Vec<N>, Vec<N>>
where
    N: Clone + Eq + Hash + fmt::Display + fmt::Debug,
    F: Fn(&N) -> Vec<N>,
{
    let known = |thing: &N| needs(thing).into_iter().filter(|need| things.contains(need)).collect();
    match Graph::new(things.iter().map(|thing| (thing.clone(), known(thing)))) {
        Ok(graph) => Ok(graph.order().into_iter().cloned().collect()),
        Err(GraphError::Cycle(cycle)) => Err(cycle),
        Err(GraphError::Unknown { from, to }) => Err(vec![from, to]),
    }
}
