//! How a hostname leads to a project: attached first, then a CNAME through Cloudflare's proxy (cloudflare.md 7.6, 8).

use super::PagesTarget;
use crate::platform::{Attached, Leading, PlatformError, RecordKind, Scope};

/// What keeps a domain from being active (cloudflare.md 7.6).
const HINT: &str = "add it among the project's custom domains in the dashboard, before its record; a CAA record without pki.goog, letsencrypt.org and \
                    ssl.com, or an Access policy or a worker on the hostname, keeps it from being active";

impl PagesTarget {
    pub(super) async fn leads(&self, host: &str) -> Result<Leading, PlatformError> {
        let project = self.project().await?;
        let domains = self.client.domains(&self.settings.project).await?;
        let attached = match domains.into_iter().find(|domain| domain.name.eq_ignore_ascii_case(host)) {
            None => Attached::No,
            Some(domain) => match domain.status {
                Some(status) if status != "active" => Attached::UnderWay(status),
                _ => Attached::Yes,
            },
        };
        let content = project.subdomain.unwrap_or_else(|| format!("{}.pages.dev", self.settings.project));
        Ok(Leading { records: vec![(RecordKind::Cname, content)], proxied: true, attached, attach_hint: HINT.to_owned() })
    }

    /// Attaches a hostname; after a lost answer, or a refusal because it is there already, the project's own list decides.
    pub(super) async fn attach_domain(&self, scope: &Scope, host: &str) -> Result<(), PlatformError> {
        self.may_go_on(scope)?;
        let Err(error) = self.client.add_domain(&self.settings.project, host).await else { return Ok(()) };
        let domains = self.client.domains(&self.settings.project).await?;
        if domains.iter().any(|domain| domain.name.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        if !error.ambiguous() {
            return Err(error.hint(HINT));
        }
        self.client.add_domain(&self.settings.project, host).await
    }
}
