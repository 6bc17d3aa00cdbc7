//! Everything that goes wrong in one case, as one line of text that parses back.
//!
//! `on pair first journal=file seed=7; fly.create_machine[api]#1: effect=once answer=lost; at fly.cordon_machine[api]#2 after: die`
//!
//! First the stage: the product, whether anything serves before, where the journal is kept, the seed of chance. Then, between semicolons, faults
//! (see [`Rule`]) and incidents: at one end of one request, something happens to whoever sent it, or to the world around.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::embedded::fault::Rule;

/// What serves when a case begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Beginning {
    /// An earlier release, on every target.
    #[default]
    Earlier,
    /// Nothing.
    First,
}

/// Where the journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Keeping {
    /// In a file of one machine.
    #[default]
    File,
    /// In a git ref on GitHub.
    Ref,
}

/// When, as seen from one request, an incident comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// Before the request has reached anything: it never does when its sender dies.
    Before,
    /// While it is under way: it has its effect, and nobody is there to hear the answer.
    During,
    /// When it has had its effect and its answer is about to arrive: it never does when its sender dies.
    After,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// The runner that sent the request is gone for ever: memory, unsent requests, clock.
    Die,
    /// The runner stands still for this long and then goes on as if nothing had been.
    Freeze(Duration),
    /// The same, and meanwhile GitHub says that its job is over, and another runner recovers.
    Forsake(Duration),
    /// The wall clock of the runner's machine is set forward (or back) by this many milliseconds.
    Clock(i64),
    /// The run is told to end: the first time in order, the second time at once.
    Cancel,
    /// Another runner begins a release of the same commit.
    Release,
    /// Another runner begins a recovery.
    Recover,
    /// A machine that runs what is being released dies, after it had been healthy.
    Crash,
    /// A person changes by hand, beside everybody, what the target serves that the request is about.
    Person,
}

/// Something that happens at one end of one request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incident {
    /// The request: `platform.operation[target]#n`.
    pub boundary: String,
    /// At which end of it.
    pub when: When,
    /// What happens.
    pub act: Act,
}

/// Everything that goes wrong in one case, and on which stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// The product that is released: a fixture's name, or the manifest's.
    pub product: String,
    /// What serves when it begins.
    pub beginning: Beginning,
    /// Where the journal is.
    pub keeping: Keeping,
    /// The seed of all chance.
    pub seed: u64,
    /// Which requests go wrong, and how.
    pub rules: Vec<Rule>,
    /// What else happens.
    pub incidents: Vec<Incident>,
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The first part is not `on PRODUCT …`.
    #[error("a schedule begins with `on PRODUCT`, then may say `first`, `journal=file|ref` and `seed=N`; this is {0:?}")]
    Stage(String),
    /// A part is neither a fault nor an incident.
    #[error("{0:?} is neither a fault (`BOUNDARY: effect=… answer=…`) nor an incident (`at BOUNDARY before|during|after: …`)")]
    Part(String),
    /// An incident is none of the known ones.
    #[error("{0:?} is none of die, freeze(30s), forsake(400s), clock(-3600s), cancel, release, recover, crash, person")]
    Act(String),
}

impl Schedule {
    /// Returns a schedule on which nothing goes wrong.
    pub fn calm(product: &str, beginning: Beginning, keeping: Keeping, seed: u64) -> Self {
        Self { product: product.to_owned(), beginning, keeping, seed, ..Self::default() }
    }

    /// Returns the same stage with one more fault.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Returns the same stage with one more incident.
    #[must_use]
    pub fn at(mut self, boundary: &str, when: When, act: Act) -> Self {
        self.incidents.push(Incident { boundary: boundary.to_owned(), when, act });
        self
    }

    /// Returns whether nothing goes wrong.
    pub fn is_calm(&self) -> bool {
        self.rules.is_empty() && self.incidents.is_empty()
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::During => "during",
            Self::After => "after",
        })
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Die => f.write_str("die"),
            Self::Freeze(time) => write!(f, "freeze({}s)", time.as_secs()),
            Self::Forsake(time) => write!(f, "forsake({}s)", time.as_secs()),
            Self::Clock(ms) => write!(f, "clock({}s)", ms / 1000),
            Self::Cancel => f.write_str("cancel"),
            Self::Release => f.write_str("release"),
            Self::Recover => f.write_str("recover"),
            Self::Crash => f.write_str("crash"),
            Self::Person => f.write_str("person"),
        }
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} {}: {}", self.boundary, self.when, self.act)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "on {}", self.product)?;
        if self.beginning == Beginning::First {
            f.write_str(" first")?;
        }
        f.write_str(if self.keeping == Keeping::File { " journal=file" } else { " journal=ref" })?;
        write!(f, " seed={}", self.seed)?;
        for rule in &self.rules {
            write!(f, "; {rule}")?;
        }
        for incident in &self.incidents {
            write!(f, "; {incident}")?;
        }
        Ok(())
    }
}

impl FromStr for Act {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let unknown = || ScheduleError::Act(text.to_owned());
        let seconds = |word: &str| -> Option<i64> { text.strip_prefix(word)?.strip_prefix('(')?.strip_suffix("s)")?.parse().ok() };
        Ok(match text {
            "die" => Self::Die,
            "cancel" => Self::Cancel,
            "release" => Self::Release,
            "recover" => Self::Recover,
            "crash" => Self::Crash,
            "person" => Self::Person,
            _ if text.starts_with("freeze") || text.starts_with("forsake") => {
                let read = seconds("freeze").or_else(|| seconds("forsake"));
                let time = Duration::from_secs(read.and_then(|seconds| u64::try_from(seconds).ok()).ok_or_else(unknown)?);
                if text.starts_with("freeze") { Self::Freeze(time) } else { Self::Forsake(time) }
            }
            _ => Self::Clock(seconds("clock").and_then(|seconds| seconds.checked_mul(1000)).ok_or_else(unknown)?),
        })
    }
}

impl FromStr for Incident {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let part = || ScheduleError::Part(text.to_owned());
        let (place, act) = text.strip_prefix("at ").and_then(|rest| rest.rsplit_once(": ")).ok_or_else(part)?;
        let (boundary, when) = place.rsplit_once(' ').ok_or_else(part)?;
        let when = match when {
            "before" => When::Before,
            "during" => When::During,
            "after" => When::After,
            _ => return Err(part()),
        };
        Ok(Self { boundary: boundary.to_owned(), when, act: act.parse()? })
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let mut parts = text.trim().split("; ");
        let first = parts.next().unwrap_or_default();
        let stage = || ScheduleError::Stage(first.to_owned());
        let mut words = first.strip_prefix("on ").ok_or_else(stage)?.split_whitespace();
        let mut schedule = Self { product: words.next().ok_or_else(stage)?.to_owned(), ..Self::default() };
        for word in words {
            match word.split_once('=') {
                None if word == "first" => schedule.beginning = Beginning::First,
                Some(("journal", "file")) => schedule.keeping = Keeping::File,
                Some(("journal", "ref")) => schedule.keeping = Keeping::Ref,
                Some(("seed", seed)) => schedule.seed = seed.parse().map_err(|_| stage())?,
                _ => return Err(stage()),
            }
        }
        for part in parts {
            if part.starts_with("at ") {
                schedule.incidents.push(part.parse()?);
            } else {
                schedule.rules.push(part.parse().map_err(|_| ScheduleError::Part(part.to_owned()))?);
            }
        }
        Ok(schedule)
    }
}
