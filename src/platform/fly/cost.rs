//! What an app costs a month, from its machines, volumes and addresses. Pure; the prices are in [`prices`].

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::prices;

/// A kind of machine: what its price depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MachineKind {
    /// `shared` or `performance`.
    pub cpu_kind: String,
    /// How many vCPUs.
    pub cpus: u64,
    /// Memory, in MB.
    pub memory_mb: u64,
    /// Where; empty where nobody says it, which is priced as Ashburn.
    pub region: String,
    /// How many GPUs; their price is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub gpus: u64,
}

/// What is paid for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Machines that run all the time, by kind.
    pub machines: BTreeMap<MachineKind, u32>,
    /// How many machines are stopped: only their root file system is paid for, and its size is nowhere said.
    pub stopped: u32,
    /// Provisioned volumes, in GB altogether.
    pub volume_gb: u32,
    /// IPv4 addresses of the app's own.
    pub dedicated_ipv4: u32,
}

/// One line of the bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostItem {
    /// What it is, for a person.
    pub what: String,
    /// US dollars a month; null where the price is not known.
    pub usd: Option<f64>,
}

/// What an app costs a month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonthlyCost {
    /// US dollars a month for everything whose price is known, all machines running all the time.
    pub usd: f64,
    /// The month of the prices.
    pub prices_as_of: &'static str,
    /// What it consists of.
    pub items: Vec<CostItem>,
    /// What is not in the sum.
    pub left_out: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl MachineKind {
    /// Returns the kind of a machine with this guest in `region`; `None` where the guest does not say what it has.
    pub fn of(guest: &Value, region: &str) -> Option<Self> {
        let number = |key: &str| guest.get(key).and_then(Value::as_u64);
        let cpu_kind = guest.get("cpu_kind").and_then(Value::as_str)?.to_owned();
        let gpus = number("gpus").unwrap_or(0);
        Some(Self { cpu_kind, cpus: number("cpus")?, memory_mb: number("memory_mb")?, region: region.to_owned(), gpus })
    }

    /// Returns the price of one for a month, in US dollars; `None` where it is not known (a GPU, an unknown region or kind of CPU).
    pub fn monthly(&self) -> Option<f64> {
        let cpu = match self.cpu_kind.as_str() {
            "shared" => prices::SHARED_CPU,
            "performance" => prices::PERFORMANCE_CPU,
            _ => return None,
        };
        let markup = if self.region.is_empty() { Some(1.0) } else { prices::markup(&self.region) };
        let markup = markup.filter(|_| self.gpus == 0)?;
        Some((self.cpus as f64 * cpu + self.memory_mb as f64 / 1024.0 * prices::MEMORY_GB) * markup)
    }
}

impl fmt::Display for MachineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cpu_kind)?;
        if self.cpu_kind == "shared" {
            f.write_str("-cpu")?;
        }
        write!(f, "-{}x {} MB", self.cpus, self.memory_mb)?;
        if self.gpus > 0 {
            write!(f, " with {} GPU", self.gpus)?;
        }
        if self.region.is_empty() { Ok(()) } else { write!(f, " in {}", self.region) }
    }
}

impl Holdings {
    /// Adds a machine; one without a known size counts as a machine of unknown price.
    pub fn add(&mut self, guest: Option<&Value>, region: &str, runs: bool) {
        if !runs {
            self.stopped += 1;
            return;
        }
        let unknown = || MachineKind { cpu_kind: "unknown".to_owned(), cpus: 0, memory_mb: 0, region: region.to_owned(), gpus: 0 };
        let kind = guest.and_then(|guest| MachineKind::of(guest, region)).unwrap_or_else(unknown);
        *self.machines.entry(kind).or_default() += 1;
    }

    /// Returns what it costs a month.
    pub fn monthly(&self) -> MonthlyCost {
        let mut lines: Vec<(String, Option<f64>)> = self
            .machines
            .iter()
            .map(|(kind, count)| (format!("{count} × {kind}"), kind.monthly().map(|usd| usd * f64::from(*count))))
            .collect();
        if self.volume_gb > 0 {
            lines.push((format!("{} GB of volumes", self.volume_gb), Some(f64::from(self.volume_gb) * prices::VOLUME_GB)));
        }
        if self.dedicated_ipv4 > 0 {
            lines
                .push((format!("{} × dedicated IPv4", self.dedicated_ipv4), Some(f64::from(self.dedicated_ipv4) * prices::DEDICATED_IPV4)));
        }
        let mut left_out: Vec<String> =
            lines.iter().filter(|(_, usd)| usd.is_none()).map(|(what, _)| format!("{what}: its price is not known")).collect();
        if self.stopped > 0 {
            left_out.push(format!("{} stopped: ${} a GB of root file system", in_words(self.stopped), prices::STOPPED_ROOTFS_GB));
        }
        left_out.push("traffic, snapshots, certificates".to_owned());
        MonthlyCost {
            usd: cents(lines.iter().filter_map(|(_, usd)| *usd).sum()),
            prices_as_of: prices::AS_OF,
            items: lines.into_iter().map(|(what, usd)| CostItem { what, usd: usd.map(cents) }).collect(),
            left_out,
        }
    }
}

impl MonthlyCost {
    /// Returns it in one line: `$7.78 a month (prices of 2026-08)`, with what changed since `before` where it is given.
    pub fn line(&self, before: Option<&Self>) -> String {
        let change = before.map(|before| cents(self.usd - before.usd)).filter(|change| change.abs() >= 0.01);
        let change = change.map(|change| format!(", {}${:.2}", if change < 0.0 { "−" } else { "+" }, change.abs())).unwrap_or_default();
        let unknown = if self.items.iter().any(|item| item.usd.is_none()) { " and what has no known price" } else { "" };
        format!("${:.2} a month{unknown}{change} (prices of {})", self.usd, self.prices_as_of)
    }
}

fn in_words(machines: u32) -> String {
    if machines == 1 { "1 machine".to_owned() } else { format!("{machines} machines") }
}

/// Rounds to cents as Fly's calculator prints them.
fn cents(usd: f64) -> f64 {
    format!("{usd:.2}").parse().unwrap_or(usd)
}
