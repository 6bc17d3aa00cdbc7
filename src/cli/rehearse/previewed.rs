//! The life of a rehearsed pull request: opened and shown, then closed and swept.

use std::io::Write as _;

use crate::cli::arguments::{Output, Sweep};
use crate::cli::run::Ready;
use crate::cli::world::{Embedded, PULL_REQUEST, REPOSITORY};
use crate::cli::{Ended, preview, sweep};
use crate::exit;
use crate::trigger::Source;

/// Shows the preview; then the pull request is closed, its event is lost, and a scheduled sweep finds what is left.
pub(super) async fn run(embedded: &Embedded, (shown, swept): (Ready, Ready), output: &Output, quiet: bool) -> Ended {
    let ended = preview::conducted(shown, None, false, output).await;
    if !quiet {
        tell(&format!("\n{}", seen(embedded)));
    }
    if !matches!(ended, Ok(exit::DONE)) {
        return ended;
    }
    let repository = format!("{}/{}", REPOSITORY.0, REPOSITORY.1);
    embedded.github.close_pull(&repository, number(), true);
    if !quiet {
        tell(&format!("\nPull request #{PULL_REQUEST} is closed, and nobody is told. The sweep on its schedule:\n"));
    }
    let mut swept = swept;
    let sha = swept.stage.trigger.tested_commit().to_owned();
    swept.stage.means.trigger.source = Source::Schedule { sha };
    let sweeping = Sweep { dry_run: false, most: sweep::MOST, pull_request: None, output: Output::default() };
    let ended = sweep::conducted(swept, sweeping).await;
    if !quiet {
        tell(&format!("\n{}", seen(embedded)));
    }
    ended
}

fn number() -> i64 {
    i64::try_from(PULL_REQUEST).unwrap_or_default()
}

/// Returns what people see of the preview, in one line.
fn seen(embedded: &Embedded) -> String {
    let repository = format!("{}/{}", REPOSITORY.0, REPOSITORY.1);
    let comments = embedded.github.comments(&repository, number()).len();
    let noun = if comments == 1 { "comment" } else { "comments" };
    let deployments = embedded.github.deployments(&repository);
    let deployment = deployments.last().map_or_else(
        || "no deployment".to_owned(),
        |last| format!("deployment to {} is {}", last.environment, last.states.last().map_or("without a state", String::as_str)),
    );
    format!("On the embedded GitHub: {comments} {noun} on pull request #{PULL_REQUEST}, {deployment}.")
}

fn tell(text: &str) {
    // Nowhere is left to say that standard error is gone.
    let _ = writeln!(anstream::stderr(), "{text}");
}
