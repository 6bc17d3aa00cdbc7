//! Snapshots of the volumes of an app, which may be another one than is released: its database.

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;

use crate::platform::PlatformError;
use crate::platform::fly::client::{FlyClient, paced};
use crate::platform::fly::live::Volume;

/// A snapshot, as far as it is looked at (fly.md 7).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(in crate::platform::fly) struct VolumeSnapshot {
    pub(in crate::platform::fly) id: String,
    pub(in crate::platform::fly) status: Option<String>,
    pub(in crate::platform::fly) created_at: Option<String>,
}

impl VolumeSnapshot {
    /// Returns whether it can be gone back to. One without a status is old: only what is being made has others.
    pub(in crate::platform::fly) fn is_complete(&self) -> bool {
        matches!(self.status.as_deref(), None | Some("" | "created" | "complete"))
    }

    /// Returns whether it never will be. No source names the word; none of the known states begins so.
    pub(in crate::platform::fly) fn has_failed(&self) -> bool {
        self.status.as_deref().is_some_and(|status| status.starts_with("fail") || status.starts_with("error"))
    }

    /// Returns when it was made, where that can be read.
    pub(in crate::platform::fly) fn made(&self) -> Option<Timestamp> {
        self.created_at.as_deref()?.parse().ok()
    }
}

impl FlyClient {
    /// Lists the volumes of an app of which a snapshot can be made.
    pub(in crate::platform::fly) async fn database_volumes(&self, app: &str) -> Result<Vec<Volume>, PlatformError> {
        let call = paced(self.flaps("list_volumes", Method::GET, &["apps", app, "volumes"]), app);
        let volumes: Vec<Volume> = self.read(call, &format!("the volumes of app {app}")).await?;
        Ok(volumes.into_iter().filter(Volume::stays).collect())
    }

    /// Lists the snapshots of a volume. One that was just asked for may be missing for a while (databases.md 3).
    pub(in crate::platform::fly) async fn list_snapshots(&self, app: &str, volume: &str) -> Result<Vec<VolumeSnapshot>, PlatformError> {
        let call = paced(self.flaps("list_snapshots", Method::GET, &["apps", app, "volumes", volume, "snapshots"]), volume);
        self.read(call, &of(app, volume)).await
    }

    /// Asks for a snapshot; the answer does not say which. Never repeated after a lost answer: the caller looks into the list first.
    pub(in crate::platform::fly) async fn create_snapshot(&self, app: &str, volume: &str) -> Result<(), PlatformError> {
        let call = paced(self.flaps("create_snapshot", Method::POST, &["apps", app, "volumes", volume, "snapshots"]), volume);
        self.ask(call, &of(app, volume)).await.map(drop)
    }
}

/// Names a volume for messages.
pub(in crate::platform::fly) fn of(app: &str, volume: &str) -> String {
    format!("volume {volume} of app {app}")
}
