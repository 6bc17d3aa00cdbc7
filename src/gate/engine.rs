//! The Docker client, as far as services need it.

use std::time::Duration;

use super::Environment;
use crate::mask::Masker;
use crate::process::{Bounds, Captured, Command, Ended, StartError, capture};
use crate::shutdown::Shutdown;

/// A Docker client, run as a command; whichever engine it talks to is its own business (`DOCKER_HOST`, `DOCKER_CONTEXT`).
#[derive(Debug, Clone)]
pub struct Engine {
    program: std::ffi::OsString,
    environment: Environment,
    masker: Masker,
}

/// Why a call to the Docker client brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The client could not be started.
    #[error("there is no Docker client: {0}")]
    NoClient(#[from] StartError),
    /// The client ran and failed; the reason is its own last word.
    #[error("docker {verb}: {reason}")]
    Refused {
        /// Its first word: `run`, `port`, ...
        verb: String,
        /// What it said.
        reason: String,
    },
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Engine {
    /// How long an engine may take to answer a question.
    pub const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

    /// Returns a client that is `program`, with this environment.
    pub fn new(program: impl Into<std::ffi::OsString>, environment: Environment, masker: Masker) -> Self {
        Self { program: program.into(), environment, masker }
    }

    /// Returns the command for these words.
    pub fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        Command::new(&self.program, "/").words(words).environment(self.environment.variables())
    }

    /// Runs the client with these words and returns its standard output without the white space around it.
    pub async fn ask(&self, words: &[&str], deadline: Duration, shutdown: &Shutdown) -> Result<String, EngineError> {
        let captured = self.capture(words, deadline, shutdown).await?;
        match captured.ended {
            Ended::Exited { code: 0, .. } => Ok(captured.stdout.trim().to_owned()),
            Ended::Cancelled => Err(EngineError::Cancelled),
            _ => Err(EngineError::Refused { verb: words.first().copied().unwrap_or_default().to_owned(), reason: captured.reason() }),
        }
    }

    /// Runs the client with these words and returns all that it left.
    pub async fn capture(&self, words: &[&str], deadline: Duration, shutdown: &Shutdown) -> Result<Captured, StartError> {
        capture(&self.command(words.iter().copied()), &Bounds::timeout(deadline), shutdown, &self.masker).await
    }
}
