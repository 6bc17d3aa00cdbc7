//! What marks a deployment as ours: its metadata.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::platform::{RevisionDigest, Scope};

/// The product.
pub(super) const PRODUCT: &str = "cutoverProduct";
/// The environment.
pub(super) const ENVIRONMENT: &str = "cutoverEnvironment";
/// The release that made it; what a lost answer is looked up by.
pub(super) const RELEASE: &str = "cutoverRelease";
/// Its revision's digest.
pub(super) const REVISION: &str = "cutoverRevision";
/// Its artifact's digest.
pub(super) const ARTIFACT: &str = "cutoverArtifact";
/// The commit, by the name that the vendor's git integration and searches use.
pub(super) const COMMIT: &str = "githubCommitSha";
/// The branch, likewise.
pub(super) const BRANCH: &str = "githubCommitRef";
/// The hook that started it, which the vendor adds (report).
pub(super) const HOOK: &str = "deployHookId";

/// Returns the metadata of a deployment of this release.
pub(super) fn of(scope: &Scope, revision: &RevisionDigest, artifact: &str, branch: Option<&str>) -> BTreeMap<&'static str, String> {
    let mut meta = BTreeMap::from([
        (PRODUCT, scope.product.to_string()),
        (ENVIRONMENT, scope.environment.to_string()),
        (RELEASE, scope.release.to_string()),
        (REVISION, revision.to_string()),
        (ARTIFACT, artifact.to_owned()),
    ]);
    // Without git the commit is all zeros.
    if scope.commit.bytes().any(|byte| byte != b'0') {
        meta.insert(COMMIT, scope.commit.clone());
    }
    meta.extend(branch.map(|branch| (BRANCH, branch.to_owned())));
    meta
}

/// Returns one member of metadata as text.
pub(super) fn text<'a>(meta: &'a BTreeMap<String, Value>, key: &str) -> Option<&'a str> {
    meta.get(key).and_then(Value::as_str)
}

/// Returns whether a deployment was made for this product and environment.
pub(super) fn is_ours(meta: &BTreeMap<String, Value>, scope: &Scope) -> bool {
    text(meta, PRODUCT) == Some(scope.product.as_str()) && text(meta, ENVIRONMENT) == Some(scope.environment.as_str())
}
