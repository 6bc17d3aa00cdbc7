//! The sites, the workers and the hostnames of a product on the embedded Cloudflare.

use std::collections::BTreeSet;
use std::path::Path;

use super::{ACCOUNT, CLOUDFLARE_TOKEN, Embedded, REPOSITORY};
use crate::cli::{Failure, targets};
use crate::embedded::cloudflare;
use crate::id::Name;
use crate::manifest::{PagesSource, PagesTarget, Target, TargetPlatform, WorkerTarget};
use crate::settings::variable;

impl Embedded {
    pub(super) fn seed_pages(
        &mut self,
        name: &Name,
        target: &Target,
        pages: &PagesTarget,
        earlier: bool,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), Failure> {
        if !seen.insert(format!("pages/{}", pages.project)) {
            return Ok(());
        }
        let account = pages.account.as_deref().unwrap_or(ACCOUNT);
        self.cloudflare.seed_token(CLOUDFLARE_TOKEN, &[account]);
        let host = target.url.as_deref().and_then(|url| url::Url::parse(url).ok()).and_then(|url| url.host_str().map(str::to_owned));
        let named = target.dns.iter().flat_map(|dns| dns.hosts.iter().cloned());
        let domains: BTreeSet<String> = host.filter(|host| !host.ends_with(".pages.dev")).into_iter().chain(named).collect();
        let domains = domains.into_iter().collect();
        // Pushes build nothing: a release asks for what is built.
        let connected = !matches!(pages.source, PagesSource::Directory(_));
        let repository = connected.then(|| (format!("{}/{}", REPOSITORY.0, REPOSITORY.1), false));
        let subdomain = pages.subdomain.clone();
        let seed = cloudflare::ProjectSeed { domains, repository, subdomain, ..cloudflare::ProjectSeed::new(account, &pages.project) };
        self.cloudflare.seed_project(seed);
        if let PagesSource::Hook { secret_name } = &pages.source {
            let hook = self.cloudflare.seed_hook(&pages.project, &format!("hook-{name}"), "main");
            let base = self.variables.get(variable::CLOUDFLARE_API_BASE_URL).cloned().unwrap_or_default();
            self.variables.insert(secret_name.clone(), format!("{base}{}", hook.unwrap_or_default()));
        }
        if earlier {
            let page = "<!doctype html><title>earlier</title><p>The release before this one.\n";
            let tree = cloudflare::Tree::from([("index.html".to_owned(), page.as_bytes().to_vec())]);
            let full = |error: std::io::Error| Failure::preflight(format!("the embedded Cloudflare cannot keep files: {error}"));
            self.cloudflare.seed_earlier_deployment(&pages.project, &tree).map_err(full)?;
        }
        Ok(())
    }

    pub(super) fn seed_worker(
        &self,
        target: &Target,
        worker: &WorkerTarget,
        earlier: bool,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), Failure> {
        if !seen.insert(format!("worker/{}", worker.name)) {
            return Ok(());
        }
        let account = worker.account.as_deref().unwrap_or(ACCOUNT);
        self.cloudflare.seed_token(CLOUDFLARE_TOKEN, &[account]);
        let host = target.url.as_deref().and_then(|url| url::Url::parse(url).ok()).and_then(|url| url.host_str().map(str::to_owned));
        let named = target.dns.iter().flat_map(|dns| dns.hosts.iter().cloned());
        let domains: BTreeSet<String> = host.filter(|host| !host.ends_with(".workers.dev")).into_iter().chain(named).collect();
        let domains = domains.into_iter().collect();
        if let Some(subdomain) = &worker.subdomain {
            self.cloudflare.name_account(account, subdomain);
        }
        self.cloudflare.seed_worker(cloudflare::WorkerSeed { domains, ..cloudflare::WorkerSeed::new(account, &worker.name) });
        if earlier {
            let page = "<!doctype html><title>earlier</title><p>The release before this one.\n";
            let tree = cloudflare::Tree::from([("index.html".to_owned(), page.as_bytes().to_vec())]);
            let full = |error: std::io::Error| Failure::preflight(format!("the embedded Cloudflare cannot keep files: {error}"));
            self.cloudflare.seed_earlier_version(&worker.name, &tree).map_err(full)?;
        }
        Ok(())
    }

    /// Makes the hostnames of a target exist as they must be, each in a zone of its last two labels.
    pub(super) fn seed_names(&self, root: &Path, name: &Name, target: &Target) {
        for host in target.dns.iter().flat_map(|dns| &dns.hosts) {
            let labels: Vec<&str> = host.split('.').collect();
            let zone = labels[labels.len().saturating_sub(2)..].join(".");
            self.cloudflare.seed_zone(ACCOUNT, &zone);
            match &target.platform {
                TargetPlatform::Pages(pages) => {
                    let subdomain = pages.subdomain.as_deref().unwrap_or(&pages.project);
                    self.cloudflare.point(host, "CNAME", &format!("{subdomain}.pages.dev"), true);
                }
                TargetPlatform::Worker(_) => self.cloudflare.point(host, "AAAA", "100::", true),
                TargetPlatform::Vercel(_) => self.cloudflare.point(host, "CNAME", "cname.vercel-dns.com", false),
                TargetPlatform::Fly(fly) => {
                    let named = || targets::fly_config(root, name, fly).ok().and_then(|config| config.app);
                    let app = fly.app.clone().or_else(named).unwrap_or_default();
                    self.cloudflare.point(host, "CNAME", &format!("{app}.fly.dev"), false);
                }
                TargetPlatform::Render(_) => {}
            }
        }
    }
}
