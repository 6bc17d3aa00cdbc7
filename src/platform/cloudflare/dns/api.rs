//! The calls: zones, records, purging. Each is one request, with no decision in it (cloudflare.md 8).

use http::Method;
use serde_json::json;

use super::wire::{Record, Zone};
use crate::platform::RecordKind;
use crate::platform::cloudflare::client::CloudflareClient;
use crate::platform::cloudflare::envelope::Refusal;

/// What records of ours say of themselves.
const COMMENT: &str = "managed by cutover";
/// The vendor's own choice of how long a record is kept by others.
const AUTOMATIC: u32 = 1;

impl CloudflareClient {
    /// Returns the zone of exactly this name, if the token sees one.
    pub(super) async fn zone(&self, name: &str) -> Result<Option<Zone>, Refusal> {
        let call = self.with_token("find_zone", Method::GET, &["zones"], &[("name", name)]);
        let found: Option<Vec<Zone>> = self.read(call, &format!("zone {name}")).await?;
        Ok(found.unwrap_or_default().into_iter().find(|zone| zone.name == name && !zone.id.is_empty()))
    }

    /// Returns the records of exactly this name that lead to a host.
    pub(super) async fn records(&self, zone: &Zone, host: &str) -> Result<Vec<Record>, Refusal> {
        let query = [("name.exact", host), ("per_page", "100")];
        let call = self.with_token("list_records", Method::GET, &["zones", &zone.id, "dns_records"], &query);
        let found: Option<Vec<Record>> = self.read(call, &format!("records of {host}")).await?;
        let leads = |record: &Record| record.leads().is_some() && (record.name.is_empty() || record.name.eq_ignore_ascii_case(host));
        Ok(found.unwrap_or_default().into_iter().filter(leads).collect())
    }

    /// Makes a record. Never repeated by the transport: after a lost answer the records are listed again.
    pub(super) async fn create_record(
        &self,
        zone: &Zone,
        host: &str,
        kind: RecordKind,
        content: &str,
        proxied: bool,
    ) -> Result<(), Refusal> {
        let body = json!({
            "type": kind.as_str(), "name": host, "content": content, "proxied": proxied, "ttl": AUTOMATIC, "comment": COMMENT,
        });
        let call = self.with_token("create_record", Method::POST, &["zones", &zone.id, "dns_records"], &[]).json(&body);
        self.ask(call, &format!("record of {host}")).await.map(drop)
    }

    /// Changes a record to what is wanted. Idempotent.
    pub(super) async fn change_record(
        &self,
        zone: &Zone,
        record: &Record,
        kind: RecordKind,
        content: &str,
        proxied: bool,
    ) -> Result<(), Refusal> {
        let body = json!({
            "type": kind.as_str(), "name": record.name, "content": content, "proxied": proxied, "ttl": AUTOMATIC, "comment": COMMENT,
        });
        let path = ["zones", &zone.id, "dns_records", &record.id];
        let call = self.with_token("update_record", Method::PATCH, &path, &[]).json(&body).moving_traffic().repeatable();
        self.ask(call, &format!("record of {}", record.name)).await.map(drop)
    }

    /// Purges what Cloudflare has cached of these hostnames. Idempotent.
    pub(super) async fn purge(&self, zone: &Zone, hosts: &[String]) -> Result<(), Refusal> {
        let call = self.with_token("purge_cache", Method::POST, &["zones", &zone.id, "purge_cache"], &[]);
        let call = call.json(&json!({ "hosts": hosts })).repeatable();
        self.ask(call, &format!("cache of {}", zone.name)).await.map(drop)
    }
}
