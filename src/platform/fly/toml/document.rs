//! What a `fly.toml` says, section by section.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::containers::image_container;
use super::services::{Check, HttpService, MachineCheck, Service};
use super::{Finding, FlyTomlError, Form, finding, sections, services, tree, validate};

/// How an app's machines move to a new release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// New machines beside the old ones, then the registration moves.
    Bluegreen,
    /// Machine by machine, in place.
    Rolling,
    /// One extra machine first, then as `rolling`.
    Canary,
    /// All machines at once, nothing awaited.
    Immediate,
}

impl Strategy {
    /// Returns the name as `fly.toml` spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bluegreen => "bluegreen",
            Self::Rolling => "rolling",
            Self::Canary => "canary",
            Self::Immediate => "immediate",
        }
    }

    /// Returns the strategy of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Bluegreen, Self::Rolling, Self::Canary, Self::Immediate].into_iter().find(|strategy| strategy.as_str() == name)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A whole `fly.toml`. What stands in none of its fields stands in `definition`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlyConfig {
    /// The app.
    pub app: Option<String>,
    /// Where new machines go, and `PRIMARY_REGION` of all.
    pub primary_region: Option<String>,
    /// The signal that asks a machine to end.
    pub kill_signal: Option<String>,
    /// How long it may take to end.
    pub kill_timeout: Option<Duration>,
    /// Swap, in MB.
    pub swap_size_mb: Option<u32>,
    /// What `fly console` runs; no part of a release.
    pub console_command: Option<String>,
    /// A dedicated host.
    pub host_dedication_id: Option<String>,
    /// How the image is built; the manifest's own `images` decide, this is what `fly.toml` says.
    pub build: Build,
    /// How it is released.
    pub deploy: Deploy,
    /// Environment of every group.
    pub env: BTreeMap<String, String>,
    /// Process groups with their commands.
    pub processes: BTreeMap<String, String>,
    /// Commands and the like from `[experimental]`.
    pub experimental: Experimental,
    /// The short form of an HTTP service.
    pub http_service: Option<HttpService>,
    /// Services.
    pub services: Vec<Service>,
    /// Top-level checks by name.
    pub checks: BTreeMap<String, Check>,
    /// Top-level machine checks; no part of a release yet.
    pub machine_checks: Vec<MachineCheck>,
    /// Volumes.
    pub mounts: Vec<Mount>,
    /// Where metrics are scraped.
    pub metrics: Vec<Metrics>,
    /// What happens when a machine's process ends.
    pub restart: Vec<Restart>,
    /// Files that Fly's proxy serves itself.
    pub statics: Vec<Static>,
    /// Sizes.
    pub vm: Vec<Vm>,
    /// Files written into machines.
    pub files: Vec<FileEntry>,
    /// The whole document as JSON, keys as written: what a release record holds.
    pub definition: serde_json::Value,
    /// What is odd about the file.
    pub warnings: Vec<Finding>,
}

impl FlyConfig {
    /// Reads a `fly.toml`. All faults are reported at once.
    pub fn parse(text: &str) -> Result<Self, FlyTomlError> {
        Self::parse_as(text, Form::Toml)
    }

    /// Reads a file in one of the forms that flyctl takes. All faults are reported at once.
    pub fn parse_as(text: &str, form: Form) -> Result<Self, FlyTomlError> {
        let findings = finding::Findings::new(text);
        let root = tree::parse(text, form, &findings);
        let mut config = sections::read(&root, &findings);
        services::read(&root, &findings, &mut config);
        validate::check(&config, &root, &findings);
        config.definition = root.value.json();
        config.warnings = findings.finish()?;
        Ok(config)
    }

    /// Returns the process groups in order; `app` alone when none is declared.
    pub fn groups(&self) -> Vec<&str> {
        if self.processes.is_empty() { vec!["app"] } else { self.processes.keys().map(String::as_str).collect() }
    }

    /// Returns the group to which sections without `processes` belong: `app` if present, else the first.
    pub fn default_group(&self) -> &str {
        let groups = self.groups();
        if groups.contains(&"app") { "app" } else { groups.first().copied().unwrap_or("app") }
    }

    /// Returns whether a section with these `processes` applies to `group`.
    pub fn applies(&self, processes: &[String], group: &str) -> bool {
        if processes.is_empty() { group == self.default_group() } else { processes.iter().any(|name| name == group) }
    }

    /// Returns the services of a group, the HTTP service first.
    pub fn services_of(&self, group: &str) -> Vec<Service> {
        let http = self.http_service.iter().filter(|service| self.applies(&service.processes, group)).map(HttpService::as_service);
        let rest = self.services.iter().filter(|service| self.applies(&service.processes, group)).cloned();
        http.chain(rest).collect()
    }

    /// Returns the volumes of a group.
    pub fn mounts_of(&self, group: &str) -> Vec<&Mount> {
        self.mounts.iter().filter(|mount| self.applies(&mount.processes, group)).collect()
    }

    /// Returns the top-level checks of a group.
    pub fn checks_of(&self, group: &str) -> Vec<(&str, &Check)> {
        let applies = self.checks.iter().filter(|(_, check)| self.applies(&check.processes, group));
        applies.map(|(name, check)| (name.as_str(), check)).collect()
    }

    /// Returns whether Fly's own checks say anything about a group's machines.
    pub fn has_checks(&self, group: &str) -> bool {
        !self.checks_of(group).is_empty() || self.services_of(group).iter().any(|service| !service.checks.is_empty())
    }

    /// Returns the size that applies to a group: the last `[[vm]]` that names it, else the first that names none.
    pub fn vm_of(&self, group: &str) -> Option<&Vm> {
        let named = self.vm.iter().rev().find(|vm| vm.processes.iter().any(|name| name == group));
        named.or_else(|| self.vm.iter().find(|vm| vm.processes.is_empty()))
    }

    /// Returns the public address that the services give the app, or `None` when nothing speaks HTTP to the outside.
    pub fn public_url(&self, app: &str) -> Option<String> {
        if self.http_service.is_some() {
            return Some(format!("https://{app}.fly.dev/"));
        }
        let ports = || self.services.iter().flat_map(|service| &service.ports);
        let has = |port: &super::Port, handler: &str| port.handlers.iter().any(|name| name == handler);
        let secure = ports().filter(|port| has(port, "tls") && has(port, "http")).filter_map(|port| port.port);
        let plain = ports().filter(|port| has(port, "http") && !has(port, "tls")).filter_map(|port| port.port);
        let (secure, plain): (Vec<u16>, Vec<u16>) = (secure.collect(), plain.collect());
        if secure.contains(&443) {
            return Some(format!("https://{app}.fly.dev/"));
        }
        if plain.contains(&80) {
            return Some(format!("http://{app}.fly.dev/"));
        }
        let secure = secure.iter().min().map(|port| format!("https://{app}.fly.dev:{port}/"));
        secure.or_else(|| plain.iter().min().map(|port| format!("http://{app}.fly.dev:{port}/")))
    }

    /// Returns the files that a machine gets: one a path, a later entry in the place of an earlier one, and none where the later one has no
    /// source (fly.md 14). Every group gets all of them.
    pub fn merged_files(&self) -> Vec<&FileEntry> {
        let mut files: Vec<&FileEntry> = Vec::new();
        for file in &self.files {
            match files.iter().position(|earlier| earlier.guest_path == file.guest_path) {
                None => files.push(file),
                Some(at) if file.source == FileSource::Nothing => drop(files.remove(at)),
                Some(at) => files[at] = file,
            }
        }
        files
    }

    /// Reads the files that `[[files]]` and `machine_config` take from disk, through `read`; the first failure names its path.
    pub fn load_files(&mut self, read: impl Fn(&str) -> std::io::Result<Vec<u8>>) -> Result<(), (String, std::io::Error)> {
        if let Some(MachineConfigSource::File(path)) = &self.experimental.machine_config {
            let unusable = |error| (path.clone(), error);
            let bytes = read(path).map_err(unusable)?;
            let config: serde_json::Map<_, _> = serde_json::from_slice(&bytes).map_err(|error| unusable(error.into()))?;
            image_container(&config, self.experimental.container.as_deref())
                .map_err(|error| unusable(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
            self.experimental.machine_config = Some(MachineConfigSource::Inline(config));
        }
        for file in &mut self.files {
            if let FileSource::Local(path) = &file.source {
                let bytes = read(path).map_err(|error| (path.clone(), error))?;
                file.source = FileSource::Bytes(bytes);
            }
        }
        Ok(())
    }
}

/// `[build]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// A ready image.
    pub image: Option<String>,
    /// The Dockerfile, relative to `fly.toml`.
    pub dockerfile: Option<String>,
    /// The stage to build.
    pub target: Option<String>,
    /// The ignore file.
    pub ignorefile: Option<String>,
    /// A buildpack builder; not used.
    pub builder: Option<String>,
    /// One of flyctl's own recipes; not used.
    pub builtin: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
}

/// `[deploy]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deploy {
    /// The strategy, if the file says one.
    pub strategy: Option<Strategy>,
    /// How many machines may be away at once: a share below 1, a count from 1.
    pub max_unavailable: Option<f64>,
    /// How long a machine may take to be well; flyctl's default is 5 minutes.
    pub wait_timeout: Option<Duration>,
    /// What runs once on the new image before anything serves.
    pub release_command: Option<String>,
    /// How long it may take; `Some(None)` means without limit.
    pub release_command_timeout: Option<Option<Duration>>,
    /// The size of its machine.
    pub release_command_vm: Option<Vm>,
    /// What runs once after the first release command.
    pub seed_command: Option<String>,
}

/// `[experimental]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Experimental {
    /// Replaces the image's command.
    pub cmd: Option<Vec<String>>,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces both.
    pub exec: Option<Vec<String>>,
    /// A machine config to begin with.
    pub machine_config: Option<MachineConfigSource>,
    /// Which of its containers gets the image; `app` or the first one unless set.
    pub container: Option<String>,
}

/// Where a machine config to begin with comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineConfigSource {
    /// A file with JSON on this machine, relative to `fly.toml`.
    File(String),
    /// This.
    Inline(serde_json::Map<String, serde_json::Value>),
}

/// `[[mounts]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// The volumes' name.
    pub source: String,
    /// Where it appears.
    pub destination: String,
    /// Size of a new one, in GB.
    pub initial_size_gb: Option<u32>,
    /// Days that snapshots are kept.
    pub snapshot_retention: Option<u32>,
    /// Grows when it is this full, in percent.
    pub extend_threshold_percent: Option<u32>,
    /// By how much, in GB.
    pub extend_increment_gb: Option<u32>,
    /// Up to what size, in GB.
    pub extend_limit_gb: Option<u32>,
    /// The groups.
    pub processes: Vec<String>,
}

/// `[[metrics]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The port.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<String>,
    /// Whether over HTTPS.
    pub https: Option<bool>,
    /// The groups.
    pub processes: Vec<String>,
}

/// `[[restart]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restart {
    /// `always`, `never` or `on-failure`.
    pub policy: String,
    /// How often.
    pub retries: Option<u32>,
    /// The groups.
    pub processes: Vec<String>,
}

/// `[[statics]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Static {
    /// The directory in the machine.
    pub guest_path: String,
    /// The address prefix.
    pub url_prefix: String,
    /// A bucket instead of the machine.
    pub tigris_bucket: String,
    /// The index file.
    pub index_document: String,
}

/// `[[vm]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vm {
    /// A preset, for example `shared-cpu-1x`.
    pub size: Option<String>,
    /// Memory with a unit, in MB.
    pub memory: Option<u32>,
    /// `shared` or `performance`.
    pub cpu_kind: Option<String>,
    /// How many CPUs.
    pub cpus: Option<u32>,
    /// Memory in MB; wins over `memory`.
    pub memory_mb: Option<u32>,
    /// Memory up to which the machine may grow, in MB.
    pub max_memory_mb: Option<u32>,
    /// How many GPUs.
    pub gpus: Option<u32>,
    /// Which GPU.
    pub gpu_kind: Option<String>,
    /// `never`, `always` or `restart`.
    pub persist_rootfs: Option<String>,
    /// Kernel arguments.
    pub kernel_args: Vec<String>,
    /// A dedicated host; wins over the top-level one.
    pub host_dedication_id: Option<String>,
    /// The groups; empty means every group that no other entry names.
    pub processes: Vec<String>,
}

/// `[[files]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it appears.
    pub guest_path: String,
    /// Where it comes from.
    pub source: FileSource,
    /// Its mode.
    pub mode: Option<u32>,
}

/// Where a file's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// A file on this machine, relative to `fly.toml`.
    Local(String),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A secret of the app.
    Secret(String),
    /// Nothing: documented as removal.
    Nothing,
}
