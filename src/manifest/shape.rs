//! The resolved manifest: what the rest of the program uses.
//!
//! Everything here is settled: short forms are long, defaults are filled in, names point at things that exist, overrides are applied. No type
//! remembers where in the file it stood; faults are found before a value of these types exists.
//!
//! # Short forms
//!
//! A scalar is the short form of a map, and one thing is the short form of a list of one.
//!
//! | where | short | long |
//! |---|---|---|
//! | `gates` | `test: cargo test` | `test: { run: cargo test }` |
//! | a gate's `run` | `[node, --test, "a b"]` | these words, never read by a shell |
//! | `needs`, `services`, `inputs`, `except`, `outputs`, `variables`, `secrets`, `after`, `targets`, `branch` | `needs: install` | `needs: [install]` |
//! | `images` | `server: .` | `server: { context: . }` |
//! | a target's `fly` | `fly: fly.toml` | `fly: { config: fly.toml }` |
//! | a target's `fly`, a directory | `fly: backend/` | `fly: { config: backend/fly.toml }` |
//! | a target's `vercel`, a name or id | `vercel: shop` | `vercel: { project: shop }` |
//! | a target's `vercel`, a path (`.`, or with `/`) | `vercel: ./web` | `vercel: { link: ./web }` |
//! | a Vercel target's `git` | `git: true` | `git:` the branch that is released |
//! | a target's `pages` | `pages: site` | `pages: { project: site }` |
//! | a target's `worker` | `worker: site` | `worker: { name: site }` |
//! | a target's `dns` | `dns: www.example.com` | `dns: { hosts: [www.example.com] }` |
//! | a target's `render` | `render: srv-1` | `render: { service: srv-1 }` |
//! | `verify` | `verify: /health` | `verify: [{ get: /health }]` |
//! | one of `verify` | `- /health` | `- { get: /health }` |
//! | a check's `body` | `body: { a: 1 }` | `body: '{"a":1}'`, sent as JSON |
//! | a check's `sign` | `sign: HOOK_SECRET` | `sign: { secret: HOOK_SECRET, scheme: stripe }` |
//! | a check's `equals` | `equals: revision` | the served revision's digest; the word itself is `equals: { value: revision }` |
//! | `environments` | `production: main` | `production: { branch: main }` |
//! | an environment's `pull_request` | `pull_request: true` | `pull_request: {}` |
//! | one of an environment's `variables` | `API: https://a.example` | `API: { text: "https://a.example" }` |
//!
//! Durations are `500ms`, `60s`, `15m`, `1h 30m`; sizes are `300MB` (10^6), `300MiB` (2^20), `1GB`.

mod check;
mod pull_requests;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

pub use check::{Check, CheckRequest, Equals, Expect, ExpectedStatus, Signature};
pub use pull_requests::PullRequests;
pub use target::{
    Dns, FlyStrategy, FlyTarget, Migration, NotFound, PagesSource, PagesTarget, RenderTarget, Target, TargetPlatform, VercelSource,
    VercelTarget, WorkerTarget,
};

use crate::id::Name;

/// A whole manifest, in the file's own order.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The product's name; it is part of the journal's ref, and stamped on what is made on platforms.
    pub product: Name,
    /// The commands that must pass before any platform is written to.
    pub gates: IndexMap<Name, Gate>,
    /// What gates may have running beside them.
    pub services: IndexMap<Name, Service>,
    /// What is built once and shipped by digest.
    pub images: IndexMap<Name, Image>,
    /// The things on platforms, as written, before any environment's overrides.
    pub targets: IndexMap<Name, Target>,
    /// The named sets of targets.
    pub environments: IndexMap<Name, Environment>,
}

impl Manifest {
    /// Returns the manifest as `environment` sees it: only its targets, in its order, with its overrides applied; `None` when it has no such
    /// environment. Gates, services, images and the list of environments stay whole.
    pub fn in_environment(&self, environment: &Name) -> Option<Self> {
        let chosen = self.environments.get(environment)?;
        let pick = |name: &Name| {
            let target = chosen.overridden.get(name).or_else(|| self.targets.get(name))?;
            Some((name.clone(), target.clone()))
        };
        Some(Self { targets: chosen.targets.iter().filter_map(pick).collect(), ..self.clone() })
    }

    /// Returns the environment that a push to `branch` releases; at most one claims a branch.
    pub fn environment_of_branch(&self, branch: &str) -> Option<&Name> {
        self.environments.iter().find(|(_, environment)| environment.branches.iter().any(|own| own == branch)).map(|(name, _)| name)
    }

    /// Returns the environment that previews pull requests; at most one does.
    pub fn preview_environment(&self) -> Option<&Name> {
        self.environments.iter().find(|(_, environment)| environment.pull_request.is_some()).map(|(name, _)| name)
    }

    /// Returns the images that the targets ship, each once, in the manifest's order.
    pub fn shipped_images(&self) -> Vec<&Name> {
        self.images.keys().filter(|name| self.targets.values().any(|target| target.image() == Some(*name))).collect()
    }
}

/// How a gate's command is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// A program and its arguments; no shell reads them. At least one word.
    Words(Vec<String>),
    /// A script that is given to `bash -eo pipefail -c`, because it has characters that only a shell understands.
    Shell(String),
}

/// A command that must pass before any platform is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The command.
    pub run: Run,
    /// Gates that pass before this one starts.
    pub needs: Vec<Name>,
    /// Where it runs, below the repository's root; the root when `None`.
    pub directory: Option<PathBuf>,
    /// How long one attempt may take; default [`Gate::DEFAULT_TIMEOUT`].
    pub timeout: Duration,
    /// How often it is tried again after a failed attempt; default 0, at most 10.
    pub retries: u32,
    /// Variables of the environment (the manifest's `environments.*.variables`) that it gets; its result differs with them.
    pub variables: Vec<String>,
    /// Variables set for this gate alone, with their values.
    pub env: IndexMap<String, String>,
    /// Globs of the files that it reads, below the repository's root (as is every path of the manifest); empty means every file of the repository.
    pub inputs: Vec<String>,
    /// Globs taken out of `inputs`.
    pub except: Vec<String>,
    /// What it makes, globs below the repository's root; a directory ends with `/`.
    pub outputs: Vec<String>,
    /// Where it leaves its test report (`JUnit` XML), a path or a glob.
    pub report: Option<String>,
    /// Services that run beside it.
    pub services: Vec<Name>,
}

impl Gate {
    /// How long one attempt may take where the manifest does not say.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10 * 60);
}

/// A container that runs beside gates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its image.
    pub image: String,
    /// The port that it listens on.
    pub port: u16,
    /// The variable in which the gate finds its address, `scheme://127.0.0.1:port`.
    pub provides: String,
}

/// An image that is built once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The build context, below the repository's root.
    pub context: PathBuf,
    /// The Dockerfile, below the repository's root; `<context>/Dockerfile` when `None`.
    pub dockerfile: Option<PathBuf>,
    /// The stage to build; the last when `None`.
    pub target: Option<String>,
    /// Build arguments.
    pub args: IndexMap<String, String>,
    /// Environment variables that the build gets as build secrets, by name.
    pub secrets: Vec<String>,
    /// The largest allowed size in bytes.
    pub max_size: Option<u64>,
    /// Gates that pass before it is built; default none: images are built beside the gates.
    pub needs: Vec<Name>,
}

/// A named set of targets with their settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    /// Branches of the base repository whose pushes release it.
    pub branches: Vec<String>,
    /// How every pull request gets one of its own; `None` where none does.
    pub pull_request: Option<PullRequests>,
    /// Its targets in the order written; every target of the manifest where it has no list.
    pub targets: Vec<Name>,
    /// How long the serving revisions are judged before the commit; default [`Environment::DEFAULT_WATCH`].
    pub watch: Duration,
    /// The longest time for which a release may be spread over two sides.
    pub max_skew: Option<Duration>,
    /// What differs from environment to environment when gates make outputs.
    pub variables: IndexMap<String, Variable>,
    /// Its targets that it overrides, whole, as they are in it. Read by [`Manifest::in_environment`].
    pub overridden: IndexMap<Name, Target>,
}

impl Environment {
    /// How long serving revisions are judged where the manifest does not say: long enough for a crash at the first requests and for two rounds
    /// of a platform's usual five-second checks, short enough for a person to wait.
    pub const DEFAULT_WATCH: Duration = Duration::from_secs(10);
}

/// The value of an environment's variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// Itself.
    Text(String),
    /// The public address of a target of the same environment, known when the target is.
    UrlOf {
        /// The target.
        target: Name,
        /// What is put behind the address; empty or beginning with `/`.
        path: String,
    },
}
