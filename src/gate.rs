//! Gates: commands that must pass before any platform is written to.
//!
//! One dispatcher owns the state of all gates and is one loop: take what happened, change the state, start what became ready. Each running gate
//! is a task that owns its processes and knows nothing of the others. What happens leaves as events; the report is the same told at the end.
//!
//! A gate whose need did not pass is not started and says which gate it was; gates that do not depend on it run on, so that one run shows
//! every failure. At [`crate::shutdown::Level::Drain`] nothing is started any more and what runs is asked to end; at `Now` it is killed.

mod attempt;
mod board;
mod dispatcher;
mod engine;
mod environment;
pub mod line;
mod outputs;
mod plan;
mod service;
mod tail;
pub mod test_report;

pub use board::{Board, NotPassed};
pub use dispatcher::{GateContext, GateResult, GatesReport, run_gates};
pub use engine::{Engine, EngineError};
pub use environment::{Environment, KNOWN_TOKENS, gate_environment};
pub use plan::{GatePlan, PlannedGate, PlannedService};
