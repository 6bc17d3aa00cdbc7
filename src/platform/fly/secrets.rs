//! An app's secrets: which a release sets, and how it knows which differ.
//!
//! They belong to the whole app, cannot be read, and touch no running machine until it is made or changed (fly.md 8). How Fly makes the digests that
//! it lists is nowhere said, so a value here cannot be compared with the one there. Instead a release remembers its own digest of the value beside the
//! one that Fly listed afterwards: where both are as remembered nothing is sent. Everything else is sent, and whether that changed
//! anything is seen by Fly's digest afterwards.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::FlyTarget;
use super::toml::FileSource;
use crate::platform::{KnownSecret, NamedSecret, PlatformError, PlatformErrorKind, Scope, SecretChange};

impl FlyTarget {
    /// Returns the names of every secret without which the app is not released: the manifest's, and those that `fly.toml` makes files of.
    pub(super) fn required_secrets(&self) -> BTreeSet<String> {
        let files = self.settings.config.files.iter().filter_map(|file| match &file.source {
            FileSource::Secret(name) => Some(name.clone()),
            _ => None,
        });
        self.settings.secrets.iter().cloned().chain(files).collect()
    }

    pub(super) fn named_secrets(&self) -> Vec<NamedSecret> {
        let named = |name: &String| NamedSecret {
            name: name.clone(),
            held: self.settings.secret_values.contains_key(name),
            compatible: self.settings.compatible_secrets.contains(name),
        };
        self.settings.secrets.iter().map(named).collect()
    }

    pub(super) async fn differing_secrets(&self, known: &[KnownSecret]) -> Result<Vec<SecretChange>, PlatformError> {
        if self.settings.secret_values.is_empty() {
            return Ok(Vec::new());
        }
        let listed = self.client.secrets(&self.settings.app).await?;
        let change = |(name, value): (&String, &SecretString)| {
            let (digest, was) = (self.digest_of_secret(name, value), listed.get(name).cloned());
            let as_known = |known: &KnownSecret| {
                known.name == *name && known.digest == digest && !known.listed.is_empty() && Some(&known.listed) == was.as_ref()
            };
            let compatible = self.settings.compatible_secrets.contains(name);
            (!known.iter().any(as_known)).then(|| SecretChange { name: name.clone(), digest, was, compatible })
        };
        Ok(self.settings.secret_values.iter().filter_map(change).collect())
    }

    /// Returns those whose digest at Fly is another than before; where Fly lists none, nobody can say that it is the same.
    pub(super) async fn secrets_that_landed(&self, changes: &[SecretChange]) -> Result<Vec<String>, PlatformError> {
        let listed = self.client.secrets(&self.settings.app).await?;
        let as_before = |change: &&SecretChange| {
            let now = listed.get(&change.name);
            now == change.was.as_ref() && now.is_none_or(|digest| !digest.is_empty())
        };
        Ok(changes.iter().filter(|change| !as_before(change)).map(|change| change.name.clone()).collect())
    }

    pub(super) async fn set_held_secrets(&self, scope: &Scope, changes: &[SecretChange]) -> Result<Vec<KnownSecret>, PlatformError> {
        let values: BTreeMap<&str, &SecretString> =
            changes.iter().filter_map(|change| Some((change.name.as_str(), self.settings.secret_values.get(&change.name)?))).collect();
        if values.is_empty() {
            return Ok(Vec::new());
        }
        self.unless_cancelled(scope, "set_secrets")?;
        let (listed, version) = self.client.set_secrets(&self.settings.app, &values).await?;
        let Some(version) = version else {
            let why = "the answer names no version of the secrets, so nobody knows which machines would see them".to_owned();
            return Err(self.error("set_secrets", PlatformErrorKind::Unexpected(why)));
        };
        self.memory().secrets_version = Some(version);
        let known = |change: &SecretChange| KnownSecret {
            name: change.name.clone(),
            digest: change.digest.clone(),
            listed: listed.get(&change.name).cloned().unwrap_or_default(),
        };
        Ok(changes.iter().map(known).collect())
    }

    /// Returns what machines made or changed by this release must see at least; `None` where it has set nothing.
    pub(super) fn secrets_version(&self) -> Option<u64> {
        self.memory().secrets_version
    }

    fn digest_of_secret(&self, name: &str, value: &SecretString) -> String {
        digest_of(&self.client.token_key(), &self.settings.app, name, value)
    }
}

/// Returns a digest of a value under the token as key: whoever reads it in a journal or on a machine cannot try values against it. Of another
/// token it is another digest, and then the value is sent once more.
pub(super) fn digest_of(key: &str, app: &str, name: &str, value: &SecretString) -> String {
    use std::fmt::Write as _;
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    for part in ["cutover secret", app, name, value.expose_secret()] {
        mac.update(part.as_bytes());
        mac.update(&[0]);
    }
    mac.finalize().into_bytes().iter().take(8).fold("hmac:".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
