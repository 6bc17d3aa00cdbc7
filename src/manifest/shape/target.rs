//! One thing on a platform.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Check;
use crate::id::Name;

/// One thing on a platform: an app, a project, a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Where it lives, with what only that platform needs.
    pub platform: TargetPlatform,
    /// Targets that serve before this one does.
    pub after: Vec<Name>,
    /// Gates whose proofs it needs; every gate where the manifest does not say.
    pub needs: Vec<Name>,
    /// Names of the secrets that must exist on the platform or in cutover's environment.
    pub secrets: Vec<String>,
    /// Those of them with whose changed value the revision that serves before works as well.
    pub compatible_secrets: Vec<String>,
    /// Variables of the environment that it gets when it runs; only an app on Fly has any.
    pub variables: Vec<String>,
    /// What judges a prepared or serving revision.
    pub verify: Vec<Check>,
    /// What is to be known of its migration, where the manifest says anything.
    pub migration: Option<Migration>,
    /// Its public address, `https://host[/path]`, where the platform's own word is not the one that users know.
    pub url: Option<String>,
    /// Its hostnames that have Cloudflare as their DNS, where it names any.
    pub dns: Option<Dns>,
}

/// Hostnames that lead to a target, and what may be done about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The hostnames, lower case, in Punycode; at least one.
    pub hosts: Vec<String>,
    /// Whether missing records are made, and CNAME records that lead elsewhere changed.
    pub manage: bool,
    /// Whether Cloudflare's cache of the hostnames is purged after every change of what serves.
    pub purge: bool,
}

impl Target {
    /// Returns the image that it ships, if it ships one of the manifest's.
    pub fn image(&self) -> Option<&Name> {
        match &self.platform {
            TargetPlatform::Fly(fly) => fly.image.as_ref(),
            TargetPlatform::Render(render) => render.image.as_ref(),
            TargetPlatform::Vercel(_) | TargetPlatform::Pages(_) | TargetPlatform::Worker(_) => None,
        }
    }

    /// Returns the directory that it ships, if it ships one.
    pub fn directory(&self) -> Option<&Path> {
        match &self.platform {
            TargetPlatform::Vercel(VercelTarget { source: VercelSource::Directory(path), .. }) => Some(path),
            TargetPlatform::Pages(PagesTarget { source: PagesSource::Directory(path), .. }) => Some(path),
            TargetPlatform::Worker(worker) => Some(&worker.directory),
            _ => None,
        }
    }
}

/// What is to be known of a target's migration; what it runs stands in the platform's own file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migration {
    /// The app that has the database, of whose volumes snapshots are taken before it.
    pub database: Option<String>,
    /// Which of its volumes, by id; every one in use where none is named.
    pub volumes: Vec<String>,
    /// How old the newest snapshot may be.
    pub rpo: Option<Duration>,
    /// Whether the code that serves cannot work with what it leaves.
    pub breaking: bool,
}

/// Where a target lives.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetPlatform {
    /// An app on Fly.io.
    Fly(FlyTarget),
    /// A project on Vercel.
    Vercel(VercelTarget),
    /// A project on Cloudflare Pages.
    Pages(PagesTarget),
    /// A worker on Cloudflare that serves static assets.
    Worker(WorkerTarget),
    /// A service on Render.
    Render(RenderTarget),
}

/// An app on Fly.io. What its `fly.toml` says is not repeated here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlyTarget {
    /// Its `fly.toml`, below the repository's root.
    pub config: PathBuf,
    /// The app, where it is not the one that `fly.toml` names.
    pub app: Option<String>,
    /// The image that it runs; the one that `fly.toml` names in `[build]` when `None`.
    pub image: Option<Name>,
    /// How machines are replaced, where it is not what `fly.toml` says.
    pub strategy: Option<FlyStrategy>,
    /// Whether machines without services move before those with services; after them otherwise.
    pub workers_first: bool,
    /// How long the machines of before stay alive, out of routing, after a release; `None`: they end with it.
    pub keep_previous: Option<std::time::Duration>,
}

impl FlyTarget {
    /// The longest that the machines of before may stay: a week's overlap is what it costs to forget them.
    pub const LONGEST_KEPT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);
}

/// How an app's machines are replaced; the words of `fly.toml`'s `[deploy] strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlyStrategy {
    /// New machines beside the old, then the traffic moves.
    Bluegreen,
    /// Machine by machine, in place.
    Rolling,
    /// All machines at once.
    Immediate,
    /// One machine first, then as rolling.
    Canary,
}

impl FlyStrategy {
    /// Every strategy.
    pub const ALL: [Self; 4] = [Self::Bluegreen, Self::Rolling, Self::Immediate, Self::Canary];

    /// Returns the platform's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bluegreen => "bluegreen",
            Self::Rolling => "rolling",
            Self::Immediate => "immediate",
            Self::Canary => "canary",
        }
    }
}

/// A project on Vercel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VercelTarget {
    /// The project's name or id (`prj_…`), from the manifest or from a link file.
    pub project: String,
    /// The team's id (`team_…`) or slug, from the manifest or from a link file; `None` means the token's own account, or what
    /// `VERCEL_ORG_ID` says.
    pub team: Option<String>,
    /// What is deployed.
    pub source: VercelSource,
    /// What the hostnames of previews begin with, where it is not the product's and the target's name.
    pub alias: Option<String>,
    /// Above how many files one archive is sent, where it is not the usual number.
    pub archive_above: Option<u32>,
}

impl VercelTarget {
    /// The most files that can be sent each by itself: what one call lists at most.
    pub const MOST_ENTRIES: u32 = 15_000;
}

/// What a Vercel target deploys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VercelSource {
    /// A directory below the repository's root: its `.vercel/output` where it has one (a prebuilt deployment), else its files as they are. Gates make
    /// it, so only the release can tell which.
    Directory(PathBuf),
    /// A deployment that Vercel builds from the git repository which the project is connected to.
    Git {
        /// The branch; the one that is released when `None`.
        branch: Option<String>,
    },
    /// A deployment that a deploy hook starts.
    Hook {
        /// The environment variable that holds the hook's URL. The URL is a secret.
        secret_name: String,
    },
}

/// A project on Cloudflare Pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagesTarget {
    /// The project's name.
    pub project: String,
    /// The account's id, 32 hex digits; what `CLOUDFLARE_ACCOUNT_ID` says when `None`.
    pub account: Option<String>,
    /// Its name on `pages.dev`, where that is another than its own.
    pub subdomain: Option<String>,
    /// What is published.
    pub source: PagesSource,
    /// Patterns of names with a dot that are published all the same, in the syntax of `.gitignore`.
    pub dotfiles: Vec<String>,
}

/// What a Pages target publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PagesSource {
    /// A directory, below the repository's root.
    Directory(PathBuf),
    /// What Cloudflare builds of the production branch of the repository that the project is connected to.
    Git,
    /// The same, asked for by a deploy hook.
    Hook {
        /// The environment variable that holds the hook's URL. The URL is a secret.
        secret_name: String,
    },
}

/// A worker on Cloudflare that serves static assets and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerTarget {
    /// The worker's name.
    pub name: String,
    /// The account's id, 32 hex digits; what `CLOUDFLARE_ACCOUNT_ID` says when `None`.
    pub account: Option<String>,
    /// The account's name on `workers.dev`, which previews need.
    pub subdomain: Option<String>,
    /// The directory that is published, below the repository's root.
    pub directory: PathBuf,
    /// Patterns of names with a dot that are published all the same, in the syntax of `.gitignore`.
    pub dotfiles: Vec<String>,
    /// What a path gets that no file has.
    pub not_found: NotFound,
}

/// What a path gets that no file has; the words of the vendor's `assets.not_found_handling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NotFound {
    /// An empty 404.
    #[default]
    Nothing,
    /// The nearest `404.html`.
    Page,
    /// `index.html`, with 200.
    SinglePage,
}

impl NotFound {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Page, Self::SinglePage];

    /// Returns the vendor's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Page => "404-page",
            Self::SinglePage => "single-page-application",
        }
    }
}

/// A service on Render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderTarget {
    /// The service's id (`srv-…`).
    pub service: String,
    /// The image that it runs; Render's own build of the commit when `None`.
    pub image: Option<Name>,
}
