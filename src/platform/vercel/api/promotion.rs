//! Promotion and rollback: requests for jobs that move a project's hostnames.

use http::{Method, StatusCode};
use serde_json::json;

use crate::platform::PlatformError;
use crate::platform::vercel::client::VercelClient;
use crate::platform::vercel::wire::MovedHosts;

/// By which call a deployment comes to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::platform::vercel) enum Verb {
    /// For one that never had production traffic.
    Promote,
    /// For one that had.
    RollBack,
}

impl Verb {
    /// Returns the verb in words.
    pub(in crate::platform::vercel) const fn in_words(self) -> &'static str {
        match self {
            Self::Promote => "promotion",
            Self::RollBack => "rollback",
        }
    }
}

/// What the platform said to a request.
#[derive(Debug)]
pub(in crate::platform::vercel) enum Moved {
    /// A job was made.
    Requested,
    /// It waits behind a rolling release; no traffic has moved (202, vendor's client).
    Queued,
    /// It is live already, or another job is running (409): only a look can tell which.
    Conflict(PlatformError),
}

impl VercelClient {
    /// Asks for the job; nothing has moved when it answers. Never repeated by the transport (vercel.md 8).
    pub(in crate::platform::vercel) async fn request_move(
        &self,
        verb: Verb,
        project: &str,
        deployment: &str,
    ) -> Result<Moved, PlatformError> {
        let (operation, version, word) = match verb {
            Verb::Promote => ("promote", "v10", "promote"),
            Verb::RollBack => ("roll_back", "v9", "rollback"),
        };
        let call =
            self.call(operation, Method::POST, &[version, "projects", project, word, deployment], &[]).json(&json!({})).moving_traffic();
        let thing = format!("deployment {deployment}");
        let answer = self.send(call, &thing).await?;
        match answer.status {
            StatusCode::ACCEPTED if verb == Verb::Promote => Ok(Moved::Queued),
            status if status.is_success() => Ok(Moved::Requested),
            StatusCode::CONFLICT => Ok(Moved::Conflict(self.refusal(operation, &thing, &answer))),
            _ => Err(self.refusal(operation, &thing, &answer)),
        }
    }

    /// Returns the hostnames that the last job of this kind could not move (vendor's client).
    pub(in crate::platform::vercel) async fn failed_hosts(&self, verb: Verb, project: &str) -> Result<Vec<String>, PlatformError> {
        // Each under the version that is published; the vendor's client asks both under v9.
        let (operation, version, word) = match verb {
            Verb::Promote => ("list_promoted_hosts", "v1", "promote"),
            Verb::RollBack => ("list_rolled_back_hosts", "v9", "rollback"),
        };
        let query = [("failedOnly", "true"), ("limit", "20")];
        let call = self.call(operation, Method::GET, &[version, "projects", project, word, "aliases"], &query);
        let page: MovedHosts = self.read(call, &format!("project {project}")).await?;
        Ok(page.aliases.into_iter().filter(|host| host.status == "failed").map(|host| host.alias).collect())
    }
}
