//! Which process this is, so that another one of the same machine can tell later whether it is gone.

use serde::{Deserialize, Serialize};

/// A process by what no two processes have in common.
///
/// Its number alone means nothing: another machine has a process of the same number, so has a container of this one, and numbers are given
/// again. So the start of the kernel and the process's namespace of numbers belong to it, and when it began. Linux alone tells all of them
/// (`proc(5)`: `/proc/sys/kernel/random/boot_id`, `/proc/self/ns/pid`, the 22nd field of `/proc/PID/stat`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The start of the kernel that runs it: random, and another one after every start of the machine.
    pub boot: String,
    /// The namespace in which its number counts.
    pub namespace: String,
    /// Its number.
    pub pid: u32,
    /// When it began, in clock ticks since the start of the kernel.
    pub started: u64,
}

impl Identity {
    /// Returns this process; `None` where the system does not tell.
    pub fn own() -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?.to_string_lossy().into_owned();
        let pid = std::process::id();
        let Seen::Began(started) = look(pid) else { return None };
        (!boot.is_empty()).then_some(Self { boot, namespace, pid, started })
    }

    /// Returns whether this process, which is running, can see that `other` is gone: it ran under the same kernel and in the same namespace, and
    /// no process of that number and beginning is left. Of a process elsewhere it says nothing, and of one that is stopped that it is there.
    pub fn sees_that_is_gone(&self, other: &Self) -> bool {
        if (&self.boot, &self.namespace) != (&other.boot, &other.namespace) {
            return false;
        }
        match look(other.pid) {
            Seen::Gone => true,
            Seen::Began(started) => started != other.started,
            Seen::Untold => false,
        }
    }
}

/// What the system says about a number.
enum Seen {
    /// No process has it, or one that has ended and is not yet waited for.
    Gone,
    /// When the process that has it began.
    Began(u64),
    /// It does not tell.
    Untold,
}

fn look(pid: u32) -> Seen {
    let text = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        // Somebody else's process may be hidden (`hidepid`): no file alone is no end.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && nobody_has(pid) => return Seen::Gone,
        Err(_) => return Seen::Untold,
    };
    // The name is in parentheses and may hold anything: the fields begin behind the last one, with the third, the state.
    let fields: Vec<&str> = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    match (fields.first(), fields.get(19).and_then(|ticks| ticks.parse().ok())) {
        (Some(&("Z" | "X")), _) => Seen::Gone,
        (_, Some(started)) => Seen::Began(started),
        _ => Seen::Untold,
    }
}

/// Returns whether no process has the number, by a signal of no kind (`kill(2)`).
fn nobody_has(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH)
}
