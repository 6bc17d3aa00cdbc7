//! An app on Fly.io.

pub mod endpoints;
pub mod machine_config;
pub mod token;
pub mod toml;

use super::*;
use crate::http::Platform;
use crate::id::Name;

/// An app on Fly.io.
#[derive(Debug)]
pub enum FlyTarget {}

impl Target for FlyTarget {
    fn name(&self) -> &Name {
        match *self {}
    }
    fn platform(&self) -> Platform {
        match *self {}
    }
    fn thing(&self) -> &str {
        match *self {}
    }
    fn capabilities(&self) -> Capabilities {
        match *self {}
    }
    fn public_url(&self) -> Option<String> {
        match *self {}
    }
    async fn preflight(&self, _: &Scope) -> Result<Vec<Problem>, PlatformError> {
        match *self {}
    }
    async fn observe(&self, _: &Scope) -> Result<Observed, PlatformError> {
        match *self {}
    }
    async fn digest_of(&self, _: &Artifact, _: &Observed) -> Result<RevisionDigest, PlatformError> {
        match *self {}
    }
    async fn prepare(&self, _: &Scope, _: &Artifact, _: &Observed, _: &[PlainGet]) -> Result<Revision, PlatformError> {
        match *self {}
    }
    async fn probe(&self, _: &Scope, _: &Revision) -> Result<Health, PlatformError> {
        match *self {}
    }
    fn prepared_url(&self, _: &Revision) -> Option<(String, Vec<(String, String)>)> {
        match *self {}
    }
    async fn serve(&self, _: &Scope, _: &Revision) -> Result<Observed, PlatformError> {
        match *self {}
    }
    async fn unserve(&self, _: &Scope, _: &Revision) -> Result<Observed, PlatformError> {
        match *self {}
    }
    async fn prune(&self, _: &Scope, _: &[Revision]) -> Result<(), PlatformError> {
        match *self {}
    }
    async fn restore(&self, _: &Scope, _: &Settings) -> Result<(), PlatformError> {
        match *self {}
    }
    async fn release_holds(&self, _: &Scope) {
        match *self {}
    }
}
