//! Running a command for its answer.

use super::{Bounds, Command, Ended, Pipe, StartError, run};
use crate::mask::Masker;
use crate::shutdown::Shutdown;

/// The most of each output that is kept, in bytes; what comes after it is read and dropped.
pub const MAX_CAPTURED_BYTES: usize = 4 * 1024 * 1024;

/// What a command that was run for its answer left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// How it ended.
    pub ended: Ended,
    /// Its standard output, lines joined by LF, secrets masked.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

impl Captured {
    /// Returns the last line with anything in it that it wrote to standard error, or how it ended if it said nothing: the reason of a failure.
    pub fn reason(&self) -> String {
        let said = self.stderr.lines().chain(self.stdout.lines()).map(str::trim).rfind(|line| !line.is_empty());
        let said = self.stderr.lines().map(str::trim).rfind(|line| !line.is_empty()).or(said);
        match (&self.ended, said) {
            (Ended::TimedOut, _) => "it took too long".to_owned(),
            (Ended::Cancelled, _) => "cancelled".to_owned(),
            (_, Some(line)) => line.to_owned(),
            (Ended::Exited { code, .. }, None) => format!("exit code {code}"),
            (Ended::Signalled { signal }, None) => format!("ended by signal {signal}"),
            (Ended::Unreadable { reason }, None) => reason.clone(),
        }
    }
}

/// Runs `command` to its end and returns what it wrote.
pub async fn capture(command: &Command, bounds: &Bounds, shutdown: &Shutdown, masker: &Masker) -> Result<Captured, StartError> {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let ended = run(command, bounds, shutdown, masker, |line| {
        let kept = match line.pipe {
            Pipe::Stdout => &mut stdout,
            Pipe::Stderr => &mut stderr,
        };
        if kept.len() + line.text.len() < MAX_CAPTURED_BYTES {
            kept.push_str(&line.text);
            kept.push('\n');
        }
    })
    .await?;
    Ok(Captured { ended, stdout, stderr })
}
