//! Apps, their addresses, and what the token is.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::http::{Pace, Platform};
use crate::platform::fly::client::{FlyClient, paced};
use crate::platform::fly::wire::{Address, Addresses, App, Apps, CurrentTokens};
use crate::platform::{PlatformError, PlatformErrorKind};

impl FlyClient {
    /// Reads an app.
    pub(in crate::platform::fly) async fn get_app(&self, app: &str) -> Result<App, PlatformError> {
        self.read(self.flaps("get_app", Method::GET, &["apps", app]), &format!("app {app}")).await
    }

    /// Lists the apps of an organisation; an organisation's token may.
    pub(in crate::platform::fly) async fn list_apps(&self, organization: &str) -> Result<Vec<App>, PlatformError> {
        let thing = format!("organisation {organization}");
        let mut call = self.flaps("list_apps", Method::GET, &["apps"]);
        call.url.query_pairs_mut().append_pair("org_slug", organization);
        let listed: Apps = self.read(call, &thing).await?;
        match listed.total_apps {
            Some(total) if total > listed.apps.len() => {
                let why = format!("{total} apps, of which {} are listed", listed.apps.len());
                Err(PlatformError::new(Platform::Fly, "list_apps", thing, PlatformErrorKind::Unexpected(why)))
            }
            _ => Ok(listed.apps),
        }
    }

    /// Makes an app in a private network of its own. Never repeated after a lost answer: the caller looks for it.
    pub(in crate::platform::fly) async fn create_app(&self, app: &str, organization: &str, network: &str) -> Result<(), PlatformError> {
        let body = json!({"name": app, "org_slug": organization, "network": network});
        let call = self.flaps("create_app", Method::POST, &["apps"]).json(&body);
        self.ask(call, &format!("app {app}")).await.map(drop)
    }

    /// Removes an app with its machines, volumes and addresses. Gone already is done.
    pub(in crate::platform::fly) async fn delete_app(&self, app: &str) -> Result<(), PlatformError> {
        // A hundred a minute at most (fly.md 3).
        let pace = Pace { key: "fly.delete_app".to_owned(), interval: Duration::from_millis(600), burst: 10 };
        let mut call = self.flaps("delete_app", Method::DELETE, &["apps", app]).pace(pace).repeatable();
        call.url.query_pairs_mut().append_pair("force", "true");
        match self.ask(call, &format!("app {app}")).await {
            Err(error) if matches!(error.kind, PlatformErrorKind::NotFound(_)) => Ok(()),
            other => other.map(drop),
        }
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
