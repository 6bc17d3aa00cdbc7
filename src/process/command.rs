//! A command as a value, and starting it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Child;

/// A program with its words, its directory and its whole environment: nothing is inherited that is not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    program: OsString,
    words: Vec<OsString>,
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

/// Why a command could not be started; nothing ran.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such program, in `PATH` or at the path given.
    #[error("{program}: command not found")]
    NotFound {
        /// As it was asked for.
        program: String,
    },
    /// The program is there, but the interpreter that its first line names is not.
    #[error("{program}: the interpreter named in its first line is not there")]
    InterpreterMissing {
        /// As it was asked for.
        program: String,
    },
    /// The program is there and may not be executed, or is no program.
    #[error("{program}: not executable")]
    NotExecutable {
        /// As it was asked for.
        program: String,
    },
    /// The working directory is not there or is no directory.
    #[error("the directory {} is not there", .directory.display())]
    DirectoryMissing {
        /// As it was asked for.
        directory: PathBuf,
    },
    /// The operating system refused for another reason.
    #[error("{program}: {source}")]
    Refused {
        /// As it was asked for.
        program: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

impl Command {
    /// Returns a command that runs `program` in `directory` with an empty environment.
    ///
    /// A program without a slash is looked up in the `PATH` of the command's own environment; one with a slash is relative to `directory`.
    pub fn new(program: impl Into<OsString>, directory: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), words: Vec::new(), directory: directory.into(), environment: Vec::new() }
    }

    /// Adds words.
    #[must_use]
    pub fn words<W: Into<OsString>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.words.extend(words.into_iter().map(Into::into));
        self
    }

    /// Sets variables of the environment; a later one replaces an earlier one.
    #[must_use]
    pub fn environment<K: Into<OsString>, V: Into<OsString>>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self {
        self.environment.extend(variables.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// Returns where it runs.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Returns the program and its words as a person would type them, for a message.
    pub fn shown(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.words);
        words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }

    /// Starts it as the leader of a new process group, with standard input closed and both outputs piped.
    pub(super) fn start(&self) -> Result<Child, StartError> {
        if !self.directory.is_dir() {
            return Err(StartError::DirectoryMissing { directory: self.directory.clone() });
        }
        tokio::process::Command::new(&self.program)
            .args(&self.words)
            .current_dir(&self.directory)
            .env_clear()
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.refusal(error))
    }

    fn refusal(&self, source: io::Error) -> StartError {
        const ENOEXEC: i32 = nix::errno::Errno::ENOEXEC as i32;
        let program = self.program.to_string_lossy().into_owned();
        match source.kind() {
            io::ErrorKind::NotFound if self.found().is_some() => StartError::InterpreterMissing { program },
            io::ErrorKind::NotFound => StartError::NotFound { program },
            io::ErrorKind::PermissionDenied => StartError::NotExecutable { program },
            _ if source.raw_os_error() == Some(ENOEXEC) => StartError::NotExecutable { program },
            _ => StartError::Refused { program, source },
        }
    }

    /// Returns the file that the program names, if there is one.
    fn found(&self) -> Option<PathBuf> {
        let program = Path::new(&self.program);
        if program.components().count() > 1 {
            return Some(self.directory.join(program)).filter(|path| path.exists());
        }
        let path = self.environment.iter().rev().find(|(key, _)| key == "PATH")?;
        std::env::split_paths(OsStr::new(&path.1)).map(|directory| directory.join(program)).find(|file| file.exists())
    }
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
