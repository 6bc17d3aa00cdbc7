//! What became of each gate so far, for those who wait for some of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::event::GateOutcome;
use crate::id::Name;

/// Tells how gates ended while others still run; cheap to clone, and clones share it.
///
/// The build of an image that needs gates waits here, beside [`super::run_gates`].
#[derive(Debug, Clone)]
pub struct Board(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    ended: BTreeMap<Name, GateOutcome>,
    closed: bool,
}

/// A gate that was waited for and did not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the gate {gate} did not pass: {outcome}")]
pub struct NotPassed {
    /// The gate.
    pub gate: Name,
    /// How it ended.
    pub outcome: GateOutcome,
}

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }
}

impl Board {
    /// Waits until all of `gates` have passed, or until one of them has ended otherwise.
    ///
    /// Ends when the run of the gates does: one that was not among them counts as not started.
    pub async fn all_passed(&self, gates: &[Name]) -> Result<(), NotPassed> {
        let mut receiver = self.0.subscribe();
        loop {
            let verdict = verdict(&receiver.borrow_and_update(), gates);
            if let Some(verdict) = verdict {
                return verdict;
            }
            // The sender lives in `self`, so this cannot fail while we wait.
            let _ = receiver.changed().await;
        }
    }

    pub(super) fn post(&self, gate: &Name, outcome: &GateOutcome) {
        self.0.send_modify(|state| {
            state.ended.insert(gate.clone(), outcome.clone());
        });
    }

    pub(super) fn close(&self) {
        self.0.send_modify(|state| state.closed = true);
    }
}

fn verdict(state: &State, gates: &[Name]) -> Option<Result<(), NotPassed>> {
    let mut all = true;
    for gate in gates {
        match state.ended.get(gate) {
            Some(outcome) if outcome.passed() => {}
            Some(outcome) => return Some(Err(NotPassed { gate: gate.clone(), outcome: outcome.clone() })),
            None if state.closed => {
                let outcome = GateOutcome::NotStarted { because: "it was not among the gates of this run".to_owned() };
                return Some(Err(NotPassed { gate: gate.clone(), outcome }));
            }
            None => all = false,
        }
    }
    all.then_some(Ok(()))
}
