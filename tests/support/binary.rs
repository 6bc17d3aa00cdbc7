//! The binary as a person or a workflow runs it, with nothing of this machine's credentials, and a sandbox for it to work in.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::product::Product;

/// The longest that any command here may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// A command of the binary that sees nothing of this machine's credentials.
pub(crate) fn cutover(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// Runs a command to its end.
pub(crate) fn output(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(child)
}

/// Waits for a child within the limit; a later one is killed by its own id.
pub(crate) fn wait(child: Child) -> Output {
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (done, over) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if over.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = kill(id, Signal::SIGKILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watch.join().unwrap();
    output
}

/// Returns everything that a command wrote.
pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Returns the exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("ended by a signal: {}", told(output)))
}

/// Reads a child's events until one of this name; what follows is read and left by a thread.
pub(crate) fn until(child: &mut Child, event: &str) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let wanted = format!("\"{event}\"");
    let found = lines.by_ref().map_while(Result::ok).any(|line| line.contains(&wanted));
    assert!(found, "no {event} was told");
    std::thread::spawn(move || lines.for_each(drop));
}

/// A world that listens, and the variables that point at it.
pub(crate) struct Sandbox {
    child: Child,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) state: tempfile::TempDir,
    pub(crate) product: Product,
}

impl Sandbox {
    /// Begins a sandbox of the small product, in which an earlier release serves.
    pub(crate) fn begin() -> Self {
        Self::of(Product::new())
    }

    /// Begins a sandbox of a product.
    pub(crate) fn of(product: Product) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut command = cutover(&["sandbox", product.path().to_str().unwrap(), "--earlier", "--quiet", "--format", "json"]);
        command.arg("--tape").arg(state.path().join("tape"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let text: String = lines.by_ref().map_while(Result::ok).take_while(|line| line != "}").collect::<Vec<_>>().join("\n") + "}";
        let variables: std::collections::BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
        Self { child, variables: variables.into_iter().collect(), state, product }
    }

    /// Returns a command in the product's folder, pointed at the sandbox, without a token for GitHub.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = cutover(arguments);
        command.current_dir(self.product.path()).envs(self.variables.iter().cloned()).env("CUTOVER_STATE_DIR", self.state.path());
        command.env_remove("GITHUB_TOKEN");
        command
    }

    /// Runs such a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        output(self.command(arguments))
    }

    /// Returns where the journal is.
    pub(crate) fn journal(&self) -> PathBuf {
        self.state.path().join("journal/small/production.jsonl")
    }
}

impl Sandbox {
    /// Ends the platforms; returns everything that they were asked, in order.
    pub(crate) fn tape(&mut self) -> Vec<serde_json::Value> {
        self.end();
        let text = std::fs::read_to_string(self.state.path().join("tape")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.end();
    }
}

impl Sandbox {
    /// How many releases the journal closed as finished.
    pub(crate) fn finished(&self) -> usize {
        let text = std::fs::read_to_string(self.journal()).unwrap();
        text.lines().filter(|line| line.contains("\"entry\":{\"is\":\"finished\"}")).count()
    }
}

/// No image is built here: only the front end is released.
pub(crate) const WEB: [&str; 5] = ["release", "production", "--skip-gates", "--only", "web"];
