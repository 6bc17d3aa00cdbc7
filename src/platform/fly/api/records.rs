//! What people see of a release at Fly: release records and logs. Everything here is best effort.

use http::Method;
use serde_json::{Value, json};

use crate::platform::PlatformError;
use crate::platform::fly::client::FlyClient;
use crate::platform::fly::toml::Strategy;
use crate::platform::fly::wire::{Logs, ReleaseAnswer, ReleaseRecord};

/// How many pages of logs are read at most.
const LOG_PAGES: usize = 40;

impl FlyClient {
    /// Writes a release record; `definition` is the whole effective `fly.toml`. Not idempotent, and harmless when doubled.
    pub(in crate::platform::fly) async fn create_record(
        &self,
        app: &str,
        image: &str,
        strategy: Strategy,
        definition: &Value,
    ) -> Result<ReleaseRecord, PlatformError> {
        let body = json!({
            "app_name": app,
            "build_id": 0,
            "definition": definition,
            "image": image,
            "strategy": strategy.as_str().to_uppercase(),
        });
        let call = self.uiex("create_release", Method::POST, &["releases"]).json(&body);
        let answer: ReleaseAnswer = self.read(call, &format!("the release record of app {app}")).await?;
        Ok(answer.release)
    }

    /// Sets a release record's status: `running`, `complete`, `failed` or `interrupted`.
    pub(in crate::platform::fly) async fn update_record(&self, app: &str, id: &str, status: &str) -> Result<(), PlatformError> {
        let call = self.uiex("update_release", Method::PATCH, &["releases", id]);
        let call = call.json(&json!({"status": status, "metadata": null})).repeatable();
        self.ask(call, &format!("the release record of app {app}")).await.map(drop)
    }

    /// Returns the last lines that a machine wrote, at most `most`; none when the token may not read them (deploy tokens often may not).
    pub(in crate::platform::fly) async fn last_lines(&self, app: &str, id: &str, most: usize) -> Vec<String> {
        let mut lines = self.lines_of(app, id).await.unwrap_or_default();
        lines.split_off(lines.len().saturating_sub(most))
    }

    /// Returns the lines that a machine wrote, page by page. A token that may not read them is an error.
    pub(in crate::platform::fly) async fn lines_of(&self, app: &str, id: &str) -> Result<Vec<String>, PlatformError> {
        let (mut lines, mut token) = (Vec::new(), String::new());
        for _ in 0..LOG_PAGES {
            let mut call = self.logs("list_logs", &["apps", app, "logs"]);
            call.url.query_pairs_mut().append_pair("instance", id);
            if !token.is_empty() {
                call.url.query_pairs_mut().append_pair("next_token", &token);
            }
            let logs: Logs = self.read(call, &format!("the logs of app {app}")).await?;
            let page = logs.data.into_iter().map(|entry| entry.attributes);
            lines.extend(page.filter(|line| line.instance.is_empty() || line.instance == id).map(|line| line.message));
            if logs.meta.next_token.is_empty() || logs.meta.next_token == token {
                break;
            }
            token = logs.meta.next_token;
        }
        Ok(lines)
    }
}
