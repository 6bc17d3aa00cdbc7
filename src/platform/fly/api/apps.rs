//! Apps, their addresses, and what the token is.

use http::Method;
use serde_json::json;

use crate::platform::PlatformError;
use crate::platform::fly::client::{FlyClient, paced};
use crate::platform::fly::wire::{Address, Addresses, App, CurrentTokens};

impl FlyClient {
    /// Reads an app.
    pub(in crate::platform::fly) async fn get_app(&self, app: &str) -> Result<App, PlatformError> {
        self.read(self.flaps("get_app", Method::GET, &["apps", app]), &format!("app {app}")).await
    }

    /// Reads what the token is.
    pub(in crate::platform::fly) async fn current_tokens(&self) -> Result<CurrentTokens, PlatformError> {
        self.read(self.flaps("current_token", Method::GET, &["tokens", "current"]), "the token").await
    }

    /// Lists an app's addresses.
    pub(in crate::platform::fly) async fn addresses(&self, app: &str) -> Result<Vec<Address>, PlatformError> {
        let call = self.flaps("list_addresses", Method::GET, &["apps", app, "ip_assignments"]);
        let addresses: Addresses = self.read(call, &format!("the addresses of app {app}")).await?;
        Ok(addresses.ips)
    }

    /// Gives an app an address of `kind`: `v6`, `shared_v4`, … Not repeated after a lost answer: list first.
    pub(in crate::platform::fly) async fn assign_address(&self, app: &str, kind: &str) -> Result<(), PlatformError> {
        let call = paced(self.flaps("assign_address", Method::POST, &["apps", app, "ip_assignments"]), app).json(&json!({"type": kind}));
        self.ask(call, &format!("the addresses of app {app}")).await.map(drop)
    }

    /// Asks whether the organisation's limits allow bluegreen for an app; `None` when nobody says.
    pub(in crate::platform::fly) async fn can_bluegreen(&self, app: &str) -> Option<bool> {
        let query = "query($appName: String!) { canPerformBluegreenDeployment(name: $appName) }";
        let call = self.graphql("can_bluegreen", query, &json!({"appName": app}));
        let answer: serde_json::Value = self.read(call, &format!("app {app}")).await.ok()?;
        answer.pointer("/data/canPerformBluegreenDeployment").and_then(serde_json::Value::as_bool)
    }
}
