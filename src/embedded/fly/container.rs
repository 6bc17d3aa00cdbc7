//! Machines as real containers, by the Docker command line.
//!
//! Every container carries labels that name this process, so that what a killed process left behind is found and removed by the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;

use super::{Inner, config, wire};
use crate::embedded::ground::lock;

/// The label on every container; its value is the world's word.
pub const LABEL: &str = "cutover.embedded";

/// The label that names the process whose world the container belongs to.
const LABEL_PROCESS: &str = "cutover.embedded.process";

/// The longest a Docker command may take that should be quick.
const QUICK_DEADLINE: Duration = Duration::from_secs(30);

/// The longest that pulling and creating a container may take.
const RUN_DEADLINE: Duration = Duration::from_secs(180);

/// How many lines of a container's output are kept.
const LOG_LINES: &str = "100";

/// Why a container could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The `docker` command could not be run.
    #[error("docker could not be run")]
    Spawn(#[source] std::io::Error),
    /// It took too long.
    #[error("docker {command} did not finish within {seconds} s")]
    Deadline {
        /// The docker command.
        command: String,
        /// The limit.
        seconds: u64,
    },
    /// It refused.
    #[error("docker {command} failed: {stderr}")]
    Refused {
        /// The docker command.
        command: String,
        /// What it printed.
        stderr: String,
    },
}

/// A Docker engine that runs machines.
#[derive(Debug)]
pub struct ContainerEngine {
    docker: PathBuf,
    /// A Docker client configuration that knows the embedded registry's password and nothing else.
    config: tempfile::TempDir,
    registry: String,
    word: String,
    /// Images that were pulled from the embedded registry: they go with the world.
    pulled: Mutex<BTreeSet<String>>,
}

/// What a machine's container is made of.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub name: String,
    image: String,
    env: BTreeMap<String, String>,
    ports: Vec<u16>,
    entrypoint: Option<String>,
    command: Vec<String>,
    memory_mb: Option<u64>,
}

impl ContainerEngine {
    /// Returns the engine that `docker` reaches, or `None` when none answers.
    ///
    /// `registry` is where the embedded registry listens (`127.0.0.1:PORT`) and `password` opens it; `word` tells this world's containers
    /// from others'. Containers whose process is gone are removed.
    pub async fn find(registry: &str, password: &str, word: &str) -> Option<Self> {
        let config = tempfile::tempdir().ok()?;
        let auth = STANDARD.encode(format!("x:{password}"));
        let text = serde_json::json!({ "auths": { registry: { "auth": auth } } }).to_string();
        tokio::fs::write(config.path().join("config.json"), text).await.ok()?;
        let engine = Self {
            docker: PathBuf::from("docker"),
            config,
            registry: registry.to_owned(),
            word: word.to_owned(),
            pulled: Mutex::default(),
        };
        engine.call(&["info", "--format", "{{.ServerVersion}}"], QUICK_DEADLINE).await.ok()?;
        engine.sweep().await;
        Some(engine)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.docker);
        command.arg("--config").arg(self.config.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn call(&self, arguments: &[&str], deadline: Duration) -> Result<String, ContainerError> {
        let mut command = self.command();
        command.args(arguments);
        finish(command, arguments.first().copied().unwrap_or_default(), deadline).await
    }

    /// Removes containers of processes that are gone. Best effort: a leftover costs memory, nothing else.
    async fn sweep(&self) {
        let format = format!("{{{{.Names}}}} {{{{.Label \"{LABEL_PROCESS}\"}}}}");
        let filter = format!("label={LABEL}");
        let Ok(listed) = self.call(&["ps", "--all", "--filter", &filter, "--format", &format], QUICK_DEADLINE).await else { return };
        for (name, process) in listed.lines().filter_map(|line| line.split_once(' ')) {
            if !std::path::Path::new("/proc").join(process.trim()).exists() {
                self.remove(name).await;
            }
        }
    }

    /// Runs a container and returns its ports: inside → on loopback.
    pub(super) async fn run(&self, order: &Order) -> Result<BTreeMap<u16, u16>, ContainerError> {
        let mut command = self.command();
        command.args(["run", "--detach", "--init", "--pull", "missing", "--name", &order.name]);
        command.arg("--label").arg(format!("{LABEL}={}", self.word));
        command.arg("--label").arg(format!("{LABEL_PROCESS}={}", std::process::id()));
        for port in &order.ports {
            command.arg("--publish").arg(format!("127.0.0.1::{port}"));
        }
        for (name, value) in &order.env {
            // By name only: a value on the command line could be read by every user of the machine.
            command.arg("--env").arg(name).env(name, value);
        }
        if let Some(memory) = order.memory_mb {
            command.arg("--memory").arg(format!("{memory}m"));
        }
        if let Some(entrypoint) = &order.entrypoint {
            command.arg("--entrypoint").arg(entrypoint);
        }
        command.arg(&order.image).args(&order.command);
        if order.image.starts_with(&self.registry) {
            lock(&self.pulled).insert(order.image.clone());
        }
        if let Err(error) = finish(command, "run", RUN_DEADLINE).await {
            self.remove(&order.name).await;
            return Err(error);
        }
        let mut ports = BTreeMap::new();
        // A container that has exited already has no ports, and no need for any.
        let listed = self.call(&["port", &order.name], QUICK_DEADLINE).await.unwrap_or_default();
        for line in listed.lines() {
            // `4000/tcp -> 127.0.0.1:32768`
            let inside = line.split_once('/').and_then(|(port, _)| port.parse::<u16>().ok());
            let outside = line.rsplit_once(':').and_then(|(_, port)| port.trim().parse::<u16>().ok());
            ports.extend(inside.zip(outside));
        }
        Ok(ports)
    }

    /// Waits for a container's end and returns its exit code; 1 when that cannot be known.
    pub(super) async fn wait(&self, name: &str) -> i64 {
        let mut command = self.command();
        command.args(["wait", name]);
        let code = command.output().await.ok().and_then(|output| String::from_utf8(output.stdout).ok());
        code.and_then(|code| code.trim().parse().ok()).unwrap_or(1)
    }

    /// Ends a container by `signal`, then by force after `timeout`; returns its exit code.
    pub(super) async fn stop(&self, name: &str, signal: &str, timeout: Duration) -> i64 {
        let signal = if timeout.is_zero() { "SIGKILL" } else { signal };
        // `docker stop --signal` is too new for many engines; a kill with a signal and a bounded wait is the same.
        let _ = self.call(&["kill", "--signal", signal, name], QUICK_DEADLINE).await;
        let bound = timeout.max(Duration::from_secs(1));
        if let Ok(code) = tokio::time::timeout(bound, self.wait(name)).await {
            return code;
        }
        let _ = self.call(&["kill", "--signal", "SIGKILL", name], QUICK_DEADLINE).await;
        tokio::time::timeout(QUICK_DEADLINE, self.wait(name)).await.unwrap_or(137)
    }

    /// Returns the last lines of a container's output.
    pub(super) async fn logs(&self, name: &str) -> Vec<String> {
        let mut command = self.command();
        command.args(["logs", "--tail", LOG_LINES, name]);
        let Ok(Ok(output)) = tokio::time::timeout(QUICK_DEADLINE, command.output()).await else { return Vec::new() };
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }

    /// Removes a container, running or not; idempotent.
    pub(super) async fn remove(&self, name: &str) {
        let _ = self.call(&["rm", "--force", "--volumes", name], QUICK_DEADLINE).await;
    }

    /// Removes every container of this world, and the images that only it could pull.
    async fn remove_all(&self) {
        let filter = format!("label={LABEL}={}", self.word);
        let listed = self.call(&["ps", "--all", "--quiet", "--filter", &filter], QUICK_DEADLINE).await.unwrap_or_default();
        let ids: Vec<&str> = listed.lines().collect();
        if !ids.is_empty() {
            let arguments = [&["rm", "--force", "--volumes"], ids.as_slice()].concat();
            let _ = self.call(&arguments, RUN_DEADLINE).await;
        }
        let images = std::mem::take(&mut *lock(&self.pulled));
        for image in &images {
            // Another world may run the same image under its own name; then only the name goes.
            let _ = self.call(&["rmi", image], QUICK_DEADLINE).await;
        }
    }

    /// Returns `image` as this engine can pull it: what Fly calls `registry.fly.io` is the embedded registry.
    fn pullable(&self, image: &str) -> String {
        let image = image.strip_prefix("registry.fly.io/").map_or_else(|| image.to_owned(), |rest| format!("{}/{rest}", self.registry));
        // `name:tag@digest`: some engines refuse both at once, and the digest says all.
        match image.split_once('@') {
            Some((name, digest)) => {
                let name = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name);
                format!("{name}@{digest}")
            }
            None => image,
        }
    }
}

impl Drop for ContainerEngine {
    /// The backstop for a world that was dropped without being ended: containers must not outlive it.
    fn drop(&mut self) {
        let list = format!("label={LABEL}={}", self.word);
        let listed = std::process::Command::new(&self.docker).args(["ps", "--all", "--quiet", "--filter", &list]).output();
        let ids = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        if !ids.trim().is_empty() {
            let mut command = std::process::Command::new(&self.docker);
            let _ = command.args(["rm", "--force", "--volumes"]).args(ids.split_whitespace()).stdout(Stdio::null()).status();
        }
    }
}

async fn finish(mut command: Command, name: &str, deadline: Duration) -> Result<String, ContainerError> {
    let output: Output = match tokio::time::timeout(deadline, command.output()).await {
        Ok(output) => output.map_err(ContainerError::Spawn)?,
        Err(_) => return Err(ContainerError::Deadline { command: name.to_owned(), seconds: deadline.as_secs() }),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ContainerError::Refused { command: name.to_owned(), stderr })
}

impl Inner {
    /// Returns the engine that runs a machine; none for an image that only stands in for one, because nothing could be pulled.
    pub(super) fn engine_for(&self, app: &str, id: &str) -> Option<Arc<ContainerEngine>> {
        let engine = lock(&self.engine).clone()?;
        let state = lock(&self.state);
        let machine = state.machine(app, id)?;
        let (_, repository, _) = wire::image_parts(config::text(&machine.config, "image").unwrap_or_default());
        (!self.registry.is_stand_in(repository, &machine.digest)).then_some(engine)
    }

    /// Returns the name of the container that a machine runs in when started under `epoch`.
    pub(super) fn container_name(&self, id: &str, epoch: u64) -> String {
        let word = lock(&self.engine).as_ref().map(|engine| engine.word.clone()).unwrap_or_default();
        format!("cutover-{word}-{id}-{epoch}")
    }

    /// Returns what the machine's container is made of; `None` when the machine is not to be started any more.
    pub(super) fn container_order(&self, engine: &Arc<ContainerEngine>, app: &str, id: &str, epoch: u64) -> Option<Order> {
        let name = self.container_name(id, epoch);
        let state = lock(&self.state);
        let owner = state.apps.get(app)?;
        let machine = owner.machines.get(id).filter(|machine| machine.epoch == epoch)?;
        let configured = &machine.config;
        let image = config::text(configured, "image").unwrap_or_default();
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in configured.get("env").and_then(serde_json::Value::as_object).into_iter().flatten() {
            env.insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
        }
        // Secrets win over `env`. Source: fly.io/docs/apps/secrets.
        env.extend(owner.secrets.iter().map(|(key, secret)| (key.clone(), secret.value.clone())));
        // Source: fly.io/docs/machines/runtime-environment.
        for (key, value) in [
            ("FLY_APP_NAME", app),
            ("FLY_MACHINE_ID", id),
            ("FLY_ALLOC_ID", id),
            ("FLY_REGION", &machine.region),
            ("FLY_IMAGE_REF", image),
            ("FLY_MACHINE_VERSION", &machine.instance_id),
            ("FLY_PRIVATE_IP", &machine.private_ip),
        ] {
            env.insert(key.to_owned(), value.to_owned());
        }
        let words = |key: &str| -> Vec<String> {
            let init = configured.get("init");
            init.map(|init| config::list(init, key))
                .unwrap_or_default()
                .iter()
                .filter_map(|word| word.as_str().map(str::to_owned))
                .collect()
        };
        // `exec` replaces entrypoint and command; an entrypoint's further words go in front of the command.
        let mut entrypoint = words("exec");
        let command = if entrypoint.is_empty() { words("cmd") } else { Vec::new() };
        if entrypoint.is_empty() {
            entrypoint = words("entrypoint");
        }
        let mut rest = entrypoint.into_iter();
        let entrypoint = rest.next();
        let memory_mb = configured.get("guest").and_then(|guest| guest.get("memory_mb")).and_then(serde_json::Value::as_u64);
        Some(Order {
            name,
            image: engine.pullable(image),
            env,
            ports: config::ports(configured),
            entrypoint,
            command: rest.chain(command).collect(),
            memory_mb,
        })
    }

    /// Removes every container of this world.
    pub(super) async fn remove_containers(&self) {
        let engine = lock(&self.engine).take();
        if let Some(engine) = engine {
            engine.remove_all().await;
        }
    }
}
