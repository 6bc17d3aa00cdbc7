//! What is uploaded: a directory as a Build Output tree, with the file that shows its revision.
//!
//! A directory that holds `.vercel/output`, or is one, goes up as it is. Any other is plain static files, wrapped so that Vercel builds nothing.
//! Contents are hashed while they are read, and never held in memory whole; only the few files that cutover makes itself are.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::platform::RevisionDigest;

/// Where a Build Output tree lies below a deployment's root.
const OUTPUT: &str = ".vercel/output";
/// Where an uploaded directory shows its revision, below the static files.
const WELL_KNOWN: &str = ".well-known/cutover.json";
/// What the vendor's command line never uploads (its source, `getVercelIgnore`), and what holds secrets by convention.
const IGNORED: &[&str] = &[
    ".hg",
    ".git",
    ".gitmodules",
    ".svn",
    ".cache",
    ".next",
    ".now",
    ".vercel",
    ".npmignore",
    ".dockerignore",
    ".gitignore",
    ".DS_Store",
    ".lock-wscript",
    ".env.local",
    ".venv",
    ".pnp.js",
    "npm-debug.log",
    "config.gypi",
    "node_modules",
    "__pycache__",
    "venv",
    "CVS",
    ".env",
    ".vercelignore",
    ".cutover",
];

/// One file of an upload.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    /// Its path below the deployment's root, with `/`.
    pub(super) name: String,
    /// SHA-1 of its content, forty lower-case hex digits.
    pub(super) sha1: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its `st_mode`.
    pub(super) mode: u32,
    /// Where its content is.
    pub(super) content: Source,
}

/// Where a content is.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// In a file on disk.
    File(PathBuf),
    /// In memory: made here, or the target of a link.
    Bytes(Bytes),
}

/// Collects a directory for upload; `root_directory` is the project's, and goes before every path. Blocks while it reads.
pub(super) fn collect(directory: &Path, root_directory: Option<&str>, revision: &RevisionDigest) -> io::Result<Vec<Upload>> {
    let prefix = match root_directory.map(|root| root.trim_matches('/')).filter(|root| !root.is_empty() && *root != ".") {
        Some(root) => format!("{root}/{OUTPUT}"),
        None => OUTPUT.to_owned(),
    };
    let mut files = BTreeMap::new();
    if let Some(output) = output_of(directory) {
        walk(&output, &output, &mut files, &|_| false)?;
        let config = files.get("config.json").and_then(|path: &PathBuf| fs::read(path).ok()).unwrap_or_default();
        let own = config_with_proof(&config);
        return uploads(&prefix, files, own, revision);
    }
    let mut plain = BTreeMap::new();
    walk(directory, directory, &mut plain, &ignored)?;
    let files = plain.into_iter().map(|(name, path)| (format!("static/{name}"), path)).collect();
    uploads(&prefix, files, Some(json!({ "version": 3 }).to_string().into()), revision)
}

/// Returns the Build Output tree that a directory holds or is.
fn output_of(directory: &Path) -> Option<PathBuf> {
    let inside = directory.join(OUTPUT);
    if inside.join("config.json").is_file() {
        return Some(inside);
    }
    let config: Value = serde_json::from_slice(&fs::read(directory.join("config.json")).ok()?).ok()?;
    (config["version"] == 3 && directory.join("static").is_dir()).then(|| directory.to_owned())
}

/// Returns the tree's `config.json` with a leading route to the proof, where its routes would rewrite the path before the files are asked.
fn config_with_proof(config: &[u8]) -> Option<Bytes> {
    let mut config: Value = serde_json::from_slice(config).ok()?;
    let routes = config["routes"].as_array_mut()?;
    let first_is_files = routes.first().is_some_and(|route| route["handle"] == "filesystem");
    if first_is_files || routes.is_empty() {
        return None;
    }
    routes.insert(0, json!({ "src": "^/\\.well-known/cutover\\.json$", "dest": format!("/{WELL_KNOWN}") }));
    Some(config.to_string().into())
}

fn uploads(prefix: &str, files: BTreeMap<String, PathBuf>, config: Option<Bytes>, revision: &RevisionDigest) -> io::Result<Vec<Upload>> {
    let proof = Bytes::from(json!({ "revision": revision.as_str() }).to_string());
    let mut own = BTreeMap::from([(format!("static/{WELL_KNOWN}"), proof)]);
    own.extend(config.map(|config| ("config.json".to_owned(), config)));
    let mut uploads = Vec::with_capacity(files.len() + own.len());
    for (name, path) in files {
        if !own.contains_key(&name) {
            uploads.push(read(format!("{prefix}/{name}"), &path)?);
        }
    }
    for (name, bytes) in own {
        let (sha1, size) = (hex(&Sha1::digest(&bytes)), bytes.len() as u64);
        uploads.push(Upload { name: format!("{prefix}/{name}"), sha1, size, mode: 0o100_644, content: Source::Bytes(bytes) });
    }
    Ok(uploads)
}

fn read(name: String, path: &Path) -> io::Result<Upload> {
    let about = fs::symlink_metadata(path)?;
    if about.file_type().is_symlink() {
        // A link is sent as its target's text.
        let target = Bytes::from(fs::read_link(path)?.to_string_lossy().into_owned());
        return Ok(Upload {
            name,
            sha1: hex(&Sha1::digest(&target)),
            size: target.len() as u64,
            mode: 0o120_777,
            content: Source::Bytes(target),
        });
    }
    let (sha1, size) = digest(fs::File::open(path)?)?;
    #[cfg(unix)]
    let executable = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let executable = false;
    Ok(Upload { name, sha1, size, mode: if executable { 0o100_755 } else { 0o100_644 }, content: Source::File(path.to_owned()) })
}

/// Returns SHA-1 and size of what is read, a piece at a time.
pub(super) fn digest(mut from: impl Read) -> io::Result<(String, u64)> {
    let (mut hash, mut size, mut piece) = (Sha1::new(), 0, vec![0; 64 * 1024]);
    loop {
        match from.read(&mut piece)? {
            0 => return Ok((hex(&hash.finalize()), size)),
            length => {
                hash.update(&piece[..length]);
                size += length as u64;
            }
        }
    }
}

/// Finds the files below `directory` by their paths below `root`; directories that are links are not entered, since they could lead anywhere.
fn walk(root: &Path, directory: &Path, files: &mut BTreeMap<String, PathBuf>, skip: &dyn Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the name of {} is not UTF-8, and Vercel takes no other", path.display()),
            ));
        };
        if skip(&name) {
            continue;
        }
        if fs::symlink_metadata(&path)?.is_dir() {
            walk(root, &path, files, skip)?;
        } else {
            let below = path.strip_prefix(root).unwrap_or(&path);
            let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            files.insert(parts.join("/"), path);
        }
    }
    Ok(())
}

fn ignored(name: &str) -> bool {
    let local_settings = name.starts_with(".env.") && name.ends_with(".local");
    let editor = name.starts_with('.') && Path::new(name).extension().is_some_and(|extension| extension == "swp");
    IGNORED.contains(&name) || local_settings || editor || name.starts_with(".wafpicke-")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
