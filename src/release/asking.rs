//! Checks asked at an address outside any release: of a preview, which has no other side to go back to.

use std::time::Duration;

use tokio::time::Instant;

use super::Context;
use super::check::Asked;
use crate::event::{EventKind, Phase, Verdict};
use crate::http::Via;
use crate::id::Name;
use crate::manifest::Check;
use crate::platform::RevisionDigest;

/// Where checks are asked.
#[derive(Debug, Clone)]
pub struct Address<'a> {
    /// The address before the paths.
    pub base: String,
    /// Headers that open a protection.
    pub headers: Vec<(String, String)>,
    /// What `equals: revision` means there.
    pub revision: &'a RevisionDigest,
}

/// Asks every check of a target at an address, each again until it passes or `limit` is over: what has just been made may sleep, and edges may lag.
/// Every verdict is told. Returns the names of those that failed, with what was seen.
pub async fn ask_checks(context: &Context, target: &Name, checks: &[Check], at: &Address<'_>, limit: Duration) -> Vec<String> {
    let until = Instant::now() + limit;
    let mut failed = Vec::new();
    for check in checks {
        let asked = Asked { base: at.base.clone(), headers: at.headers.clone(), via: Via::Public { edge: 0 }, revision: at.revision };
        let mut judgement = check.judge(context, &asked).await;
        while judgement.verdict == Verdict::Fail && Instant::now() < until && !context.cancelled() {
            tokio::time::sleep(context.timing.pause).await;
            judgement = check.judge(context, &asked).await;
        }
        if judgement.verdict == Verdict::Fail {
            failed.push(format!("{}: {}", check.name, judgement.detail));
        }
        context.events.emit(EventKind::Checked {
            target: target.clone(),
            check: check.name.clone(),
            phase: Phase::Watch,
            verdict: judgement.verdict,
            detail: judgement.detail,
        });
    }
    failed
}
