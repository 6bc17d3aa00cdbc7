//! Waiting for a machine's state on Fly's side.

use std::time::Duration;

use http::Method;

use super::machines::about;
use crate::http::Repeat;
use crate::platform::PlatformError;
use crate::platform::fly::client::{FlyClient, refusal};

/// What became of one wait of at most [`FlyClient::LONGEST_WAIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::platform::fly) enum Waited {
    /// It is in one of the states.
    Reached,
    /// Not yet.
    NotYet,
    /// The machine is not there.
    Gone,
    /// It went somewhere from where it will not get there.
    Elsewhere,
}

impl FlyClient {
    /// The longest wait that Fly accepts in one call; a longer one is a loop of these.
    pub(in crate::platform::fly) const LONGEST_WAIT: Duration = Duration::from_secs(60);

    /// Waits once until a machine is in one of `states`; with `version`, until that version is.
    pub(in crate::platform::fly) async fn wait_once(
        &self,
        app: &str,
        id: &str,
        states: &[&str],
        version: Option<&str>,
        limit: Duration,
    ) -> Result<Waited, PlatformError> {
        let seconds = limit.min(Self::LONGEST_WAIT).as_secs().max(1);
        let mut call = self.machine("wait_machine", Method::GET, app, id, &["wait"], None);
        {
            let mut query = call.url.query_pairs_mut();
            for state in states {
                query.append_pair("state", state);
            }
            query.append_pair("timeout", &seconds.to_string());
            if let Some(version) = version {
                query.append_pair("version", version);
            }
        }
        // 408 is this call's ordinary answer, and the transport would take it for a failure.
        call.repeat = Repeat::Never;
        call.deadline = Duration::from_secs(seconds + 10);
        let thing = about(app, id);
        let answer = match self.send(call, &thing).await {
            Ok(answer) => answer,
            // A read whose answer was lost has changed nothing: ask again.
            Err(error) if error.ambiguous() => return Ok(Waited::NotYet),
            Err(error) => return Err(error),
        };
        match answer.status.as_u16() {
            200..=299 => Ok(Waited::Reached),
            408 | 500..=599 => Ok(Waited::NotYet),
            404 => Ok(Waited::Gone),
            400 => Ok(Waited::Elsewhere),
            _ => Err(refusal("wait_machine", &thing, &answer)),
        }
    }
}
