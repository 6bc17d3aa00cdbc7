//! An app's secrets: names and digests out, values in.

use std::collections::BTreeMap;

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::platform::PlatformError;
use crate::platform::fly::client::{FlyClient, paced};
use crate::platform::fly::wire::SecretList;

impl FlyClient {
    /// Reads the names of an app's secrets, each with Fly's digest of its value.
    pub(in crate::platform::fly) async fn secrets(&self, app: &str) -> Result<BTreeMap<String, String>, PlatformError> {
        let call = self.flaps("list_secrets", Method::GET, &["apps", app, "secrets"]);
        Ok(digests(self.read(call, &format!("the secrets of app {app}")).await?))
    }

    /// Sets secrets and returns every secret's digest afterwards, with the version that machines must have to see them. No running machine is
    /// touched. Setting the same again has no further effect (fly.md 20), so it is repeated after a lost answer.
    pub(in crate::platform::fly) async fn set_secrets(
        &self,
        app: &str,
        values: &BTreeMap<&str, &SecretString>,
    ) -> Result<(BTreeMap<String, String>, Option<u64>), PlatformError> {
        let values: BTreeMap<&str, &str> = values.iter().map(|(name, value)| (*name, value.expose_secret())).collect();
        let call = self.flaps("set_secrets", Method::POST, &["apps", app, "secrets"]);
        let call = paced(call.json(&json!({"values": values})), app).repeatable();
        let answer: SecretList = self.read(call, &format!("the secrets of app {app}")).await?;
        let version = answer.version.or(answer.older_version);
        Ok((digests(answer), version))
    }
}

fn digests(secrets: SecretList) -> BTreeMap<String, String> {
    secrets.secrets.into_iter().map(|secret| (secret.name, secret.digest)).collect()
}
