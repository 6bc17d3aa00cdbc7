//! Images and directories: built once, carried between jobs as files with digests, pushed by the release.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::stage::{Builds, Stage};
use super::{gates, targets};
use crate::event::{Level, Outcome};
use crate::id::Name;
use crate::image::{
    BuildContext, BuildError, BuildPlan, Builder, Digest, DirectoryArtifact, ImageArchive, Login, Registry, RegistryError,
    build as build_image, choose, detect,
};
use crate::manifest::{PagesSource, PagesTarget, Target as Named, TargetPlatform, VercelSource, VercelTarget, WorkerTarget};
use crate::mask::Secret;
use crate::platform::fly::FlyEndpoints;
use crate::platform::{AnyTarget, Artifact, Target};

/// The file that names what `build --out` made.
const INDEX: &str = "artifacts.json";
/// Where a Build Output tree lies in a directory.
const OUTPUT: &str = ".vercel/output";

/// What a release ships, on this machine.
#[derive(Debug)]
pub(crate) struct Artifacts {
    images: BTreeMap<Name, ImageArchive>,
    directories: BTreeMap<Name, DirectoryArtifact>,
    /// Holds what was built or unpacked for as long as it may be shipped.
    _folder: Arc<tempfile::TempDir>,
}

/// Why there is nothing to ship.
#[derive(Debug)]
pub(crate) struct BuildFailure {
    /// How the run ends.
    pub(crate) outcome: Outcome,
    /// What failed.
    pub(crate) text: String,
    /// What to try.
    pub(crate) hints: Vec<String>,
}

impl BuildFailure {
    /// Returns a refusal before anything was touched.
    pub(crate) fn preflight(text: impl Into<String>) -> Self {
        Self { outcome: Outcome::PreflightFailed, text: text.into(), hints: Vec::new() }
    }

    /// Returns the end of a run that was cancelled before anything was touched.
    pub(crate) fn cancelled() -> Self {
        Self { outcome: Outcome::Cancelled, text: "the run was cancelled".to_owned(), hints: Vec::new() }
    }

    /// Adds what to try.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// What `build --out` made, as the release job reads it.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    version: u32,
    environment: Name,
    commit: String,
    images: BTreeMap<Name, Packed>,
    directories: BTreeMap<Name, Packed>,
}

/// One file beside the index.
#[derive(Debug, Serialize, Deserialize)]
struct Packed {
    file: String,
    /// Of the file itself.
    sha256: Digest,
    /// Of what it holds.
    digest: Digest,
}

/// Builds every image and reads every directory that the environment's targets ship.
pub(crate) async fn build(stage: &Stage, environment: &Name, only: &[Name]) -> Result<Artifacts, BuildFailure> {
    let folder = tempfile::tempdir().map_err(|error| BuildFailure::preflight(format!("a temporary folder cannot be made: {error}")))?;
    let shipped = shipped(stage, environment, only);
    let mut images = BTreeMap::new();
    let named: std::collections::BTreeSet<Name> = shipped.iter().filter_map(|(_, target)| target.image().cloned()).collect();
    for name in named {
        let archive = image(stage, &name, folder.path()).await?;
        images.insert(name, archive);
    }
    let mut directories = BTreeMap::new();
    for (name, target) in &shipped {
        if let Some(directory) = target.directory() {
            directories.insert(name.clone(), read_directory(stage, name, directory)?);
        }
    }
    Ok(Artifacts { images, directories, _folder: Arc::new(folder) })
}

fn shipped(stage: &Stage, environment: &Name, only: &[Name]) -> Vec<(Name, Named)> {
    let view = stage.manifest.in_environment(environment);
    let all = view.into_iter().flat_map(|view| view.targets);
    all.filter(|(name, _)| only.is_empty() || only.contains(name)).collect()
}

async fn image(stage: &Stage, name: &Name, folder: &Path) -> Result<ImageArchive, BuildFailure> {
    let Some(of) = stage.manifest.images.get(name) else {
        return Err(BuildFailure::preflight(format!("the manifest has no image {name}")));
    };
    let secret = |secret: &str| stage.settings.secret(secret).map(|value| Secret::new(value.expose_secret()));
    let source = stage.trigger.run.as_ref().map(|run| format!("https://github.com/{}", run.repository));
    let plan = BuildPlan::new(name, of, &stage.root, stage.trigger.tested_commit(), source.as_deref(), secret)
        .map_err(|missing| BuildFailure::preflight(missing.to_string()))?;
    let environment = gates::inherited(stage);
    let builder = builder(stage, name, !plan.secrets.is_empty()).await?;
    if builder.is_none() {
        let text = format!("The image {name} is a stand-in: nothing was built, its digest is that of its sources.");
        stage.events.notice(Level::Note, "image::stand-in", text);
    }
    let context =
        BuildContext { events: stage.events.clone(), shutdown: stage.shutdown.clone(), masker: stage.masker.clone(), environment };
    let built = build_image(&plan, builder, &folder.join(format!("{name}.oci.tar")), &context).await;
    built.map(|artifact| artifact.archive).map_err(|error| failed(name, &error))
}

async fn builder(stage: &Stage, name: &Name, secrets: bool) -> Result<Option<Builder>, BuildFailure> {
    if stage.builds == Builds::StandIn {
        return Ok(None);
    }
    let found = detect(&gates::inherited(stage), &stage.masker, &stage.shutdown).await;
    match choose(&found, secrets) {
        Ok(builder) => Ok(Some(builder)),
        Err(_) if stage.builds == Builds::RealOrStandIn => Ok(None),
        Err(error) => Err(BuildFailure::preflight(format!("the image {name} cannot be built: {error}"))
            .hint("start Docker, or install buildah; `cutover build --out DIR` can run on another machine, and `cutover release --artifacts DIR` here")),
    }
}

fn failed(name: &Name, error: &BuildError) -> BuildFailure {
    let (outcome, hints) = match error {
        BuildError::Cancelled => (Outcome::Cancelled, Vec::new()),
        BuildError::Failed { last_lines, .. } => (Outcome::GatesFailed, last_lines.iter().rev().take(12).rev().cloned().collect()),
        BuildError::TooLarge { .. } | BuildError::TimedOut | BuildError::Missing { .. } => (Outcome::GatesFailed, Vec::new()),
        BuildError::CouldNotStart(_) | BuildError::Archive(_) => (Outcome::PreflightFailed, Vec::new()),
    };
    BuildFailure { outcome, text: format!("the image {name} could not be built: {error}; nothing was touched"), hints }
}

/// Reads what a target ships from its directory, or from the build output in it.
pub(crate) fn read_directory(stage: &Stage, name: &Name, directory: &Path) -> Result<DirectoryArtifact, BuildFailure> {
    let whole = stage.root.join(directory);
    let output = whole.join(OUTPUT);
    // A linked project's directory is its sources; only its build output is meant to be seen by everyone.
    let platform = stage.manifest.targets.get(name).map(|target| &target.platform);
    if matches!(platform, Some(TargetPlatform::Pages(_) | TargetPlatform::Worker(_))) {
        return read_whole(name, &whole);
    }
    let linked = [".vercel/project.json", ".vercel/repo.json"].iter().any(|link| whole.join(link).is_file());
    if linked && !output.is_dir() {
        let text = format!("{name}: {} is a linked project without a build output", directory.display());
        return Err(
            BuildFailure::preflight(text).hint(format!("a gate must make {}/{OUTPUT}, as `vercel build --prod` does", directory.display()))
        );
    }
    read_whole(name, if output.is_dir() { &output } else { &whole })
}

fn read_whole(name: &Name, path: &Path) -> Result<DirectoryArtifact, BuildFailure> {
    DirectoryArtifact::read(path).map_err(|error| {
        BuildFailure::preflight(format!("{name}: {error}; nothing was touched"))
            .hint("run the gate that makes it, or correct `dir:` in the manifest")
    })
}

/// Returns what a target ships, pushed where its platform pulls it from: for an app into the repository of `thing`.
pub(crate) async fn artifact_of(
    stage: &Stage,
    environment: &Name,
    (name, thing): (&Name, &str),
    artifacts: &Artifacts,
    dry_run: bool,
) -> Result<Artifact, BuildFailure> {
    let Some((_, named)) = shipped(stage, environment, std::slice::from_ref(name)).into_iter().next() else {
        return Err(BuildFailure::preflight(format!("{environment} has no target {name}")));
    };
    match &named.platform {
        TargetPlatform::Fly(fly) => match &fly.image {
            Some(image) => {
                let archive =
                    artifacts.images.get(image).ok_or_else(|| BuildFailure::preflight(format!("the image {image} was not built")))?;
                push(stage, (name, thing), archive, dry_run).await
            }
            None => {
                let config = targets::fly_config(&stage.root, name, fly).map_err(|fault| BuildFailure::preflight(fault.to_string()))?;
                let reference = config.build.image.ok_or_else(|| {
                    BuildFailure::preflight(format!("{name}: neither the manifest nor {} names an image", fly.config.display()))
                        .hint("write `image: NAME` at the target, and the image under `images`")
                })?;
                resolve(stage, name, &reference).await
            }
        },
        TargetPlatform::Pages(PagesTarget { source: PagesSource::Directory(_), .. })
        | TargetPlatform::Worker(_)
        | TargetPlatform::Vercel(VercelTarget { source: VercelSource::Directory(_), .. }) => {
            let directory =
                artifacts.directories.get(name).ok_or_else(|| BuildFailure::preflight(format!("the directory of {name} was not read")))?;
            Ok(Artifact::Directory { path: directory.path.clone(), digest: directory.digest.to_string() })
        }
        TargetPlatform::Vercel(_) | TargetPlatform::Pages(_) => Ok(commit(stage)),
        TargetPlatform::Render(_) => Err(BuildFailure::preflight(format!("{name}: this version cannot release to Render"))),
    }
}

fn commit(stage: &Stage) -> Artifact {
    let branch = stage.trigger.branch().unwrap_or("main").to_owned();
    Artifact::Commit { sha: stage.trigger.tested_commit().to_owned(), branch }
}

async fn push(stage: &Stage, (name, app): (&Name, &str), archive: &ImageArchive, dry_run: bool) -> Result<Artifact, BuildFailure> {
    let digest = archive.digest.to_string();
    let registry = fly_registry(stage, name)?;
    let reference = format!("{}/{app}@{digest}", registry.host());
    let artifact = Artifact::Image { reference, digest, stand_in: archive.is_stand_in() };
    if dry_run {
        return Ok(artifact);
    }
    let tag = format!("cutover-{:.12}", archive.digest.hex());
    let target = name.clone();
    let step = |text: String| {
        stage.events.emit(crate::event::EventKind::TargetStep { target: target.clone(), phase: crate::event::Phase::Prepare, step: text });
    };
    match registry.push(app, &tag, archive, &stage.shutdown, &step).await {
        Ok(_) => Ok(artifact),
        Err(RegistryError::Cancelled) => Err(BuildFailure::cancelled()),
        Err(error) => Err(BuildFailure::preflight(format!("{name}: the image could not be pushed: {error}; nothing was touched"))
            .hint(format!("the token must be allowed to push to the app {app}, and the app must exist: fly apps create {app}"))),
    }
}

/// Returns Fly's registry, with the login of this run.
pub(crate) fn fly_registry(stage: &Stage, name: &Name) -> Result<Registry, BuildFailure> {
    let endpoints = FlyEndpoints::from_lookup(|name| stage.settings.environment.get(name).cloned())
        .map_err(|error| BuildFailure::preflight(error.to_string()))?;
    let login = stage.settings.fly_token.as_ref().map(|token| Login::fly(&Secret::new(token.expose_secret())));
    Registry::new(stage.transport.clone(), &endpoints.registry, login).map_err(|error| BuildFailure::preflight(format!("{name}: {error}")))
}

/// Returns an image that somebody else built, by the digest that its registry gives its name now.
async fn resolve(stage: &Stage, target: &Name, reference: &str) -> Result<Artifact, BuildFailure> {
    let image = |digest: String, reference: String| Artifact::Image { reference, digest, stand_in: false };
    if let Some((_, digest)) = reference.split_once('@') {
        return Ok(image(digest.to_owned(), reference.to_owned()));
    }
    let (host, rest) = match reference.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host.to_owned(), rest.to_owned()),
        Some(_) => ("registry-1.docker.io".to_owned(), reference.to_owned()),
        None => ("registry-1.docker.io".to_owned(), format!("library/{reference}")),
    };
    let (repository, tag) = rest.rsplit_once(':').map_or((rest.as_str(), "latest"), |(repository, tag)| (repository, tag));
    let fly = fly_registry(stage, target)?;
    let unknown = |reason: String| BuildFailure::preflight(format!("{target}: the image {reference} cannot be found: {reason}"));
    let registry = if host == fly.host() {
        fly
    } else {
        Registry::new(stage.transport.clone(), &host, None).map_err(|error| unknown(error.to_string()))?
    };
    let digest = registry.manifest_digest(repository, tag).await.map_err(|error| unknown(error.to_string()))?;
    let digest = digest.ok_or_else(|| unknown("its registry has none of that name".to_owned()))?;
    let name = reference.strip_suffix(&format!(":{tag}")).unwrap_or(reference);
    Ok(image(digest.to_string(), format!("{name}@{digest}")))
}

/// Returns what a target would ship as far as it can be known without building: for a plan.
pub(crate) fn foreseen(stage: &Stage, environment: &Name, target: &AnyTarget) -> Artifact {
    let unbuilt = |what: &str| what.to_owned();
    match shipped(stage, environment, std::slice::from_ref(target.name())).into_iter().next().map(|(_, named)| named.platform) {
        Some(
            TargetPlatform::Pages(PagesTarget { source: PagesSource::Directory(path), .. })
            | TargetPlatform::Worker(WorkerTarget { directory: path, .. })
            | TargetPlatform::Vercel(VercelTarget { source: VercelSource::Directory(path), .. }),
        ) => match read_directory(stage, target.name(), &path) {
            Ok(directory) => Artifact::Directory { path: directory.path.clone(), digest: directory.digest.to_string() },
            Err(_) => Artifact::Directory { path, digest: unbuilt("what a gate makes") },
        },
        Some(TargetPlatform::Vercel(_) | TargetPlatform::Pages(_)) => commit(stage),
        _ => Artifact::Image { reference: unbuilt("what is built"), digest: unbuilt("what is built"), stand_in: false },
    }
}

/// Writes artifacts into a folder, for another job to release.
pub(crate) fn write(stage: &Stage, environment: &Name, artifacts: &Artifacts, out: &Path) -> Result<(), BuildFailure> {
    let unwritable = |error: io::Error| BuildFailure::preflight(format!("{} cannot be written: {error}", out.display()));
    std::fs::create_dir_all(out).map_err(unwritable)?;
    let mut index = Index {
        version: 1,
        environment: environment.clone(),
        commit: stage.trigger.tested_commit().to_owned(),
        images: BTreeMap::new(),
        directories: BTreeMap::new(),
    };
    for (name, archive) in &artifacts.images {
        let file = format!("{name}.oci.tar");
        std::fs::copy(&archive.path, out.join(&file)).map_err(unwritable)?;
        let sha256 = digest_of_file(&out.join(&file)).map_err(unwritable)?;
        index.images.insert(name.clone(), Packed { file, sha256, digest: archive.digest.clone() });
    }
    for (name, directory) in &artifacts.directories {
        let file = format!("{name}.tar");
        pack(&directory.path, &out.join(&file)).map_err(unwritable)?;
        let sha256 = digest_of_file(&out.join(&file)).map_err(unwritable)?;
        index.directories.insert(name.clone(), Packed { file, sha256, digest: directory.digest.clone() });
    }
    std::fs::write(out.join(INDEX), super::pretty(&index)).map_err(unwritable)?;
    stage.events.notice(Level::Note, "build::written", format!("Written to {}: {INDEX} and what it names.", out.display()));
    Ok(())
}

/// Reads what another job wrote; every file must be what the index says, and of this commit and environment.
pub(crate) fn read(stage: &Stage, environment: &Name, folder: &Path) -> Result<Artifacts, BuildFailure> {
    let path = folder.join(INDEX);
    let text = std::fs::read(&path).map_err(|error| {
        BuildFailure::preflight(format!("{} cannot be read: {error}", path.display())).hint("make it with `cutover build --out DIR`")
    })?;
    let index: Index =
        serde_json::from_slice(&text).map_err(|error| BuildFailure::preflight(format!("{} is not understood: {error}", path.display())))?;
    if index.version != 1 || index.environment != *environment || index.commit != stage.trigger.tested_commit() {
        let text =
            format!("{} is of {} at {}, and this release is of {environment} at {}", path.display(), index.environment, index.commit, {
                stage.trigger.tested_commit()
            });
        return Err(BuildFailure::preflight(text));
    }
    let scratch = tempfile::tempdir().map_err(|error| BuildFailure::preflight(format!("a temporary folder cannot be made: {error}")))?;
    let mut images = BTreeMap::new();
    for (name, packed) in &index.images {
        let file = verified(folder, packed)?;
        let archive = ImageArchive::open(&file).map_err(|error| BuildFailure::preflight(format!("{}: {error}", file.display())))?;
        expect_digest(&file, &archive.digest, &packed.digest)?;
        images.insert(name.clone(), archive);
    }
    let mut directories = BTreeMap::new();
    for (name, packed) in &index.directories {
        let file = verified(folder, packed)?;
        let place = scratch.path().join(name.as_str());
        let unpacked = std::fs::File::open(&file).and_then(|file| tar::Archive::new(file).unpack(&place));
        unpacked.map_err(|error| BuildFailure::preflight(format!("{} cannot be unpacked: {error}", file.display())))?;
        let directory = DirectoryArtifact::read(&place).map_err(|error| BuildFailure::preflight(format!("{}: {error}", file.display())))?;
        expect_digest(&file, &directory.digest, &packed.digest)?;
        directories.insert(name.clone(), directory);
    }
    Ok(Artifacts { images, directories, _folder: Arc::new(scratch) })
}

fn verified(folder: &Path, packed: &Packed) -> Result<PathBuf, BuildFailure> {
    // Only a plain name: what a job of the repository's own code wrote must not point anywhere else.
    if packed.file.contains(['/', '\\']) || packed.file.starts_with('.') {
        return Err(BuildFailure::preflight(format!("{INDEX} names the file {:?}, which is not beside it", packed.file)));
    }
    let file = folder.join(&packed.file);
    let seen = digest_of_file(&file).map_err(|error| BuildFailure::preflight(format!("{} cannot be read: {error}", file.display())))?;
    expect_digest(&file, &seen, &packed.sha256)?;
    Ok(file)
}

fn expect_digest(file: &Path, seen: &Digest, wanted: &Digest) -> Result<(), BuildFailure> {
    if seen == wanted {
        Ok(())
    } else {
        Err(BuildFailure::preflight(format!("{} is not what {INDEX} says: {seen} instead of {wanted}", file.display())))
    }
}

fn digest_of_file(path: &Path) -> io::Result<Digest> {
    crate::image::Hasher::copy(&mut io::BufReader::new(std::fs::File::open(path)?), &mut io::sink()).map(|(digest, _)| digest)
}

fn pack(directory: &Path, file: &Path) -> io::Result<()> {
    let mut tar = tar::Builder::new(io::BufWriter::new(std::fs::File::create(file)?));
    tar.follow_symlinks(false);
    tar.append_dir_all(".", directory)?;
    io::Write::flush(&mut tar.into_inner()?)
}
