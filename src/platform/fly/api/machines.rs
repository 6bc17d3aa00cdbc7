//! Machines: read, create, update, start, stop, register, destroy.

use http::Method;
use serde_json::json;

use crate::http::{Call, Pace};
use crate::platform::fly::client::{FlyClient, paced};
use crate::platform::fly::machine_config::MachineConfig;
use crate::platform::fly::wire::{CreateMachine, Machine, MachineVersion, UpdateMachine};
use crate::platform::{PlatformError, PlatformErrorKind};

impl FlyClient {
    /// Lists every machine of an app that is not destroyed. A machine just created may be missing for a second or so.
    pub(in crate::platform::fly) async fn list_machines(&self, app: &str) -> Result<Vec<Machine>, PlatformError> {
        let call = paced(self.flaps("list_machines", Method::GET, &["apps", app, "machines"]), app);
        self.read(call, &format!("app {app}")).await
    }

    /// Lists every machine of an app, those included that are destroyed and still remembered.
    pub(in crate::platform::fly) async fn list_machines_and_deleted(&self, app: &str) -> Result<Vec<Machine>, PlatformError> {
        let mut call = paced(self.flaps("list_machines", Method::GET, &["apps", app, "machines"]), app);
        call.url.query_pairs_mut().append_pair("include_deleted", "true");
        self.read(call, &format!("app {app}")).await
    }

    /// Reads a machine; `None` when it is not there.
    pub(in crate::platform::fly) async fn get_machine(&self, app: &str, id: &str) -> Result<Option<Machine>, PlatformError> {
        // Reads of one machine have a rate of their own: five a second, ten at once.
        let pace = Pace { key: format!("fly.get_machine/{id}"), interval: std::time::Duration::from_millis(200), burst: 10 };
        let call = self.machine("get_machine", Method::GET, app, id, &[], None).pace(pace);
        gone_is_none(self.read(call, &about(app, id)).await)
    }

    /// Creates a machine. Never repeated after a lost answer: the caller looks it up by the intent in its metadata.
    pub(in crate::platform::fly) async fn create_machine(&self, app: &str, body: &CreateMachine) -> Result<Machine, PlatformError> {
        let call = paced(self.flaps("create_machine", Method::POST, &["apps", app, "machines"]), app).json(body);
        self.read(call, &format!("a machine of app {app}")).await
    }

    /// Replaces a machine's config; refused when its version is another than `current_version`.
    pub(in crate::platform::fly) async fn update_machine(
        &self,
        app: &str,
        id: &str,
        body: &UpdateMachine,
        nonce: Option<&str>,
    ) -> Result<Machine, PlatformError> {
        let call = self.machine("update_machine", Method::POST, app, id, &[], nonce).json(body).moving_traffic();
        self.read(call, &about(app, id)).await
    }

    /// Starts a stopped machine, which may begin to work by that. Not repeated after a lost answer: whether it starts is seen by waiting.
    pub(in crate::platform::fly) async fn start_machine(&self, app: &str, id: &str, nonce: Option<&str>) -> Result<(), PlatformError> {
        let call = self.machine("start_machine", Method::POST, app, id, &["start"], nonce).moving_traffic();
        self.ask(call, &about(app, id)).await.map(drop)
    }

    /// Stops a machine with its own signal and time-out; stopping a stopped one succeeds.
    pub(in crate::platform::fly) async fn stop_machine(
        &self,
        app: &str,
        id: &str,
        config: Option<&MachineConfig>,
        nonce: Option<&str>,
    ) -> Result<(), PlatformError> {
        self.ask(self.stop(app, id, config, nonce), &about(app, id)).await.map(drop)
    }

    /// As [`FlyClient::stop_machine`], for one that works until then: what it does is taken over by another.
    pub(in crate::platform::fly) async fn stop_worker(
        &self,
        app: &str,
        id: &str,
        config: Option<&MachineConfig>,
        nonce: Option<&str>,
    ) -> Result<(), PlatformError> {
        self.ask(self.stop(app, id, config, nonce).moving_traffic(), &about(app, id)).await.map(drop)
    }

    fn stop(&self, app: &str, id: &str, config: Option<&MachineConfig>, nonce: Option<&str>) -> Call {
        let stop = config.and_then(|config| config.get("stop_config")).cloned().unwrap_or_else(|| json!({}));
        self.machine("stop_machine", Method::POST, app, id, &["stop"], nonce).json(&stop).repeatable()
    }

    /// Takes a machine out of routing; idempotent.
    pub(in crate::platform::fly) async fn cordon_machine(&self, app: &str, id: &str, nonce: Option<&str>) -> Result<(), PlatformError> {
        let call = self.machine("cordon_machine", Method::POST, app, id, &["cordon"], nonce).repeatable().moving_traffic();
        self.ask(call, &about(app, id)).await.map(drop)
    }

    /// Puts a machine into routing; idempotent.
    pub(in crate::platform::fly) async fn uncordon_machine(&self, app: &str, id: &str, nonce: Option<&str>) -> Result<(), PlatformError> {
        let call = self.machine("uncordon_machine", Method::POST, app, id, &["uncordon"], nonce).repeatable().moving_traffic();
        self.ask(call, &about(app, id)).await.map(drop)
    }

    /// Writes one key of a machine's metadata; idempotent. It neither restarts the machine nor makes a new version of it, and needs no lease.
    pub(in crate::platform::fly) async fn set_metadata(&self, app: &str, id: &str, key: &str, value: &str) -> Result<(), PlatformError> {
        let call = self.machine("set_metadata", Method::POST, app, id, &["metadata", key], None);
        self.ask(call.json(&json!({"value": value})).repeatable(), &about(app, id)).await.map(drop)
    }

    /// Destroys a machine, running or not; gone already is done. flyctl's parameter and the documented one are both sent.
    pub(in crate::platform::fly) async fn destroy_machine(&self, app: &str, id: &str) -> Result<(), PlatformError> {
        let mut call = self.machine("destroy_machine", Method::DELETE, app, id, &[], None).repeatable();
        call.url.query_pairs_mut().append_pair("force", "true").append_pair("kill", "true");
        gone_is_none(self.ask(call, &about(app, id)).await).map(drop)
    }

    /// Reads the past configs of a machine.
    pub(in crate::platform::fly) async fn machine_versions(&self, app: &str, id: &str) -> Result<Vec<MachineVersion>, PlatformError> {
        self.read(self.machine("list_versions", Method::GET, app, id, &["versions"], None), &about(app, id)).await
    }
}

/// Names a machine for messages.
pub(in crate::platform::fly) fn about(app: &str, id: &str) -> String {
    format!("machine {id} of app {app}")
}

/// Returns `None` for what is not there.
pub(super) fn gone_is_none<T>(result: Result<T, PlatformError>) -> Result<Option<T>, PlatformError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind, PlatformErrorKind::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
