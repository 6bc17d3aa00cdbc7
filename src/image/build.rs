//! Building one image.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::{ArchiveError, BuildFiles, BuildPlan, Builder, ImageArtifact, Words, normalise, stand_in};
use crate::event::{EventKind, Events};
use crate::gate::Environment;
use crate::mask::Masker;
use crate::process::{Bounds, Command, Ended, Line, StartError, run};
use crate::shutdown::Shutdown;

/// How long a build may take.
const BUILD_DEADLINE: Duration = Duration::from_secs(3600);

/// How many of a failed builder's last lines are kept.
const LAST_LINES: usize = 30;

/// What a build runs in.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// Where everything is told.
    pub events: Events,
    /// By what it is ended.
    pub shutdown: Shutdown,
    /// By what its output passes.
    pub masker: Masker,
    /// What the builder inherits; build secrets are added to it.
    pub environment: Environment,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The context or the Dockerfile is not there.
    #[error("{what} {} is not there", .path.display())]
    Missing {
        /// "the build context" or "the Dockerfile".
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// The builder could not be started.
    #[error(transparent)]
    CouldNotStart(#[from] StartError),
    /// The builder failed.
    #[error("{builder} {how}{}", .last_lines.iter().rfind(|line| !line.trim().is_empty()).map(|line| format!(": {}", line.trim())).unwrap_or_default())]
    Failed {
        /// Which.
        builder: &'static str,
        /// How it ended: "failed with exit code 1".
        how: String,
        /// The last lines that it wrote, secrets masked.
        last_lines: Vec<String>,
    },
    /// It took longer than [`BUILD_DEADLINE`].
    #[error("the build took longer than {BUILD_DEADLINE:?}")]
    TimedOut,
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// What the builder wrote is no image.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The image is larger than the manifest allows.
    #[error("the image has {size} bytes compressed; max_size allows {limit}")]
    TooLarge {
        /// Its compressed size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

/// Builds an image and leaves its archive at `destination`; with no builder it leaves a stand-in, which says of itself that it is one.
///
/// Emits the build's begin, lines and end. When it fails or is cancelled, nothing is left at `destination` that was not there before.
pub async fn build(
    plan: &BuildPlan,
    builder: Option<Builder>,
    destination: &Path,
    context: &BuildContext,
) -> Result<ImageArtifact, BuildError> {
    let began = Instant::now();
    let image = plan.image.clone();
    let shown = builder.map_or("stand-in", Builder::as_str).to_owned();
    context.events.emit(EventKind::BuildStarted { image: image.clone(), builder: shown });
    let built = attempt(plan, builder, destination, context).await;
    let (result, size) = match &built {
        Ok(artifact) => (Ok(artifact.archive.digest.to_string()), Some(artifact.archive.size())),
        Err(BuildError::TooLarge { size, .. }) => (built.as_ref().map(|_| String::new()).map_err(ToString::to_string), Some(*size)),
        Err(error) => (Err(error.to_string()), None),
    };
    context.events.emit(EventKind::BuildFinished { image, result, size, duration: began.elapsed() });
    built
}

async fn attempt(
    plan: &BuildPlan,
    builder: Option<Builder>,
    destination: &Path,
    context: &BuildContext,
) -> Result<ImageArtifact, BuildError> {
    if !plan.context.is_dir() {
        return Err(BuildError::Missing { what: "the build context", path: plan.context.clone() });
    }
    // A stand-in needs nothing to build with.
    if builder.is_some() && !plan.dockerfile().is_file() {
        return Err(BuildError::Missing { what: "the Dockerfile", path: plan.dockerfile() });
    }
    let directory = destination.parent().unwrap_or(Path::new("."));
    let scratch = scratch(directory).map_err(|source| ArchiveError::Io { path: directory.to_owned(), source })?;
    let files = BuildFiles { archive: scratch.path().join("built.tar"), id: scratch.path().join("id") };
    if let Some(builder) = builder {
        run_builder(plan, builder, &files, context).await?;
    }
    let finished = scratch.path().join("image.tar");
    let (work, from, to) = (plan.clone(), files.archive.clone(), finished.clone());
    let made = move || if builder.is_some() { normalise(&from, &to) } else { stand_in(&work, &to) };
    let mut archive = blocking(made).await?;
    if let Some(limit) = plan.max_size.filter(|limit| archive.size() > *limit) {
        return Err(BuildError::TooLarge { size: archive.size(), limit });
    }
    std::fs::rename(&finished, destination).map_err(|source| ArchiveError::Io { path: destination.to_owned(), source })?;
    destination.clone_into(&mut archive.path);
    Ok(ImageArtifact { image: plan.image.clone(), archive })
}

/// Makes a directory beside the destination: an archive is moved into its place, not copied.
fn scratch(directory: &Path) -> std::io::Result<tempfile::TempDir> {
    std::fs::create_dir_all(directory)?;
    let directory = directory.canonicalize()?;
    tempfile::Builder::new().prefix(".build-").tempdir_in(directory)
}

async fn run_builder(plan: &BuildPlan, builder: Builder, files: &BuildFiles, context: &BuildContext) -> Result<(), BuildError> {
    for secret in plan.secrets.values() {
        // One that is too short to be masked was told about when the run's secrets were read.
        let _ = context.masker.learn(secret);
    }
    step(&builder.build(plan, files), builder, plan, context).await?;
    let id = tokio::fs::read_to_string(&files.id).await.unwrap_or_default();
    match builder.save(id.trim(), files) {
        Some(words) => step(&words, builder, plan, context).await,
        None => Ok(()),
    }
}

async fn step(words: &Words, builder: Builder, plan: &BuildPlan, context: &BuildContext) -> Result<(), BuildError> {
    let secrets = plan.secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose()));
    let command = Command::new(words.program, &plan.context)
        .words(&words.words)
        .environment(context.environment.variables())
        .environment(words.variables.iter().copied())
        .environment(secrets);
    let mut last_lines = std::collections::VecDeque::new();
    let on_line = |line: Line| {
        if last_lines.len() == LAST_LINES {
            last_lines.pop_front();
        }
        last_lines.push_back(line.text.clone());
        context.events.emit(EventKind::BuildLine { image: plan.image.clone(), line: line.text });
    };
    let ended = run(&command, &Bounds::timeout(BUILD_DEADLINE), &context.shutdown, &context.masker, on_line).await?;
    let how = match ended {
        Ended::Exited { code: 0, .. } => return Ok(()),
        Ended::TimedOut => return Err(BuildError::TimedOut),
        Ended::Cancelled => return Err(BuildError::Cancelled),
        Ended::Exited { code, .. } => format!("failed with exit code {code}"),
        Ended::Signalled { signal } => format!("was ended by signal {signal}"),
        Ended::Unreadable { reason } => format!("could not be followed: {reason}"),
    };
    Err(BuildError::Failed { builder: builder.as_str(), how, last_lines: last_lines.into() })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static) -> Result<T, BuildError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        // The runtime ends, or the work panicked: either way there is no image.
        Err(_) => Err(BuildError::Cancelled),
    }
}
