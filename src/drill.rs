//! Drills: the engine that breaks everything at every point, and judges what is left.
//!
//! A case is a release on embedded platforms, in process and in virtual time, in which everything that goes wrong is one line of text. The
//! product's own code releases and recovers; whether it did well is read from the embedded world alone.
//!
//! | file | concept |
//! |---|---|
//! | [`schedule`] | everything that goes wrong in one case, as a line |
//! | [`blueprint`], [`fixture`] | what is drilled: a manifest's targets, or one of the matrix's own products |
//! | [`arena`], [`truth`] | the world of one case, and what is true in it |
//! | [`life`], [`line`], [`keeper`], [`runner`] | a simulated process: its life, its wire, its journal, its work |
//! | [`director`], `acts` | lets incidents happen at their boundaries; what a person or a failing machine does |
//! | [`case`](mod@case) | a schedule played to its end |
//! | [`judge`](mod@judge), [`sabotage`] | the invariants, and how the tests break each on purpose |
//! | [`explore`], [`shrink`](mod@shrink) | which cases are played, what they came to together, the least that still fails |
//! | [`page`] | what was found, as a table |

mod acts;
pub mod arena;
pub mod blueprint;
pub mod case;
pub mod director;
pub mod explore;
pub mod fixture;
pub mod judge;
pub mod keeper;
pub mod life;
pub mod line;
pub mod page;
pub mod runner;
pub mod sabotage;
pub mod schedule;
pub mod shrink;
mod stand_in;
pub mod truth;
