//! Projects: what serves, settings, hostnames.

use http::Method;
use serde_json::{Value, json};

use crate::platform::PlatformError;
use crate::platform::vercel::client::VercelClient;
use crate::platform::vercel::wire::{Domain, Domains, Project};

impl VercelClient {
    /// Returns a project by id or name, with its last promotion or rollback where the platform shows one (vendor's client: `rollbackInfo`).
    pub(in crate::platform::vercel) async fn project(&self, project: &str) -> Result<Project, PlatformError> {
        let call = self.call("get_project", Method::GET, &["v9", "projects", project], &[("rollbackInfo", "true")]);
        self.read(call, &format!("project {project}")).await
    }

    /// Sets whether later production deployments of a project take its domains by themselves. Idempotent.
    pub(in crate::platform::vercel) async fn set_auto_assign(&self, project: &str, value: bool) -> Result<(), PlatformError> {
        let call = self
            .call("update_project", Method::PATCH, &["v9", "projects", project], &[])
            .json(&json!({ "autoAssignCustomDomains": value }))
            .repeatable();
        self.ask(call, &format!("project {project}")).await.map(drop)
    }

    /// Returns the hostnames of a project.
    pub(in crate::platform::vercel) async fn domains(&self, project: &str) -> Result<Vec<Domain>, PlatformError> {
        let call = self.call("list_domains", Method::GET, &["v9", "projects", project, "domains"], &[("limit", "100")]);
        let page: Domains = self.read(call, &format!("domains of {project}")).await?;
        Ok(page.domains)
    }

    /// Returns what the platform recommends for the DNS of a hostname.
    pub(in crate::platform::vercel) async fn domain_config(&self, host: &str) -> Result<Value, PlatformError> {
        let call = self.call("get_domain_config", Method::GET, &["v6", "domains", host, "config"], &[]);
        self.read(call, &format!("domain {host}")).await
    }
}
