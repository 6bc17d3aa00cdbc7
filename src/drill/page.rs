//! What drills found, as a table: for a terminal, as Markdown, as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::explore::Summary;
use super::explore::tally::{Tally, ending, wrongs};

/// One row: what was broken, when, how it ended, how long it took.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was broken, in the switchboard's words.
    pub broken: String,
    /// At which request, and after which record.
    pub when: String,
    /// How it ended.
    pub ended: String,
    /// From what went wrong to a consistent world, in milliseconds of the world's time.
    pub consistent_after_ms: Option<u64>,
    /// What did not hold; empty when everything did.
    pub findings: Vec<String>,
    /// The line that replays it.
    pub schedule: String,
}

/// Everything that drills found.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// The product.
    pub product: String,
    /// Cases in which everything that was to go wrong did.
    pub cases: usize,
    /// Distinct combinations of journal state, operation, fault and ending.
    pub combinations: usize,
    /// Cases in which something did not hold.
    pub failed: usize,
    /// The rows: failed ones first.
    pub rows: Vec<Row>,
}

impl Row {
    /// Returns the row of one case.
    pub fn of(summary: &Summary) -> Self {
        let wrongs = wrongs(summary);
        let join = |parts: Vec<&str>| parts.join(" + ");
        Self {
            broken: join(wrongs.iter().map(|(_, what)| what.as_str()).collect()),
            when: format!("{}, after `{}`", join(wrongs.iter().map(|(place, _)| place.as_str()).collect()), summary.state),
            ended: ending(summary),
            consistent_after_ms: summary.until_consistent.and_then(|time| u64::try_from(time.as_millis()).ok()),
            findings: summary.findings.iter().map(ToString::to_string).collect(),
            schedule: summary.schedule.to_string(),
        }
    }

    fn time(&self) -> String {
        self.consistent_after_ms.map_or_else(|| "-".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1000.0))
    }
}

impl Page {
    /// Returns the page of many cases.
    pub fn of(product: &str, tally: &Tally, summaries: &[Summary]) -> Self {
        let mut rows: Vec<Row> = summaries.iter().filter(|summary| summary.fired).map(Row::of).collect();
        rows.sort_by_key(|row| row.findings.is_empty());
        let (cases, combinations, failed) = (tally.counted, tally.cells.len(), tally.failed.len());
        Self { product: product.to_owned(), cases, combinations, failed, rows }
    }

    /// Returns the page as text for a terminal: one line a row, and the failing ones with the line that replays them.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for row in &self.rows {
            let mark = if row.findings.is_empty() { "ok  " } else { "FAIL" };
            let _ = writeln!(text, "{mark} {:<38} {:<52} {:<44} {}", row.broken, row.when, row.ended, row.time());
            for finding in &row.findings {
                let _ = writeln!(text, "     {finding}");
            }
            if !row.findings.is_empty() {
                let _ = writeln!(text, "     --schedule '{}'", row.schedule);
            }
        }
        let _ = writeln!(text, "\n{}", self.verdict());
        text
    }

    /// Returns the page as Markdown.
    pub fn markdown(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let mut text = format!("# Drills of {}\n\n{}\n\n", self.product, self.verdict());
        text.push_str("| what was broken | when | how it ended | consistent after | |\n|---|---|---|---|---|\n");
        for row in &self.rows {
            let verdict =
                if row.findings.is_empty() { "ok".to_owned() } else { format!("**{}** `{}`", row.findings.join("; "), row.schedule) };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                cell(&row.broken),
                cell(&row.when),
                cell(&row.ended),
                row.time(),
                cell(&verdict)
            );
        }
        text
    }

    fn verdict(&self) -> String {
        let cases =
            format!("{} cases of {}, {} combinations of state, request, fault and ending", self.cases, self.product, self.combinations);
        match self.failed {
            0 => format!("{cases}: every one ended on one side."),
            failed => format!("{cases}: {failed} did not hold. Each can be played again by its line."),
        }
    }
}
