//! Who listens to events, and the one place where every text passes the masker.

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::Report;
use super::masked::masked;
use crate::event::Event;
use crate::mask::Masker;

/// Renders events as they come. It cannot fail the run: what it cannot write is lost.
pub trait Sink: Send {
    /// Takes one event.
    fn on(&mut self, event: &Event);
    /// Is called after the last event, with the whole run.
    fn end(&mut self, report: &Report) {
        let _ = report;
    }
}

/// The report as it grows; clones read the same one.
#[derive(Debug, Clone)]
pub struct Tally(watch::Receiver<Report>);

impl Tally {
    /// Returns the report so far.
    pub fn report(&self) -> Report {
        self.0.borrow().clone()
    }

    /// Waits until a release has begun or the run has ended, and returns the report so far.
    pub async fn release_begun(&self) -> Report {
        let mut receiver = self.0.clone();
        let _ = receiver.wait_for(|report| report.release.is_some() || report.exit_code.is_some()).await;
        self.report()
    }

    /// Waits until the event that ends the run has come through, and returns the whole report; what is there if the sinks end before.
    pub async fn finished(&self) -> Report {
        let mut receiver = self.0.clone();
        let _ = receiver.wait_for(|report| report.exit_code.is_some()).await;
        self.report()
    }
}

/// All sinks of a run.
pub struct Sinks {
    masker: Masker,
    all: Vec<Box<dyn Sink>>,
    tally: watch::Sender<Report>,
}

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sinks").field("all", &self.all.len()).finish_non_exhaustive()
    }
}

impl Sinks {
    /// Returns the given sinks behind the masker.
    pub fn new(masker: Masker, sinks: Vec<Box<dyn Sink>>) -> Self {
        Self { masker, all: sinks, tally: watch::Sender::default() }
    }

    /// Returns a reader of the report as it grows.
    pub fn tally(&self) -> Tally {
        Tally(self.tally.subscribe())
    }

    /// Hands one event to every sink.
    pub fn on(&mut self, event: &Event) {
        let event = masked(event, &self.masker);
        self.tally.send_modify(|report| report.fold(&event));
        for sink in &mut self.all {
            sink.on(&event);
        }
    }

    /// Ends every sink and returns the report of the whole run.
    pub fn end(mut self) -> Report {
        let report = self.tally.borrow().clone();
        for sink in &mut self.all {
            sink.end(&report);
        }
        report
    }

    /// Reads events until all their senders are gone, then ends.
    pub async fn run(mut self, mut events: UnboundedReceiver<Event>) -> Report {
        while let Some(event) = events.recv().await {
            self.on(&event);
        }
        self.end()
    }
}
