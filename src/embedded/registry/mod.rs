//! The embedded registry: OCI distribution v2, which stands for `registry.fly.io`.
//!
//! Sources: the OCI distribution specification 1.1, and what Docker's registry 2.8.2 was seen to do where the specification leaves room (404 without
//! a matching `Accept`, 202 to an upload in one POST). Access is Basic, as on `registry.fly.io`: user `x`, password a Fly token; the real one
//! hands out a bearer token for it first, which clients that understand `WWW-Authenticate: Basic` do not notice. Blobs are files in a temporary
//! directory that goes with the last handle.

mod blobs;
mod manifests;
mod refusal;
mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::ground::{Ground, lock};
use super::operation::{Asked, Named};
use super::world::World;

/// The platform's name on the tape and the switchboard.
pub const PLATFORM: &str = "registry";

/// The authority it is added under.
pub const AUTHORITY: &str = "registry.fly.io";

/// A manifest as it was put.
#[derive(Debug, Clone)]
struct Manifest {
    media_type: String,
    bytes: axum::body::Bytes,
}

#[derive(Debug, Default)]
struct State {
    /// Password → the only repository it opens, or `None` for all.
    passwords: BTreeMap<String, Option<String>>,
    open_to_anyone: bool,
    /// Repositories that may be pushed to.
    repositories: BTreeSet<String>,
    /// Digest → manifest, by repository.
    manifests: BTreeMap<String, BTreeMap<String, Manifest>>,
    /// Tag → digest, by repository.
    tags: BTreeMap<String, BTreeMap<String, String>>,
    /// Digests of blobs, by repository.
    blobs: BTreeMap<String, BTreeSet<String>>,
    /// Upload id → its repository.
    uploads: BTreeMap<String, String>,
    /// Digests that are said to exist without content, by repository.
    stand_ins: BTreeMap<String, BTreeSet<String>>,
    /// Other names of this registry: the address it listens on.
    names: BTreeSet<String>,
}

/// The embedded registry of one world; cheap to clone, and the same for every clone.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    ground: Ground,
    directory: tempfile::TempDir,
    state: Mutex<State>,
}

impl Registry {
    /// Adds a registry to `world`. Errors: no temporary directory can be made.
    pub fn add_to(world: &World) -> std::io::Result<Self> {
        let inner = Inner { ground: world.ground().clone(), directory: tempfile::tempdir()?, state: Mutex::default() };
        let registry = Self { inner: Arc::new(inner) };
        world.add(PLATFORM, routes::router(&registry), AUTHORITY, name);
        Ok(registry)
    }

    /// Lets `password` in, for every repository.
    pub fn allow(&self, password: &str) {
        lock(&self.inner.state).passwords.insert(password.to_owned(), None);
    }

    /// Lets `password` in for one repository only, as an app's deploy token.
    pub fn allow_only(&self, password: &str, repository: &str) {
        lock(&self.inner.state).passwords.insert(password.to_owned(), Some(repository.to_owned()));
    }

    /// Makes a repository that can be pushed to. Source: on Fly the app must exist before its image is pushed.
    pub fn open(&self, repository: &str) {
        lock(&self.inner.state).repositories.insert(repository.to_owned());
    }

    /// Lets any password in, for every repository: a sandbox without a product.
    pub fn allow_anyone(&self) {
        lock(&self.inner.state).open_to_anyone = true;
    }

    /// Makes the registry answer to `authority` in image references too, such as the loopback address it listens on.
    pub fn also_called(&self, authority: &str) {
        lock(&self.inner.state).names.insert(authority.to_owned());
    }

    /// Returns whether image references with this registry name mean this registry.
    pub fn is_called(&self, name: &str) -> bool {
        name == AUTHORITY || lock(&self.inner.state).names.contains(name)
    }

    /// Returns the digest of an image by tag or digest, if it is here.
    pub fn find(&self, repository: &str, reference: &str) -> Option<String> {
        let state = lock(&self.inner.state);
        if reference.starts_with("sha256:") {
            let real = state.manifests.get(repository).is_some_and(|manifests| manifests.contains_key(reference));
            let said = state.stand_ins.get(repository).is_some_and(|digests| digests.contains(reference));
            return (real || said).then(|| reference.to_owned());
        }
        state.tags.get(repository)?.get(reference).cloned()
    }

    /// Says that an image exists without having its content: for rehearsals on a machine that cannot build one.
    pub fn stand_in(&self, repository: &str, tag: &str, digest: &str) {
        let mut state = lock(&self.inner.state);
        state.stand_ins.entry(repository.to_owned()).or_default().insert(digest.to_owned());
        state.tags.entry(repository.to_owned()).or_default().insert(tag.to_owned(), digest.to_owned());
    }

    /// Returns whether an image was said to exist without its content, so that nothing can pull it.
    pub fn is_stand_in(&self, repository: &str, digest: &str) -> bool {
        let state = lock(&self.inner.state);
        let real = state.manifests.get(repository).is_some_and(|manifests| manifests.contains_key(digest));
        !real && state.stand_ins.get(repository).is_some_and(|digests| digests.contains(digest))
    }

    fn blob_path(&self, digest: &str) -> PathBuf {
        self.directory().join(digest.replace(':', "-"))
    }

    fn upload_path(&self, id: &str) -> PathBuf {
        self.directory().join(format!("upload-{id}"))
    }

    fn directory(&self) -> &Path {
        self.inner.directory.path()
    }
}

/// Names a request: paths are `/v2/<repository>/<kind>/...`, and a repository may have slashes, so a route's template says too little.
fn name(asked: &Asked<'_>) -> Named {
    let read = matches!(asked.method.as_str(), "GET" | "HEAD");
    let (target, kind) = routes::Place::parse(asked.path).map_or((None, "base"), |place| (Some(place.repository), place.kind.noun()));
    let verb = match asked.method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "begin",
        "PATCH" => "append",
        "PUT" => "put",
        "DELETE" => "delete",
        _ => "unknown",
    };
    Named { operation: format!("{verb}_{kind}"), target, write: !read }
}
