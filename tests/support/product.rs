//! A small product in a temporary folder: gates that take no time, a Fly app and a Vercel project.

use std::path::{Path, PathBuf};

const MANIFEST: &str = r#"version: 1
product: small
gates:
  unit: "true"
  lint: { run: "true", needs: unit }
images:
  server: backend
targets:
  api:
    fly: backend/fly.toml
    image: server
    verify: [{ get: /health }, { get: /version, json: /revision, equals: revision }]
  web: { vercel: small-web, dir: web, after: api, verify: [{ get: / }] }
environments:
  production: { branch: main, watch: 1s }
"#;

const FLY: &str = r#"app = "small-api"
primary_region = "iad"
kill_timeout = "1s"
[http_service]
internal_port = 8080
auto_stop_machines = "off"
[[http_service.checks]]
path = "/health"
interval = "2s"
grace_period = "1s"
"#;

/// The product; its folder is gone with it. Git knows nothing of it.
pub(crate) struct Product {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Product {
    /// Returns a product.
    pub(crate) fn new() -> Self {
        Self::at("small")
    }

    /// Returns a product in a folder of this name.
    pub(crate) fn at(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        for (file, text) in [
            ("cutover.yml", MANIFEST),
            ("backend/fly.toml", FLY),
            ("backend/Dockerfile", "FROM scratch\n"),
            ("web/index.html", "<!doctype html><p>new\n"),
        ] {
            let file = path.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        Self { _folder: folder, path }
    }

    /// Returns a copy of a fixture, without what its gates have left there.
    pub(crate) fn of_fixture(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name), &path);
        Self { _folder: folder, path }
    }

    /// Returns its folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces a text in one of its files, which must hold it.
    pub(crate) fn replace(&self, file: &str, old: &str, new: &str) {
        let path = self.path.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{file} holds no {old}");
        std::fs::write(path, text.replace(old, new)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        let left = ["node_modules", "target", "out", "reports", ".vercel"].iter().any(|left| name == *left);
        if path.is_dir() && !left {
            copy(&path, &to.join(name));
        } else if path.is_file() {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
