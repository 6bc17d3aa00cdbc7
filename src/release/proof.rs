//! Served proof: each public address must answer with the revision's digest, asked from outside, at every edge.
//!
//! An old revision that answers 200, or one stale edge of three, is no proof. Uploaded directories show their digest at
//! [`WELL_KNOWN`]; machines show it where the manifest says (`equals: revision`). Where nothing shows it, the platform's word is all there
//! is, and the report says so.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::check::Asked;
use super::plan::Planned;
use super::{Failure, Release};
use crate::event::{EventKind, Phase};
use crate::http::{Platform, Via};
use crate::id::Name;
use crate::manifest::Check;
use crate::platform::{Artifact, Revision, Target};

/// Where an uploaded directory shows its revision.
pub(super) const WELL_KNOWN: &str = "/.well-known/cutover.json";

/// What a target's public address showed.
#[derive(Debug)]
pub(super) struct Proof {
    /// The target.
    pub(super) target: Name,
    /// Its public address, if it has one.
    pub(super) url: Option<String>,
    /// Whether that address itself showed the revision, at every edge.
    pub(super) from_outside: bool,
}

impl Release<'_> {
    /// Waits until a moved target's public address shows its new revision, where anything there shows it.
    pub(super) async fn prove(&self, planned: &Planned) -> Result<Proof, Failure> {
        let target = planned.target.name().clone();
        let (Some(url), Some(revision)) = (planned.target.public_url(), &planned.after) else {
            return Ok(Proof { target, url: None, from_outside: false });
        };
        self.purge_before_proof(planned).await;
        let from_outside = match showing(planned) {
            Some(check) => self.confirm(planned, &check, &url, revision).await?,
            None => false,
        };
        Ok(Proof { target, url: Some(url), from_outside })
    }

    /// Proves at the end of *watch* what could not be proven while it cut over: an address that can show its revision and never did is refused,
    /// whatever its other checks say.
    pub(super) async fn prove_the_rest(&mut self) -> Result<(), Failure> {
        let unseen = |planned: &&Planned| self.reached.get(planned.target.name()).is_none_or(|reached| !reached.proven);
        let rest = self.plan.moving().filter(|planned| planned.target.public_url().is_some() && showing(planned).is_some()).filter(unseen);
        let proofs = join_all(rest.map(|planned| self.prove(planned))).await;
        for proof in proofs {
            let proof = proof.map_err(|failure| Failure { phase: Phase::Watch, ..failure })?;
            if !proof.from_outside {
                let text = "its address can show which revision it serves, and never showed the new one".to_owned();
                return Err(Failure::said(Phase::Watch, Some(&proof.target), text));
            }
            self.tell_proof(&proof);
            self.reached.entry(proof.target).or_default().proven = true;
        }
        Ok(())
    }

    /// Tells what a target's address showed.
    pub(super) fn tell_proof(&self, proof: &Proof) {
        if let Some(url) = &proof.url {
            let (target, from_outside) = (proof.target.clone(), proof.from_outside);
            self.context.events.emit(EventKind::Proven { target, url: url.clone(), from_outside });
        }
    }

    /// Asks until every edge has shown the revision in one round, or the limit is over.
    ///
    /// `false` when the address keeps failing and the target has checks: then nothing is stale, and judging it is for *watch*.
    async fn confirm(&self, planned: &Planned, check: &Check, url: &str, revision: &Revision) -> Result<bool, Failure> {
        let name = planned.target.name();
        let timing = &self.context.timing;
        let deadline = Instant::now() + timing.proof_limit;
        let mut failing_since: Option<Instant> = None;
        loop {
            if self.context.cancelled() {
                return Err(Failure::cancellation(Phase::CutOver));
            }
            let mut seen = None;
            for edge in 0..timing.edges.max(1) {
                let asked = Asked { base: url.to_owned(), headers: Vec::new(), via: Via::Public { edge }, revision: &revision.digest };
                if let Err(what) = check.ask(&self.context, &asked).await {
                    seen = Some(what);
                    break;
                }
            }
            let Some(what) = seen else { return Ok(true) };
            // A stale edge is waited for; a server that keeps failing is not.
            failing_since = if what.server_failed { Some(failing_since.unwrap_or_else(Instant::now)) } else { None };
            if failing_since.is_some_and(|since| since.elapsed() > timing.failing_limit) {
                if !planned.checks.is_empty() {
                    return Ok(false);
                }
                let text = format!("{url} keeps failing since it serves the new revision: {}", what.text);
                return Err(Failure::said(Phase::CutOver, Some(name), text));
            }
            if Instant::now() + timing.pause > deadline {
                let text = format!(
                    "{url} does not show the new revision {} after {:?}: {}",
                    revision.digest.short(),
                    timing.proof_limit,
                    what.text
                );
                return Err(Failure::said(Phase::CutOver, Some(name), text));
            }
            tokio::time::sleep(timing.pause).await;
        }
    }
}

/// Returns the check by which a target's public address shows its revision.
fn showing(planned: &Planned) -> Option<Check> {
    if let Some(check) = planned.checks.iter().find(|check| check.proves_revision()) {
        return Some(check.clone());
    }
    let uploaded = match &planned.shipment {
        super::plan::Shipment::New(artifact) => Some(artifact),
        super::plan::Shipment::Earlier(shipped) => shipped.artifact.as_ref(),
    };
    let directory = matches!(uploaded, Some(Artifact::Directory { .. }));
    (directory && matches!(planned.target.platform(), Platform::Vercel | Platform::Cloudflare))
        .then(|| super::check::revision_at(WELL_KNOWN))
}
