//! Command lines of builders: words in, words out; nothing runs here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use crate::id::Name;
use crate::manifest;
use crate::mask::Secret;

/// What is to be built, with everything filled in.
#[derive(Debug, Clone)]
pub struct BuildPlan {
    /// The image's name in the manifest.
    pub image: Name,
    /// The build context.
    pub context: PathBuf,
    /// The Dockerfile; `<context>/Dockerfile` when `None`.
    pub dockerfile: Option<PathBuf>,
    /// The stage; the last when `None`.
    pub target: Option<String>,
    /// Build arguments. They stay in the image's history: no place for secrets.
    pub args: IndexMap<String, String>,
    /// Build secrets by name; a `RUN --mount=type=secret,id=NAME` sees them, the image does not.
    pub secrets: BTreeMap<String, Secret>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// The largest allowed compressed size in bytes.
    pub max_size: Option<u64>,
}

/// A build secret that the manifest names and the environment does not have. Builders go on without it and without a word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the build secret {secret} of the image {image} is not set")]
pub struct SecretMissing {
    /// The image.
    pub image: Name,
    /// The secret's name.
    pub secret: String,
}

impl BuildPlan {
    /// Returns the plan for an image of the manifest.
    ///
    /// `commit` and `source` (the repository's https address) become labels; no time does, so that equal input can give an equal digest.
    pub fn new(
        image: &Name,
        of: &manifest::Image,
        root: &Path,
        commit: &str,
        source: Option<&str>,
        secret: impl Fn(&str) -> Option<Secret>,
    ) -> Result<Self, SecretMissing> {
        let mut labels = BTreeMap::from([("org.opencontainers.image.revision".to_owned(), commit.to_owned())]);
        if let Some(source) = source {
            labels.insert("org.opencontainers.image.source".to_owned(), source.to_owned());
        }
        let found = |name: &String| match secret(name) {
            Some(value) if !value.is_blank() => Ok((name.clone(), value)),
            _ => Err(SecretMissing { image: image.clone(), secret: name.clone() }),
        };
        // Builders run elsewhere than we do.
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Ok(Self {
            image: image.clone(),
            context: root.join(&of.context),
            dockerfile: of.dockerfile.as_ref().map(|below| root.join(below)),
            target: of.target.clone(),
            args: of.args.clone(),
            secrets: of.secrets.iter().map(found).collect::<Result<_, _>>()?,
            labels,
            max_size: of.max_size,
        })
    }

    /// Returns the Dockerfile's path.
    pub fn dockerfile(&self) -> PathBuf {
        self.dockerfile.clone().unwrap_or_else(|| self.context.join("Dockerfile"))
    }
}

/// What builds images on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// `docker buildx` on a builder that can write an OCI layout: the containerd store, or a driver other than `docker`.
    BuildxArchive,
    /// `docker buildx` on the engine's classic store: the image is loaded and then saved.
    BuildxLoad,
    /// The BuildKit inside the engine, by a Docker client older than 23, which needs no plugin for it.
    EngineBuildKit,
    /// The engine's legacy builder: no build secrets.
    EngineLegacy,
    /// `buildah`, which needs no daemon.
    Buildah,
}

/// Where a builder leaves its results.
#[derive(Debug, Clone)]
pub struct BuildFiles {
    /// The archive.
    pub archive: PathBuf,
    /// The file with the id of a loaded image.
    pub id: PathBuf,
}

/// A command line with the variables that it needs besides the environment it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The program.
    pub program: &'static str,
    /// Its words.
    pub words: Vec<String>,
    /// Variables to set; never a secret's value.
    pub variables: Vec<(&'static str, &'static str)>,
}

impl Builder {
    /// Returns the name for people: as in the event that a build has begun.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuildxArchive | Self::BuildxLoad => "buildx",
            Self::EngineBuildKit | Self::EngineLegacy => "engine",
            Self::Buildah => "buildah",
        }
    }

    /// Returns the command that builds.
    pub fn build(self, plan: &BuildPlan, files: &BuildFiles) -> Words {
        let (program, mut words, variables) = self.beginning(files);
        words.extend(["--file".to_owned(), text(&plan.dockerfile())]);
        words.extend(plan.target.iter().flat_map(|stage| ["--target".to_owned(), stage.clone()]));
        words.extend(plan.args.iter().flat_map(|(key, value)| ["--build-arg".to_owned(), format!("{key}={value}")]));
        words.extend(plan.secrets.keys().flat_map(|name| ["--secret".to_owned(), format!("id={name},env={name}")]));
        words.extend(plan.labels.iter().flat_map(|(key, value)| ["--label".to_owned(), format!("{key}={value}")]));
        words.push(text(&plan.context));
        Words { program, words, variables }
    }

    /// Returns the command that writes the archive of the image `id`, where building did not write it already.
    pub fn save(self, id: &str, files: &BuildFiles) -> Option<Words> {
        let archive = text(&files.archive);
        let (program, words) = match self {
            Self::BuildxArchive => return None,
            Self::BuildxLoad | Self::EngineBuildKit | Self::EngineLegacy => {
                ("docker", vec!["save".to_owned(), "--output".to_owned(), archive, id.to_owned()])
            }
            Self::Buildah => ("buildah", vec!["push".to_owned(), id.to_owned(), format!("oci-archive:{archive}")]),
        };
        Some(Words { program, words, variables: Vec::new() })
    }

    fn beginning(self, files: &BuildFiles) -> (&'static str, Vec<String>, Vec<(&'static str, &'static str)>) {
        let platform = format!("--platform={}", super::source::PLATFORM);
        let id = format!("--iidfile={}", text(&files.id));
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        match self {
            // Provenance would turn the image into an index with a second manifest, and would differ with every build.
            Self::BuildxArchive => {
                let output = format!("--output=type=oci,dest={}", text(&files.archive));
                ("docker", owned(&["buildx", "build", "--progress=plain", "--provenance=false", &platform, &output]), Vec::new())
            }
            Self::BuildxLoad => {
                ("docker", owned(&["buildx", "build", "--progress=plain", "--provenance=false", &platform, "--load", &id]), Vec::new())
            }
            Self::EngineBuildKit => ("docker", owned(&["build", "--progress=plain", &platform, &id]), vec![("DOCKER_BUILDKIT", "1")]),
            // A failed legacy build leaves its last container behind unless it is told not to; it has no --platform without experiments.
            Self::EngineLegacy => ("docker", owned(&["build", "--force-rm", &id]), vec![("DOCKER_BUILDKIT", "0")]),
            // Without --layers nothing is cached and all layers become one.
            Self::Buildah => ("buildah", owned(&["build", "--layers", "--format=oci", &platform, &id]), Vec::new()),
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
