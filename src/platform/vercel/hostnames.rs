//! How a hostname leads to a project: by the records that the platform recommends for it, past every other proxy, since the platform must see
//! visitors itself to have a certificate issued (published: `GET /v6/domains/{domain}/config`).

use serde_json::Value;

use super::VercelTarget;
use crate::platform::{Attached, Leading, PlatformError, RecordKind};

/// The name that every project answers at, and the address for what can have no CNAME; recommended until the platform says otherwise.
const USUAL: (&str, &str) = ("cname.vercel-dns.com", "76.76.21.21");

impl VercelTarget {
    pub(super) async fn leads(&self, host: &str) -> Result<Leading, PlatformError> {
        let domains = self.client.domains(&self.settings.project).await?;
        let known = domains.iter().any(|domain| domain.name.eq_ignore_ascii_case(host));
        let config = self.client.domain_config(host).await?;
        let mut records: Vec<(RecordKind, String)> = ranked(&config["recommendedCNAME"], RecordKind::Cname);
        records.push((RecordKind::Cname, USUAL.0.to_owned()));
        records.extend(ranked(&config["recommendedIPv4"], RecordKind::A));
        records.push((RecordKind::A, USUAL.1.to_owned()));
        let attached = if known { Attached::Yes } else { Attached::No };
        let attach_hint = format!("vercel domains add {host} {}", self.settings.project);
        Ok(Leading { records, proxied: false, attached, attach_hint })
    }
}

/// Returns the recommended values, the best rank first; a value is a text or a list of texts.
fn ranked(recommended: &Value, kind: RecordKind) -> Vec<(RecordKind, String)> {
    let mut all: Vec<&Value> = recommended.as_array().into_iter().flatten().collect();
    all.sort_by_key(|one| one["rank"].as_u64());
    let values = all.into_iter().flat_map(|one| match &one["value"] {
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect::<Vec<_>>(),
    });
    values.map(|value| (kind, value.trim_end_matches('.').to_owned())).collect()
}
