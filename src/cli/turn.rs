//! A release in its turn: the environment's own state is read right before it begins, and a turn that was lost is waited for again.

use std::time::Duration;

use super::conduct::{Conclusion, Stop, ended, refused};
use super::journal::{self, Opened};
use super::recover;
use super::stage::Stage;
use crate::event::{Level, Outcome};
use crate::id::ReleaseId;
use crate::release::journal::Journal;
use crate::release::lock::Patience;
use crate::release::{Context, Move, Plan, Release};

/// How often a turn may be lost to a run that took it at the same moment.
const LOST: usize = 5;

/// Returns how somebody else's release is waited for. Embedded platforms have no limits of requests that a look every moment could use up.
fn patience(stage: &Stage) -> Patience {
    let usual = Patience::default();
    if stage.on_embedded() { Patience { pause: Duration::from_millis(250), ..usual } } else { usual }
}

/// Waits for the environment's turn and releases what `make` says of it; where another run took the turn at the same moment, waits once more.
///
/// `make` is asked in every turn anew and may say in the context what the release is of: what it decides by the journal that it is given holds,
/// since the release's first record lands on that journal's newest record or not at all.
pub(super) async fn release(
    stage: &Stage,
    context: &Context,
    opened: &mut Opened,
    mut make: impl AsyncFnMut(&Journal, &mut Context) -> Result<Vec<Move>, Stop>,
) -> Result<Conclusion, Stop> {
    for lost in 0..LOST {
        opened.journal.refresh().await.map_err(|error| journal::refusal(&error, Some(&context.environment)))?;
        recover::first(stage, context, opened, patience(stage)).await?;
        let mut context = context.clone();
        if lost > 0 {
            context.release = ReleaseId::new(stage.clock.now(), stage.transport.chance());
        }
        let moves = make(&opened.journal, &mut context).await?;
        let plan = Plan::make(&context, moves).await.map_err(refused)?;
        let ending = Release::new(context, &mut opened.journal, plan).run().await;
        if !ending.lost_its_turn() {
            return Ok(ended(&ending));
        }
        stage.events.notice(Level::Note, "lock::lost", "Another run began at the same moment; waiting for it.");
    }
    let text = format!("other runs took the turn {LOST} times; nothing was touched");
    Err(Conclusion { outcome: Outcome::Held, ..Conclusion::refused(text, vec!["run it again".to_owned()]) })
}
