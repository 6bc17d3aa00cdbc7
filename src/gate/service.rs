//! A container that runs beside a gate: started before it, removed after it.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{Engine, EngineError, PlannedService};
use crate::id::{Chance, Name};
use crate::shutdown::{Level, Shutdown};

/// How long `docker run` may take, the pull of the image included.
const START_DEADLINE: Duration = Duration::from_secs(300);

/// How long a started container may take until it answers.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// How long removing a container may take.
const REMOVE_DEADLINE: Duration = Duration::from_secs(5);

/// The pause between two looks at a container that does not answer yet.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a connection must stay open to count as answered: Docker's proxy accepts at once and hangs up when nobody listens behind it.
const STAYS_OPEN: Duration = Duration::from_millis(150);

/// A container that runs.
#[derive(Debug)]
pub(super) struct RunningService {
    container: String,
    /// The variable and the address for the gate.
    pub(super) variable: (String, String),
}

/// Why a service is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServiceError {
    /// There is no client, no engine, no image, or the engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The container ended by itself.
    #[error("the container ended at once{}", if .last_words.is_empty() { String::new() } else { format!(": {}", .last_words) })]
    Ended { last_words: String },
    /// Nothing answered on its port in time.
    #[error("nothing answered on port {port} within {READY_DEADLINE:?}")]
    Silent { port: u16 },
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl RunningService {
    /// Starts the container on a free port of 127.0.0.1 and waits until something answers there.
    ///
    /// When this fails nothing is left running.
    pub(super) async fn start(
        engine: &Engine,
        planned: &PlannedService,
        gate: &Name,
        chance: &Chance,
        shutdown: &Shutdown,
    ) -> Result<Self, ServiceError> {
        let container = format!("cutover-{gate}-{}-{}", planned.name, chance.word(8));
        let service = &planned.service;
        let started = async {
            let publish = format!("127.0.0.1::{}", service.port);
            let label = format!("cutover.gate={gate}");
            // Not `--rm`: the last words of a container that ends at once are read before it is removed.
            let words = ["run", "-d", "--init", "--name", &container, "--label", &label, "-p", &publish, &service.image];
            engine.ask(&words, START_DEADLINE, shutdown).await?;
            answering(engine, &container, service.port, shutdown).await
        };
        match started.await {
            Ok(address) => {
                let url = format!("{}://{address}", scheme(&service.image));
                Ok(Self { container, variable: (service.provides.clone(), url) })
            }
            Err(error) => {
                remove(engine, &container).await;
                Err(error)
            }
        }
    }

    /// Removes the container with its volumes; also when the run was cancelled, and bounded in time.
    pub(super) async fn stop(self, engine: &Engine) {
        remove(engine, &self.container).await;
    }
}

async fn remove(engine: &Engine, container: &str) {
    // A shutdown of its own: what was started is removed although, and because, the run ends.
    let removed = engine.ask(&["rm", "-f", "-v", container], REMOVE_DEADLINE, &Shutdown::default()).await;
    if let Err(error) = removed {
        tracing::warn!(container, %error, "a service's container was not removed");
    }
}

/// Waits until the container answers; returns its address as `127.0.0.1:port`.
async fn answering(engine: &Engine, container: &str, port: u16, shutdown: &Shutdown) -> Result<String, ServiceError> {
    let began = Instant::now();
    while began.elapsed() < READY_DEADLINE {
        if shutdown.level() >= Level::Drain {
            return Err(ServiceError::Cancelled);
        }
        let state = engine.ask(&["inspect", "-f", STATE, container], Engine::ANSWER_DEADLINE, shutdown).await?;
        let (status, health) = state.split_once(' ').unwrap_or((&state, ""));
        if matches!(status, "exited" | "dead") {
            return Err(ServiceError::Ended { last_words: last_words(engine, container, shutdown).await });
        }
        let healthy = matches!(health, "" | "none" | "healthy");
        if status == "running" && healthy {
            let published = engine.ask(&["port", container, &format!("{port}/tcp")], Engine::ANSWER_DEADLINE, shutdown).await?;
            let address = published.lines().next().unwrap_or_default().trim();
            if stays_open(address).await {
                return Ok(address.to_owned());
            }
        }
        sleep(LOOK_EVERY).await;
    }
    Err(ServiceError::Silent { port })
}

/// The container's state and, where the image checks itself, its health.
const STATE: &str = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}";

async fn last_words(engine: &Engine, container: &str, shutdown: &Shutdown) -> String {
    let said = engine.capture(&["logs", "--tail", "5", container], Engine::ANSWER_DEADLINE, shutdown).await;
    said.map(|said| said.stdout.lines().chain(said.stderr.lines()).map(str::trim).collect::<Vec<_>>().join(" / ")).unwrap_or_default()
}

async fn stays_open(address: &str) -> bool {
    let Ok(Ok(mut stream)) = timeout(STAYS_OPEN, TcpStream::connect(address)).await else {
        return false;
    };
    match timeout(STAYS_OPEN, stream.read(&mut [0; 1])).await {
        // Silent but open: a server that waits for its client to speak.
        Err(_) => true,
        Ok(read) => matches!(read, Ok(count) if count > 0),
    }
}

/// Returns the scheme that clients expect in the address of what the image is known to be.
fn scheme(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or(image);
    let name = name.split(['@', ':']).next().unwrap_or(name);
    match name {
        "redis" | "valkey" | "redis-stack-server" | "keydb" | "dragonfly" => "redis",
        "postgres" | "postgis" | "timescaledb" | "pgvector" => "postgres",
        "mysql" | "mariadb" | "percona" => "mysql",
        "mongo" | "mongodb" => "mongodb",
        "rabbitmq" => "amqp",
        "nats" => "nats",
        "elasticsearch" | "opensearch" | "meilisearch" | "minio" | "localstack" | "mailpit" => "http",
        _ => "tcp",
    }
}
