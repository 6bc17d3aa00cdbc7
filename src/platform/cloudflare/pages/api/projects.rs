//! Projects: what serves, settings, hostnames.

use http::Method;

use crate::platform::PlatformError;
use crate::platform::cloudflare::client::CloudflareClient;
use crate::platform::cloudflare::envelope::Refusal;
use crate::platform::cloudflare::pages::wire::{Domain, Project};

impl CloudflareClient {
    /// Returns a project by name, with the deployment that is its production.
    pub(in crate::platform::cloudflare) async fn project(&self, project: &str) -> Result<Project, PlatformError> {
        let call = self.in_account("get_project", Method::GET, &["pages", "projects", project], &[]);
        self.read(call, &format!("project {project}")).await.map_err(Refusal::plain)
    }

    /// Returns the custom hostnames of a project.
    pub(in crate::platform::cloudflare) async fn domains(&self, project: &str) -> Result<Vec<Domain>, PlatformError> {
        let call = self.in_account("list_domains", Method::GET, &["pages", "projects", project, "domains"], &[]);
        let domains: Option<Vec<Domain>> = self.read(call, &format!("domains of {project}")).await.map_err(Refusal::plain)?;
        Ok(domains.unwrap_or_default())
    }

    /// Attaches a custom hostname to a project. Never repeated by the transport: the list tells after a lost answer.
    pub(in crate::platform::cloudflare) async fn add_domain(&self, project: &str, host: &str) -> Result<(), PlatformError> {
        let call = self
            .in_account("add_domain", Method::POST, &["pages", "projects", project, "domains"], &[])
            .json(&serde_json::json!({ "name": host }));
        self.ask(call, &format!("domain {host}")).await.map(drop).map_err(Refusal::plain)
    }
}
