//! How a machine's program ends, and how the exit event tells of it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::machine::Machine;
use super::switches::ExitShape;

/// The code of a process that was killed: 128 + 9.
pub(super) const KILLED: i64 = 137;

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this code.
    Exits(i64),
    /// The machine has no memory left: the kernel kills the program.
    OutOfMemory,
    /// Killed by the signal of this number.
    Signal(i64),
    /// Not at all.
    Never,
}

impl End {
    /// Returns the exit code, 128 and the signal's number where there was one.
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Exits(code) => code,
            Self::Signal(number) => 128 + number,
            Self::OutOfMemory | Self::Never => KILLED,
        }
    }

    /// Returns the last line of the log: what init prints when its child has ended. Source: logs in users' reports.
    pub(super) fn last_words(self) -> String {
        match self {
            Self::Exits(code) => format!("Main child exited normally with code: {code}"),
            Self::OutOfMemory => "Out of memory: Killed process 312 (server)".to_owned(),
            Self::Signal(number) => format!("Main child exited with signal (with signal '{number}', core dumped? false)"),
            Self::Never => String::new(),
        }
    }
}

/// How a machine's process ended, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit {
    pub end: End,
    pub requested: bool,
    pub restarting: bool,
}

impl Exit {
    /// Returns the `request` of the exit event. The guest's signal is -1 where there was none.
    pub(super) fn request(self, machine: &Machine, now: Timestamp, shape: ExitShape) -> Value {
        let (code, guest_code, guest_signal) = match self.end {
            End::Signal(number) => (self.end.code(), 0, number),
            other => (other.code(), other.code(), -1),
        };
        let details = json!({
            "exit_code": code,
            "guest_exit_code": guest_code,
            "guest_signal": guest_signal,
            "signal": -1,
            "oom_killed": self.end == End::OutOfMemory,
            "requested_stop": self.requested,
            "restarting": self.restarting,
            "exited_at": now.to_string(),
        });
        let mut request = json!({ "restart_count": machine.restarts });
        if shape != ExitShape::Monitor {
            request["exit_event"] = details.clone();
        }
        if shape != ExitShape::Plain {
            request["MonitorEvent"] = json!({ "exit_event": details });
        }
        request
    }
}
