//! An image that nobody built: for rehearsals on a machine without an engine.
//!
//! It is a real archive with a real digest, pushed and confirmed like any other; its one layer holds nothing but the digest of what would have
//! been built. Whatever shows it says so: its label tells it apart everywhere.

use std::io::Write as _;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use ignore::WalkBuilder;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde_json::json;

use super::layout::{CONFIG, LAYER_GZIP, LayoutWriter, MANIFEST};
use super::{ArchiveError, BuildPlan, Digest, Hasher, ImageArchive};

/// The label by which a stand-in is told from a built image.
pub const STAND_IN_LABEL: &str = "dev.cutover.stand-in";

/// Writes a stand-in for the image of `plan` to `destination`.
///
/// Its digest depends on the context's files (less what `.dockerignore` and `.gitignore` leave out), the Dockerfile, the arguments and the
/// labels, so that another content is another image. Blocks: call it where that is allowed.
pub fn stand_in(plan: &BuildPlan, destination: &Path) -> Result<ImageArchive, ArchiveError> {
    let io_error = |source| ArchiveError::Io { path: destination.to_owned(), source };
    let content = content_digest(plan)?;
    let layer_tar = layer(&content).map_err(io_error)?;
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::new(6));
    gzip.write_all(&layer_tar).map_err(io_error)?;
    let layer = gzip.finish().map_err(io_error)?;

    let mut labels = plan.labels.clone();
    labels.insert(STAND_IN_LABEL.to_owned(), content.to_string());
    let (os, architecture) = super::source::PLATFORM.split_once('/').unwrap_or_default();
    let config = json!({
        "architecture": architecture,
        "os": os,
        "config": { "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer_tar).as_str()] },
    })
    .to_string();
    let mut writer = LayoutWriter::begin(destination)?;
    let mut descriptor = |bytes: &[u8], media_type: &str| {
        let digest = Digest::of(bytes);
        writer.blob(&digest, bytes.len() as u64, bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len() }))
    };
    let layers = [descriptor(&layer, LAYER_GZIP)?];
    let config = descriptor(config.as_bytes(), CONFIG)?;
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers }).to_string();
    writer.finish(manifest.as_bytes(), MANIFEST)
}

fn layer(content: &Digest) -> std::io::Result<Vec<u8>> {
    let text = format!("This stands for an image that was not built.\nThe digest of what would have been built is {content}.\n");
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, "cutover-stand-in", text.as_bytes())?;
    tar.into_inner()
}

/// Returns the digest of what a builder would be given.
fn content_digest(plan: &BuildPlan) -> Result<Digest, ArchiveError> {
    let ignored = docker_ignore(&plan.context);
    let root = plan.context.clone();
    let mut walk = WalkBuilder::new(&root);
    walk.hidden(false).require_git(false).git_global(false).git_exclude(false).parents(false).sort_by_file_path(Path::cmp);
    let context = root.clone();
    walk.filter_entry(move |entry| {
        let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
        let below = entry.path().strip_prefix(&context).unwrap_or(entry.path());
        entry.file_name() != ".git" && !ignored.matched_path_or_any_parents(below, is_directory).is_ignore()
    });
    let mut hasher = Hasher::default();
    for entry in walk.build().flatten().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file())) {
        hash_file(&mut hasher, &root, entry.path())?;
    }
    if let Some(dockerfile) = plan.dockerfile.as_deref().filter(|path| path.is_file()) {
        hash_file(&mut hasher, &root, dockerfile)?;
    }
    for (key, value) in &plan.args {
        hasher.update(format!("arg {key}={value}\0").as_bytes());
    }
    hasher.update(format!("target {}\0", plan.target.as_deref().unwrap_or_default()).as_bytes());
    Ok(hasher.digest())
}

fn hash_file(hasher: &mut Hasher, root: &Path, path: &Path) -> Result<(), ArchiveError> {
    let io_error = |source| ArchiveError::Io { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(io_error)?;
    let (digest, _) = Hasher::copy(&mut file, &mut std::io::sink()).map_err(io_error)?;
    let below = path.strip_prefix(root).unwrap_or(path);
    hasher.update(format!("{} {}\0", digest.hex(), below.display()).as_bytes());
    Ok(())
}

/// Returns the rules of `.dockerignore`, whose patterns all begin at the context's root, in gitignore's terms.
fn docker_ignore(context: &Path) -> Gitignore {
    let text = std::fs::read_to_string(context.join(".dockerignore")).unwrap_or_default();
    // Rooted at nothing: the paths that are asked about are relative to the context.
    let mut rules = GitignoreBuilder::new("");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (not, pattern) = line.strip_prefix('!').map_or(("", line), |pattern| ("!", pattern.trim()));
        let pattern = pattern.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
        // A line that is no pattern ignores nothing, as with Docker.
        let _ = rules.add_line(None, &format!("{not}/{pattern}"));
    }
    rules.build().unwrap_or_else(|_| Gitignore::empty())
}
