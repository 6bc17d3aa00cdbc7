//! What runs now, at the bottom of a terminal: one line for each gate, image and target at work.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plain::plain;
use super::words::phase;
use crate::event::{Event, EventKind};

/// How often the spinners turn.
const TICK: Duration = Duration::from_millis(120);

/// The lines of what runs now.
pub(super) struct Progress {
    bars: MultiProgress,
    style: ProgressStyle,
    running: BTreeMap<String, ProgressBar>,
}

impl Progress {
    /// Returns progress on standard error.
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}");
        // The template is a constant; if it ever broke, the plain spinner would do.
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner()).tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ");
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), style, running: BTreeMap::new() }
    }

    /// Writes a line above what runs.
    pub(super) fn print(&self, line: &str) {
        // An empty line would be dropped.
        let _ = self.bars.println(if line.is_empty() { " " } else { line });
    }

    /// Begins, changes and ends lines as events come.
    pub(super) fn on(&mut self, event: &Event) {
        match &event.kind {
            EventKind::GateStarted { gate, .. } => self.begin(format!("gate {gate}"), String::new()),
            EventKind::GateFinished { gate, .. } => self.end(&format!("gate {gate}")),
            EventKind::BuildStarted { image, .. } => self.begin(format!("image {image}"), String::new()),
            EventKind::BuildFinished { image, .. } => self.end(&format!("image {image}")),
            EventKind::PhaseStarted { phase: it } => self.begin(phase(*it).to_owned(), String::new()),
            EventKind::PhaseFinished { phase: it, .. } => self.end(phase(*it)),
            EventKind::TargetStep { target, step, .. } => self.begin(format!("  {target}"), plain(step)),
            EventKind::TargetFinished { target, .. } => self.end(&format!("  {target}")),
            _ => {}
        }
    }

    /// Takes all lines away.
    pub(super) fn clear(&mut self) {
        self.running.clear();
        let _ = self.bars.clear();
    }

    fn begin(&mut self, what: String, message: String) {
        let bar = self.running.entry(what).or_insert_with_key(|what| {
            let bar = self.bars.add(ProgressBar::new_spinner().with_style(self.style.clone()).with_prefix(what.clone()));
            bar.enable_steady_tick(TICK);
            bar
        });
        bar.set_message(message);
    }

    fn end(&mut self, what: &str) {
        if let Some(bar) = self.running.remove(what) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }
}
