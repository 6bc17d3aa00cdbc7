//! Running a command: in a process group of its own, to an end that always comes and always has a name.
//!
//! Signals go to the group, never to one process. The wait for the end is bounded everywhere: a timeout or a cancellation asks the group
//! politely, waits a grace period and kills it; after the leader is gone the group is killed once more, and a process that escaped from the
//! group with the output still open is left behind after a short grace instead of hanging the run.

mod capture;
mod command;
mod identity;
mod lines;
mod stop;

pub use capture::{Captured, MAX_CAPTURED_BYTES, capture};
pub use command::{Command, StartError};
pub use identity::Identity;
pub use lines::{Line, LineSplitter, Pipe};
pub use stop::Bounds;

use std::process::ExitStatus;

use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::mask::{MaskStream, Masker};
use crate::shutdown::Shutdown;
use stop::{Exit, StopCause};

/// How many bytes are read from a pipe at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// How many lines may wait between a pipe and whoever takes them; beyond it the command waits for us, as it would for a slow terminal.
const LINES_IN_FLIGHT: usize = 1024;

/// Every way in which a started command can end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// It exited by itself.
    Exited {
        /// Its exit code.
        code: i32,
        /// Whether it left a process behind that kept its output open.
        leaky: bool,
    },
    /// A signal ended it that was not ours.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// It took longer than [`Bounds::timeout`]; the whole group was ended.
    TimedOut,
    /// The run was cancelled; the whole group was ended.
    Cancelled,
    /// Its output could not be read, or its end could not be waited for; the whole group was ended.
    Unreadable {
        /// The operating system's reason.
        reason: String,
    },
}

impl Ended {
    /// Returns whether it exited with code 0.
    pub const fn success(&self) -> bool {
        matches!(self, Self::Exited { code: 0, .. })
    }
}

/// Runs `command` to its end and hands each line of its output, masked, to `on_line`, in the order in which they came.
///
/// Returns when the leader has ended and its output was read or given up. Standard input is closed. At [`crate::shutdown::Level::Drain`] the
/// group is asked to end and given [`Bounds::grace`]; at `Now` it is killed. Dropping the future kills the leader only: run it to its end.
pub async fn run(
    command: &Command,
    bounds: &Bounds,
    shutdown: &Shutdown,
    masker: &Masker,
    mut on_line: impl FnMut(Line),
) -> Result<Ended, StartError> {
    let mut child = command.start()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let began = Instant::now();
    let (sender, mut lines) = mpsc::channel(LINES_IN_FLIGHT);
    let mut readers = Readers::begin(&mut child, &sender, masker, bounds, began);
    drop(sender);

    let exit = {
        let end = stop::until_exit(&mut child, group, bounds, shutdown);
        tokio::pin!(end);
        loop {
            tokio::select! {
                // The end first: a command that never stops writing must not keep its own timeout from being seen.
                biased;
                exit = &mut end => break exit,
                Some(line) = lines.recv() => on_line(line),
            }
        }
    };
    let leaky = readers.read_rest(group, bounds, &mut lines, &mut on_line).await;
    Ok(ended(exit, leaky, readers.fault))
}

/// Makes this process undumpable: its memory and environment cannot be read by other processes of the same user. Call it before anything is
/// started. It raises the cost and is no boundary where the user may become root; the jobs are the boundary.
pub fn forbid_reading_our_memory() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

fn ended(exit: Exit, leaky: bool, fault: Option<String>) -> Ended {
    match (exit, fault) {
        (Exit::Stopped(StopCause::Timeout), _) => Ended::TimedOut,
        (Exit::Stopped(StopCause::Cancelled), _) => Ended::Cancelled,
        (Exit::WaitFailed(reason), _) | (_, Some(reason)) => Ended::Unreadable { reason },
        (Exit::ByItself(status), None) => by_itself(status, leaky),
    }
}

fn by_itself(status: ExitStatus, leaky: bool) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited { code, leaky },
        (None, Some(signal)) => Ended::Signalled { signal },
        (None, None) => Ended::Unreadable { reason: format!("unknown exit status: {status}") },
    }
}

/// The two tasks that read the pipes.
struct Readers {
    tasks: Vec<JoinHandle<std::io::Result<()>>>,
    fault: Option<String>,
}

impl Readers {
    fn begin(child: &mut Child, sender: &mpsc::Sender<Line>, masker: &Masker, bounds: &Bounds, began: Instant) -> Self {
        let mut tasks = Vec::new();
        let splitter = |pipe| LineSplitter::new(pipe, began, bounds.max_line_bytes);
        if let Some(pipe) = child.stdout.take() {
            tasks.push(tokio::spawn(read(pipe, masker.stream(), splitter(Pipe::Stdout), sender.clone())));
        }
        if let Some(pipe) = child.stderr.take() {
            tasks.push(tokio::spawn(read(pipe, masker.stream(), splitter(Pipe::Stderr), sender.clone())));
        }
        Self { tasks, fault: None }
    }

    /// Reads what is left after the leader has ended; returns whether somebody else still held the output open.
    async fn read_rest(
        &mut self,
        group: Option<Pid>,
        bounds: &Bounds,
        lines: &mut mpsc::Receiver<Line>,
        on_line: &mut impl FnMut(Line),
    ) -> bool {
        let mut drain = async |grace| {
            tokio::time::timeout(grace, async {
                while let Some(line) = lines.recv().await {
                    on_line(line);
                }
            })
            .await
            .is_ok()
        };
        let closed = drain(bounds.leak_grace).await;
        // Also when the output is closed: a daemon that wrote elsewhere must not outlive the command that started it.
        stop::kill(group);
        if !closed && !drain(bounds.leak_grace).await {
            self.tasks.iter().for_each(JoinHandle::abort);
        }
        for task in self.tasks.drain(..) {
            match task.await {
                Ok(Err(error)) => self.fault = Some(error.to_string()),
                Err(error) if error.is_panic() => self.fault = Some("the reader failed".to_owned()),
                Ok(Ok(())) | Err(_) => {}
            }
        }
        while let Ok(line) = lines.try_recv() {
            on_line(line);
        }
        !closed
    }
}

async fn read<R: AsyncRead + Unpin>(
    mut pipe: R,
    mut mask: MaskStream,
    mut splitter: LineSplitter,
    sender: mpsc::Sender<Line>,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut masked = Vec::with_capacity(CHUNK_BYTES);
    loop {
        let count = pipe.read(&mut chunk).await?;
        masked.clear();
        if count == 0 {
            mask.finish(&mut masked);
        } else {
            mask.push(&chunk[..count], &mut masked);
        }
        let mut lines = splitter.push(&masked);
        if count == 0 {
            lines.extend(splitter.finish());
        }
        for line in lines {
            // Nobody takes lines any more: read on, so that the command does not block on a full pipe.
            let _ = sender.send(line).await;
        }
        if count == 0 {
            return Ok(());
        }
    }
}
