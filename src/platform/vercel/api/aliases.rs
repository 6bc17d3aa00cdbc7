//! Single hostnames: what they lead to, and moving them by hand (vercel.md 6.4). Not for production's.

use http::Method;
use serde_json::{Value, json};

use crate::platform::vercel::client::VercelClient;
use crate::platform::vercel::wire::{Alias, ErrorBody};
use crate::platform::{PlatformError, PlatformErrorKind};

/// The code of a hostname that somebody else has (vercel.md 6.4).
const IN_USE: &str = "alias_in_use";

/// Whose a hostname is.
#[derive(Debug)]
pub(in crate::platform::vercel) enum Holder {
    /// Nobody's.
    Nobody,
    /// In the caller's scope.
    Known(Alias),
    /// The caller may not see it: somebody else's, or the token reaches too little.
    Unseen(PlatformError),
}

/// What became of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::platform::vercel) enum Assigned {
    /// It leads there now, or did already.
    Done,
    /// Somebody else has it.
    InUse,
}

impl VercelClient {
    /// Returns the deployment that a hostname leads to.
    pub(in crate::platform::vercel) async fn leads_to(&self, host: &str) -> Result<Option<String>, PlatformError> {
        Ok(self.alias(host).await?.deployment_id)
    }

    /// Returns whose a hostname is.
    pub(in crate::platform::vercel) async fn holder(&self, host: &str) -> Result<Holder, PlatformError> {
        match self.alias(host).await {
            Ok(alias) => Ok(Holder::Known(alias)),
            Err(PlatformError { kind: PlatformErrorKind::NotFound(_), .. }) => Ok(Holder::Nobody),
            Err(error) if matches!(error.kind, PlatformErrorKind::Forbidden(_)) => Ok(Holder::Unseen(error)),
            Err(error) => Err(error),
        }
    }

    /// Returns a hostname. The published answer is a list, vendor's clients read one object; both are understood.
    async fn alias(&self, host: &str) -> Result<Alias, PlatformError> {
        let call = self.call("get_alias", Method::GET, &["v4", "aliases", host], &[]);
        let thing = format!("hostname {host}");
        let answer: Value = self.read(call, &thing).await?;
        let alias = answer.get(0).unwrap_or(&answer).clone();
        serde_json::from_value(alias).map_err(|error| {
            PlatformError::new(crate::http::Platform::Vercel, "get_alias", thing, PlatformErrorKind::Unexpected(error.to_string()))
        })
    }

    /// Makes a hostname lead to a deployment, wherever it led to before. Never repeated by the transport: a repetition that comes late could run
    /// over what was asked for since.
    pub(in crate::platform::vercel) async fn assign_alias(&self, deployment: &str, host: &str) -> Result<Assigned, PlatformError> {
        let call =
            self.call("assign_alias", Method::POST, &["v2", "deployments", deployment, "aliases"], &[]).json(&json!({ "alias": host }));
        let thing = format!("hostname {host}");
        let answer = self.send(call, &thing).await?;
        let refused = ErrorBody::of(&answer);
        if answer.status.is_success() {
            return Ok(Assigned::Done);
        }
        if refused.code == IN_USE {
            return Ok(Assigned::InUse);
        }
        let error = self.refusal("assign_alias", &thing, &answer);
        // Assigned to this very deployment already; whoever asked looks where it leads to all the same.
        if matches!(error.kind, PlatformErrorKind::Conflict(_)) { Ok(Assigned::Done) } else { Err(error) }
    }

    /// Takes a hostname away, by its id; done when it is gone already.
    pub(in crate::platform::vercel) async fn delete_alias(&self, id: &str) -> Result<(), PlatformError> {
        let call = self.call("delete_alias", Method::DELETE, &["v2", "aliases", id], &[]).repeatable();
        match self.ask(call, &format!("hostname {id}")).await {
            Ok(_) | Err(PlatformError { kind: PlatformErrorKind::NotFound(_), .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
