//! From the manifest's `dns` to the hostnames of a release.

use crate::http::Transport;
use crate::manifest::Manifest;
use crate::platform::cloudflare::CloudflareEndpoints;
use crate::platform::cloudflare::dns::{Hostnames, TargetHostnames};

use super::Settings;

/// Returns the way to hostnames whose DNS is Cloudflare's; without a token it asks nobody, and says so where a target has hostnames.
pub fn hostnames(settings: &Settings, transport: &Transport) -> Hostnames {
    let endpoints = CloudflareEndpoints { api: settings.cloudflare_api.clone() };
    let token = settings.cloudflare_token.clone();
    token.map_or_else(Hostnames::default, |token| Hostnames::new(endpoints, token, transport.clone()))
}

/// Returns the same with the hostnames that the targets of `view` (a manifest as one environment sees it) name.
pub fn of_manifest(hostnames: Hostnames, view: &Manifest) -> Hostnames {
    let of = view.targets.iter().filter_map(|(name, target)| {
        let dns = target.dns.as_ref()?;
        Some((name.clone(), TargetHostnames { hosts: dns.hosts.clone(), manage: dns.manage, purge: dns.purge }))
    });
    hostnames.with(of.collect())
}
