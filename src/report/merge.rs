//! Several jobs' reports as one: gates run on many machines, the release on another.

use super::Report;
use crate::event::Outcome;

impl Report {
    /// Returns one report of a run that was spread over jobs, in the order in which they are given.
    ///
    /// The release is that of the job that had one; without one the worst outcome counts. Times are moved to the earliest beginning.
    pub fn merged(reports: Vec<Self>) -> Self {
        let begun = reports.iter().filter_map(|report| report.started).min();
        let decisive = reports.iter().enumerate().max_by_key(|(index, report)| (rank(report), std::cmp::Reverse(*index)));
        let Some(decisive) = decisive.map(|(index, _)| index) else { return Self::default() };
        let mut whole = Self { gates: Vec::new(), images: Vec::new(), notices: Vec::new(), ..reports[decisive].clone() };
        whole.requests.clear();
        for (index, report) in reports.into_iter().enumerate() {
            let later = begun
                .zip(report.started)
                .map_or(0, |(begun, started)| u64::try_from(started.as_millisecond().saturating_sub(begun.as_millisecond())).unwrap_or(0));
            let ended = report.elapsed + std::time::Duration::from_millis(later);
            whole.elapsed = whole.elapsed.max(ended);
            if index == decisive {
                whole.phases.iter_mut().chain(whole.targets.iter_mut().flat_map(|it| &mut it.steps)).for_each(|it| it.started_ms += later);
            }
            for mut gate in report.gates {
                gate.started_ms += later;
                match whole.gates.iter_mut().find(|it| it.name == gate.name) {
                    // A leg that did not run the gate knows less than the one that did.
                    Some(known) if known.attempts == 0 || gate.failed() => *known = gate,
                    Some(_) => {}
                    None => whole.gates.push(gate),
                }
            }
            for mut image in report.images {
                image.started_ms += later;
                match whole.images.iter_mut().find(|it| it.name == image.name) {
                    Some(known) if known.digest.is_none() => *known = image,
                    Some(_) => {}
                    None => whole.images.push(image),
                }
            }
            whole.notices.extend(report.notices);
            for (platform, count) in report.requests {
                *whole.requests.entry(platform).or_default() += count;
            }
            whole.product = whole.product.or(report.product);
            whole.environment = whole.environment.or(report.environment);
        }
        whole.started = begun;
        whole
    }
}

/// How much an outcome counts against others: what a release did to users first, then what kept it from beginning.
fn rank(report: &Report) -> u8 {
    match report.outcome {
        Some(Outcome::Stuck) => 9,
        Some(Outcome::RolledBack) => 8,
        Some(Outcome::Cancelled) if report.release.is_some() => 7,
        Some(Outcome::GatesFailed | Outcome::PreviewFailed) => 6,
        Some(Outcome::PreflightFailed) => 5,
        Some(Outcome::Cancelled) => 4,
        Some(Outcome::Held) => 3,
        Some(Outcome::Superseded) => 2,
        Some(Outcome::Finished | Outcome::Carried) if report.release.is_some() => 7,
        Some(Outcome::Finished | Outcome::Carried) => 1,
        None => 0,
    }
}
