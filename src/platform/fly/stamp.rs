//! The marks that a release puts on its machines: by them its own work is found again, and nothing else is ever touched.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::machine_config::MachineConfig;
use super::wire::{Machine, ReleaseRecord, object};
use crate::id::Name;

/// Metadata: the product.
pub(super) const PRODUCT: &str = "cutover_product";
/// Metadata: the environment.
pub(super) const ENVIRONMENT: &str = "cutover_environment";
/// Metadata: the release that made this version of the machine.
pub(super) const RELEASE: &str = "cutover_release";
/// Metadata: the revision's digest.
pub(super) const REVISION: &str = "cutover_revision";
/// Metadata: which machine of the release this is meant to be, `<release>/<ordinal>`. There is no idempotency header (fly.md 20), so a lost
/// answer to a creation is looked up by this.
pub(super) const INTENT: &str = "cutover_intent";
/// Metadata: present when the size is declared by `fly.toml` and so is part of the revision.
pub(super) const SIZED: &str = "cutover_sized";
/// Metadata: the release that took a machine out of routing which a person had added meanwhile. It ends with the generation that it was cloned
/// from, and goes back with it.
pub(super) const LEAVING: &str = "cutover_leaving";
/// Metadata: digests of the secrets' values that the machine was released with, `NAME=DIGEST` joined by commas, so that another value is another
/// revision: a secret cannot be read, and nothing else on a machine tells which values it has.
pub(super) const SECRETS: &str = "cutover_secrets";
/// How our variables begin.
pub(super) const VARIABLES: &str = "CUTOVER_";
/// How the names of the checks that we add begin.
pub(super) const CHECKS: &str = "cutover-";

/// What is put on a machine.
#[derive(Debug, Clone)]
pub(super) struct Marks<'a> {
    pub(super) product: &'a Name,
    pub(super) environment: &'a Name,
    pub(super) release: &'a str,
    pub(super) revision: &'a str,
    pub(super) intent: String,
    pub(super) sized: bool,
    pub(super) gets: &'a [String],
    pub(super) record: Option<&'a ReleaseRecord>,
}

impl Marks<'_> {
    /// Puts the marks on a rendered config.
    pub(super) fn put(&self, config: &mut MachineConfig) {
        edit(config, "metadata", |metadata| {
            metadata.retain(|key, _| !key.starts_with("cutover_") || key == SECRETS);
            let mut mark = |key: &str, value: &str| metadata.insert(key.to_owned(), value.into());
            mark(PRODUCT, self.product.as_str());
            mark(ENVIRONMENT, self.environment.as_str());
            mark(RELEASE, self.release);
            mark(REVISION, self.revision);
            mark(INTENT, &self.intent);
            if self.sized {
                mark(SIZED, "fly.toml");
            }
            if let Some(record) = self.record.filter(|record| !record.id.is_empty()) {
                mark("fly_release_id", &record.id);
                mark("fly_release_version", &record.version.to_string());
            }
        });
        edit(config, "env", |env| {
            env.insert("CUTOVER_REVISION".to_owned(), self.revision.into());
            env.insert("CUTOVER_RELEASE".to_owned(), self.release.into());
        });
        add_checks(config, self.gets);
    }
}

/// Adds the manifest's plain GETs as checks of the machine.
///
/// They are top-level checks, whose kind `informational` never changes routing. As checks of the service they would: the proxy takes a
/// machine out while one fails, and a page that is slow for a moment in production would take machines from users. A machine whose
/// services speak no HTTP gets none; such a GET is asked once the revision serves.
fn add_checks(config: &mut MachineConfig, gets: &[String]) {
    let Some(port) = http_port(config) else { return };
    edit(config, "checks", |checks| {
        for (index, path) in gets.iter().enumerate() {
            // Two seconds is the shortest interval that Fly takes for a top-level check.
            let check = json!({
                "type": "http", "port": port, "method": "GET", "path": path, "kind": "informational",
                "interval": "2s", "timeout": "10s", "grace_period": "1s",
            });
            checks.insert(format!("{CHECKS}{index}"), check);
        }
    });
}

/// Returns the mark of the secrets of a machine to be made: what the one before it was released with, and over it what this run sets (`held`, digests
/// by name). `None` where neither says anything.
pub(super) fn secrets_mark(before: &str, held: &BTreeMap<String, String>) -> Option<String> {
    let mut all: BTreeMap<&str, &str> = before.split(',').filter_map(|one| one.split_once('=')).collect();
    all.extend(held.iter().map(|(name, digest)| (name.as_str(), digest.as_str())));
    let all: Vec<String> = all.into_iter().map(|(name, digest)| format!("{name}={digest}")).collect();
    (!all.is_empty()).then(|| all.join(","))
}

/// Returns which of the manifest's GETs a check of a machine is, if it is one.
pub(super) fn ordinal_of(check: &str) -> Option<usize> {
    check.strip_prefix(CHECKS)?.parse().ok()
}

/// Returns the port in the machine of the first service that speaks HTTP.
fn http_port(config: &MachineConfig) -> Option<u64> {
    let speaks_http = |service: &&Value| {
        let ports = service.get("ports").and_then(Value::as_array).into_iter().flatten();
        let handlers = ports.filter_map(|port| port.get("handlers").and_then(Value::as_array)).flatten();
        handlers.filter_map(Value::as_str).any(|handler| handler == "http")
    };
    let service = config.get("services").and_then(Value::as_array)?.iter().find(speaks_http)?;
    service.get("internal_port").and_then(Value::as_u64)
}

/// Changes the object under `key`; an object that ends empty is removed.
fn edit(config: &mut MachineConfig, key: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let mut map = object(config.get(key));
    change(&mut map);
    if map.is_empty() {
        config.shift_remove(key);
    } else {
        config.insert(key.to_owned(), Value::Object(map));
    }
}

/// Returns whether a machine carries our marks for this product and environment.
pub(super) fn is_ours(machine: &Machine, product: &Name, environment: &Name) -> bool {
    machine.metadata(PRODUCT) == product.as_str() && machine.metadata(ENVIRONMENT) == environment.as_str()
}
