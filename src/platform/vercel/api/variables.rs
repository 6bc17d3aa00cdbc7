//! Environment variables, by name only.

use http::Method;

use crate::platform::PlatformError;
use crate::platform::vercel::client::VercelClient;
use crate::platform::vercel::wire::{Of, Variable, Variables};

impl VercelClient {
    /// Returns the variables that deployments of a project get, of production or previews: names and when they changed, never values.
    pub(in crate::platform::vercel) async fn variables(&self, project: &str, of: Of) -> Result<Vec<Variable>, PlatformError> {
        let call = self.call("list_variables", Method::GET, &["v10", "projects", project, "env"], &[]);
        let page: Variables = self.read(call, &format!("variables of {project}")).await?;
        Ok(page.envs.into_iter().filter(|variable| variable.is_in(of)).collect())
    }
}
