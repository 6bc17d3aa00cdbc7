//! How often Fly may be asked: the documented limits as a switch, and how often they were met.

use std::collections::BTreeMap;

use super::{Fly, PLATFORM};
use crate::embedded::fault::Limit;

/// What the tape says of a request that a limit refused.
const REFUSED: &str = "rate limit";

/// The operations of api.fly.io, whose limits are documented nowhere: they are not the Machines API's.
const ELSEWHERE: [&str; 7] =
    ["get_organization", "create_build", "finish_build", "create_release", "update_release", "list_releases", "current_release"];

/// Returns the limits that Fly documents, for the switchboard: per action and machine (or app), one request a second with bursts to three;
/// reading a machine five with bursts to ten. Source: fly.io/docs/machines/api/working-with-machines-api (rate limits). The status is reported,
/// not documented; no source gives a `Retry-After`.
///
/// The 100 deletions of apps a minute are not kept: they would count over all apps, and nobody here deletes that many. GraphQL and logs have no
/// documented limits and get none.
pub fn documented_limits() -> Vec<Limit> {
    let limit = |operation: &str, per_second, burst| Limit {
        platform: PLATFORM.to_owned(),
        operation: operation.to_owned(),
        per_second,
        burst,
        retry_after: None,
        body: r#"{"error":"rate limit exceeded"}"#.to_owned(),
    };
    let graphql = super::graphql::operations().map(|name| format!("graphql_{name}"));
    let elsewhere = ELSEWHERE.iter().map(|name| (*name).to_owned()).chain(graphql).chain(["list_logs".to_owned()]);
    let mut limits: Vec<_> = elsewhere.map(|operation| limit(&operation, f64::from(u32::MAX), u32::MAX)).collect();
    limits.extend([limit("*", 1.0, 3), limit("get_machine", 5.0, 10)]);
    limits
}

impl Fly {
    /// Keeps to the documented limits from now on: what is over them is 429.
    pub fn keep_limits(&self) {
        for limit in documented_limits() {
            self.inner.ground.faults.limit(limit);
        }
    }

    /// Returns how many requests a limit has refused so far, by operation; empty when none was.
    pub fn refused_by_limits(&self) -> BTreeMap<String, u64> {
        let mut refused = BTreeMap::new();
        for entry in self.inner.ground.tape.entries() {
            if entry.platform == PLATFORM && entry.fault.as_deref() == Some(REFUSED) {
                *refused.entry(entry.operation).or_default() += 1;
            }
        }
        refused
    }
}
