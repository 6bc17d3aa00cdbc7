//! Prepare: the files are stored, and a version is there that no user gets.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::hints::Hints;
use super::stamp::Stamp;
use super::wire::{Share, Version};
use super::{READ_LAG, WorkerTarget};
use crate::platform::cloudflare::pages::api::Form;
use crate::platform::{Artifact, Errand, Health, Observed, PlatformError, PlatformErrorKind, Revision, RevisionDigest, Scope};

/// The runtime's behaviour of which day a version asks for. It runs no code of the product, so that any day will do; every version has one
/// (vendor's client).
const COMPATIBILITY_DATE: &str = "2025-04-01";
/// How often a creation is sent whose answers are lost.
const CREATIONS: usize = 3;
/// The pause between two looks for a version whose creation was not answered.
const LOOKUP_PAUSE: Duration = Duration::from_millis(500);

impl WorkerTarget {
    pub(super) async fn prepare_revision(&self, scope: &Scope, artifact: &Artifact, before: &Observed) -> Result<Revision, PlatformError> {
        let digest = self.would_be(artifact)?;
        let Artifact::Directory { path, .. } = artifact else {
            return Err(self.error("prepare", PlatformErrorKind::Impossible("a worker target serves directories only".to_owned())));
        };
        let stamp = Stamp::of(scope, &digest);
        let version = match self.find(scope, &stamp).await? {
            Some(version) => {
                scope.step(&self.settings.target, format!("found its {}", version.label()));
                version
            }
            None => self.make(scope, path, &digest, &stamp).await?,
        };
        let preview = self.preview(&version).await?;
        if preview.is_none() {
            self.admit(scope, &version, before).await?;
        }
        let hints = Hints { version: version.id.clone(), preview };
        Ok(Revision { digest, release: Some(scope.release.to_string()), hints: hints.to_value(), ..self.revision_of(&version, None) })
    }

    /// Uploads what is missing, then makes the version; after a lost answer it is looked up by its mark before anything is sent again.
    async fn make(&self, scope: &Scope, path: &std::path::Path, digest: &RevisionDigest, stamp: &Stamp) -> Result<Version, PlatformError> {
        let Some(message) = stamp.message() else {
            let text = format!("the release's id {} is too long to be written on a version", scope.release);
            return Err(self.error("prepare", PlatformErrorKind::Impossible(text)));
        };
        let annotations = json!({ "workers/message": message, "workers/tag": stamp.tag });
        let metadata = self.metadata(scope, path, digest, annotations).await?;
        let mut creations = 0;
        loop {
            self.may_go_on(scope)?;
            let mut form = Form::new(&self.client.transport.chance().word(32));
            form.text("metadata", &metadata.to_string());
            let error = match self.client.create_version(&self.settings.worker, form).await {
                Ok(made) if !made.id.is_empty() => return Ok(made),
                Ok(_) => self.error("create_version", PlatformErrorKind::Unexpected("the version has no id".to_owned())),
                Err(error) => error,
            };
            if !error.ambiguous() {
                return Err(error);
            }
            creations += 1;
            scope.step(&self.settings.target, "the answer to the creation was lost: looking for the version");
            if let Some(made) = self.look_for(scope, stamp).await? {
                return Ok(made);
            }
            if creations == CREATIONS {
                return Err(error);
            }
        }
    }

    /// Stores a directory, and returns what a version of it is described with.
    pub(super) async fn metadata(
        &self,
        errand: &impl Errand,
        path: &std::path::Path,
        digest: &RevisionDigest,
        annotations: Value,
    ) -> Result<Value, PlatformError> {
        let site = self.read_site(errand, path, digest).await?;
        let completion = self.store(errand, &site).await?;
        Ok(json!({
            "compatibility_date": COMPATIBILITY_DATE,
            "assets": { "jwt": completion, "config": self.config(&site) },
            "annotations": annotations,
        }))
    }

    /// Looks for the version for as long as lists may lag.
    async fn look_for(&self, scope: &Scope, stamp: &Stamp) -> Result<Option<Version>, PlatformError> {
        let until = Instant::now() + READ_LAG;
        loop {
            let found = self.find(scope, stamp).await?;
            if found.is_some() || Instant::now() >= until {
                return Ok(found);
            }
            self.pause(scope, LOOKUP_PAUSE).await?;
        }
    }

    /// Returns the version of this release and revision that is there already.
    async fn find(&self, scope: &Scope, stamp: &Stamp) -> Result<Option<Version>, PlatformError> {
        let listed = self.client.versions(&self.settings.worker).await?;
        let own = |version: &Version| version.stamp().is_some_and(|own| own.is_of(scope) && own.revision() == stamp.revision());
        Ok(listed.into_iter().find(own))
    }

    /// Returns a version's own address, where it has one: the first eight characters of its id before what the worker's setting says (vendor's
    /// client), or else before the worker's hostname on workers.dev.
    async fn preview(&self, version: &Version) -> Result<Option<String>, PlatformError> {
        let of_worker = self.client.on_workers_dev(&self.settings.worker).await?;
        let none = version.metadata.as_ref().and_then(|metadata| metadata.has_preview) == Some(false);
        if !of_worker.previews_enabled || none {
            return Ok(None);
        }
        let short = version.id.get(..8).unwrap_or(&version.id);
        if let Some(suffix) = of_worker.preview_url_suffix {
            return Ok(Some(format!("https://{short}{suffix}")));
        }
        Ok(self.workers_dev().await?.map(|host| format!("https://{short}-{host}")))
    }

    /// Takes the version into the deployment with none of the users: only what is in it can be chosen by a header (vendor's documentation).
    async fn admit(&self, scope: &Scope, version: &Version, before: &Observed) -> Result<(), PlatformError> {
        let Some(in_force) = self.in_force().await? else { return Ok(()) };
        if in_force.versions.iter().any(|share| share.version_id == version.id) {
            return Ok(());
        }
        let served = before.single().and_then(Hints::of).map(|hints| hints.version);
        let (Some(served), Some(now)) = (served, in_force.single()) else {
            let text = "users get several versions now, beside which a third cannot be admitted".to_owned();
            let hint = "switch preview addresses on in the worker's settings (Domains & Routes), or end the gradual deployment";
            return Err(self.error("prepare", PlatformErrorKind::Refused(text)).hint(hint));
        };
        if now != served {
            let text = format!("users get the version {now}, which this release did not find there");
            return Err(self.error("prepare", PlatformErrorKind::Foreign(text)));
        }
        let share = |id: &str, percentage: f64| Share { version_id: id.to_owned(), percentage };
        let shares = [share(now, 100.0), share(&version.id, 0.0)];
        scope.step(&self.settings.target, format!("{} joins the deployment with 0 %", version.label()));
        let message = format!("cutover {} asks {}", scope.release, version.label());
        match self.client.deploy(&self.settings.worker, &shares, &message, false).await {
            Err(error) if error.ambiguous() => {
                let known = self.in_force().await?.is_some_and(|now| now.versions.iter().any(|share| share.version_id == version.id));
                // Idempotent: the same deployment once more gives users the same.
                if known { Ok(()) } else { self.client.deploy(&self.settings.worker, &shares, &message, false).await }
            }
            other => other,
        }
    }

    pub(super) async fn probe_revision(&self, revision: &Revision) -> Result<Health, PlatformError> {
        let Some(hints) = Hints::of(revision) else { return Ok(Health::Unknown("it has no version".to_owned())) };
        Ok(match self.client.version(&self.settings.worker, &hints.version).await? {
            None => Health::Unhealthy(format!("the version {} is gone", hints.version)),
            Some(_) => Health::Healthy,
        })
    }
}
