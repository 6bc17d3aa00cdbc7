//! Which builder is there.

use std::time::Duration;

use super::Builder;
use crate::gate::{Engine, Environment};
use crate::mask::Masker;
use crate::process::{Bounds, Command, capture};
use crate::shutdown::Shutdown;

/// What was found on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The driver of the current buildx builder, if the plugin is there: `docker`, `docker-container`, `remote`, ...
    pub buildx_driver: Option<String>,
    /// Whether an engine answers.
    pub engine: bool,
    /// The major version of the Docker client, if it told.
    pub client_major: Option<u32>,
    /// Whether the engine keeps images in containerd's store.
    pub containerd_store: bool,
    /// Whether buildah is there.
    pub buildah: bool,
}

/// No builder was found; what was tried, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBuilder {
    /// There is none at all.
    #[error("no image builder was found: no Docker engine answers and buildah is not installed")]
    None,
    /// There is one, and it cannot give secrets to a build.
    #[error("the build needs secrets, and the engine's legacy builder has none: install docker buildx or buildah")]
    NoSecrets,
}

/// How long each question may take; the first one after boot may start the engine.
const ANSWER_DEADLINE: Duration = Engine::ANSWER_DEADLINE;

/// Returns what builds, by what was found and whether the build needs secrets.
pub fn choose(found: &Found, secrets: bool) -> Result<Builder, NoBuilder> {
    let buildx = match found.buildx_driver.as_deref() {
        Some("docker") if !found.engine => None,
        Some("docker") if found.containerd_store => Some(Builder::BuildxArchive),
        Some("docker") => Some(Builder::BuildxLoad),
        // A container that is a builder needs the engine that it runs on; other drivers have their own.
        Some("docker-container") if !found.engine => None,
        Some(_) => Some(Builder::BuildxArchive),
        None => None,
    };
    // Since version 23 the client hands BuildKit builds to the plugin, which is not there.
    let built_in = found.client_major.is_some_and(|major| (19..23).contains(&major));
    match (buildx, found.engine) {
        (Some(builder), _) => Ok(builder),
        (None, true) if built_in => Ok(Builder::EngineBuildKit),
        (None, true) if !secrets => Ok(Builder::EngineLegacy),
        (None, _) if found.buildah => Ok(Builder::Buildah),
        (None, true) => Err(NoBuilder::NoSecrets),
        (None, false) => Err(NoBuilder::None),
    }
}

/// Asks Docker and buildah what is there; what does not answer in time is not there.
pub async fn detect(environment: &Environment, masker: &Masker, shutdown: &Shutdown) -> Found {
    let docker = Engine::new("docker", environment.clone(), masker.clone());
    let ask = async |words: &[&str]| docker.ask(words, ANSWER_DEADLINE, shutdown).await.ok();
    let (version, buildx, info, buildah) = tokio::join!(
        ask(&["version", "--format", "{{.Client.Version}} {{.Server.Version}}"]),
        ask(&["buildx", "inspect"]),
        ask(&["info", "--format", "{{.Driver}} {{json .DriverStatus}}"]),
        is_there("buildah", environment, masker, shutdown),
    );
    // `docker buildx inspect` also prints help and exit 0 on some clients without the plugin: only a driver line counts.
    let driver = |text: String| text.lines().find_map(|line| line.strip_prefix("Driver:").map(|rest| rest.trim().to_owned()));
    let client = version.as_deref().and_then(|text| text.split('.').next()?.parse().ok());
    Found {
        buildx_driver: buildx.and_then(driver),
        engine: version.as_deref().and_then(|text| text.split_once(' ')).is_some_and(|(_, server)| !server.is_empty()),
        client_major: client,
        containerd_store: info.is_some_and(|text| text.contains("io.containerd.snapshotter")),
        buildah,
    }
}

async fn is_there(program: &str, environment: &Environment, masker: &Masker, shutdown: &Shutdown) -> bool {
    let command = Command::new(program, "/").words(["--version"]).environment(environment.variables());
    capture(&command, &Bounds::timeout(ANSWER_DEADLINE), shutdown, masker).await.is_ok_and(|captured| captured.ended.success())
}
