//! The stage of one case: an embedded world in process in which the product is, or is not yet, released.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::blueprint::{
    ACCOUNT, BRANCH, Blueprint, CLOUDFLARE_TOKEN, FLY_TOKEN, GITHUB_TOKEN, Part, Seed, SeededGroup, TEAM, VERCEL_TOKEN,
};
use super::schedule::{Beginning, Keeping, Schedule};
use super::truth::{FOREIGN, Platforms, STRANGER, Truth};
use crate::clock::Clock;
use crate::embedded::cloudflare::{self, Cloudflare};
use crate::embedded::fly::{Earlier, Fleet, Fly, Group, Mount, Scope, Scripted, Switches};
use crate::embedded::github::{CommitSeed, GitHub, JobSeed, Level, RepositorySeed, RunSeed, Token};
use crate::embedded::registry::Registry;
use crate::embedded::vercel::{ProjectSeed, Tree, Vercel};
use crate::embedded::world::World;
use crate::id::Chance;
use crate::release::store::file::FileStore;

/// The repository whose ref is the journal, where it is kept on GitHub.
pub const REPOSITORY: &str = "drill/product";
/// How many runners a case can have on GitHub.
const RUNS: u64 = 12;
/// When every case begins.
const BEGINNING: &str = "2026-11-21T05:00:00Z";
/// The organisation that every app belongs to.
const ORGANISATION: &str = "drill";
/// How long the edges have to learn what serves before anything runs: longer than any of them lags.
const SETTLED: Duration = Duration::from_secs(1);

/// A world and the product in it.
#[derive(Debug)]
pub struct Arena {
    /// What is released.
    pub blueprint: Arc<Blueprint>,
    /// The platforms.
    pub platforms: Platforms,
    /// The world's time.
    pub clock: Clock,
    /// What was true before anything ran.
    pub before: Truth,
    folder: tempfile::TempDir,
}

impl Arena {
    /// Makes a world as the schedule says. Errors: no temporary folder, or a disk that is full.
    pub async fn raise(blueprint: Arc<Blueprint>, schedule: &Schedule) -> std::io::Result<Self> {
        let clock = Clock::starting_at(BEGINNING.parse().unwrap_or_default());
        let world = World::in_process(clock, Chance::seeded(schedule.seed));
        let registry = Registry::add_to(&world)?;
        let fly = Fly::add_to(&world, &registry, Switches::default());
        let vercel = Vercel::new(world.ground());
        vercel.add_to(&world);
        fly.seed_token(FLY_TOKEN, &Scope::Org(ORGANISATION.to_owned()), "deployer");
        let github = GitHub::new(world.ground());
        github.add_to(&world);
        let cloudflare = Cloudflare::new(world.ground());
        cloudflare.add_to(&world);
        let platforms = Platforms { world, fly, vercel, cloudflare, github };
        let teams = blueprint.parts.iter().filter_map(|part| match &part.seed {
            Seed::Project { team, .. } => Some(team.as_str()),
            Seed::App { .. } | Seed::Site { .. } | Seed::Worker { .. } => None,
        });
        let teams: Vec<&str> = std::iter::once(TEAM).chain(teams).collect();
        for team in &teams {
            platforms.vercel.seed_team(team, team.trim_start_matches("team_"));
        }
        platforms.vercel.seed_token(VERCEL_TOKEN, "usr_drill", &teams, None);
        let accounts = blueprint.parts.iter().filter_map(|part| match &part.seed {
            Seed::Site { account, .. } | Seed::Worker { account, .. } => Some(account.as_str()),
            Seed::App { .. } | Seed::Project { .. } => None,
        });
        let accounts: Vec<&str> = std::iter::once(ACCOUNT).chain(accounts).collect();
        platforms.cloudflare.seed_token(CLOUDFLARE_TOKEN, &accounts);
        for part in &blueprint.parts {
            platforms.seed(part, &registry, schedule.beginning)?;
        }
        platforms.seed_strangers(&registry).await?;
        if schedule.keeping == Keeping::Ref {
            platforms.seed_github();
        }
        tokio::time::sleep(SETTLED).await;
        let before = platforms.truth(&blueprint);
        let folder = tempfile::Builder::new().prefix("cutover-case-").tempdir_in(scratch())?;
        Ok(Self { blueprint, platforms, clock, before, folder })
    }

    /// Returns where the journal is kept when it is a file.
    pub fn journal(&self) -> PathBuf {
        FileStore::path(self.folder.path(), &self.blueprint.product, &self.blueprint.environment)
    }
}

/// Returns the workflow run that a runner is, where GitHub knows it.
pub const fn run_of(runner: u64) -> u64 {
    7_000 + runner
}

/// Returns its job.
const fn job_of(runner: u64) -> i64 {
    (9_000 + runner).cast_signed()
}

/// Returns a folder for what lives only as long as a case: in memory where the system has such a place, since every append is synced.
fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

impl Platforms {
    fn seed(&self, part: &Part, registry: &Registry, beginning: Beginning) -> std::io::Result<()> {
        match &part.seed {
            Seed::App { app, secrets, scripted, earlier, image, groups, region, database, .. } => {
                let borrowed: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                self.fly.seed_app(app, ORGANISATION, &borrowed);
                if let Some(database) = database {
                    self.fly.seed_database(database, ORGANISATION, region);
                }
                registry.stand_in(app, "new", image);
                for (path, status, headers) in scripted {
                    let answer = Scripted { status: *status, headers: headers.clone() };
                    self.fly.switch(|switches| drop(switches.scripted.insert((app.clone(), path.clone()), answer)));
                }
                if beginning == Beginning::Earlier {
                    registry.stand_in(app, "earlier", &earlier.1);
                    self.seed_machines(app, &earlier.0, groups);
                }
            }
            Seed::Project { project, team } => {
                let id = if project.starts_with("prj_") { project.clone() } else { format!("prj_{}", project.replace('-', "")) };
                self.vercel.seed_project(ProjectSeed::new(project, &id, team));
                if beginning == Beginning::Earlier {
                    let page = format!("<!doctype html><p>earlier {project}\n");
                    let tree: Tree = [("index.html".to_owned(), page.into_bytes())].into();
                    self.vercel.seed_earlier_deployment(project, &tree, BTreeMap::new())?;
                }
            }
            Seed::Site { project, account, built } => {
                let seed = cloudflare::ProjectSeed::new(account, project);
                // Pushes build nothing: only a release asks for a build.
                let repository = built.as_ref().map(|_| (REPOSITORY.to_owned(), false));
                self.cloudflare.seed_project(cloudflare::ProjectSeed { repository, ..seed });
                if let Some(sha) = built {
                    let page = format!("<!doctype html><p>built {project}\n");
                    let tree: cloudflare::Tree = [("index.html".to_owned(), page.into_bytes())].into();
                    self.cloudflare.seed_commit(project, BRANCH, sha, &tree)?;
                }
                if beginning == Beginning::Earlier {
                    let page = format!("<!doctype html><p>earlier {project}\n");
                    let tree: cloudflare::Tree = [("index.html".to_owned(), page.into_bytes())].into();
                    self.cloudflare.seed_earlier_deployment(project, &tree)?;
                }
            }
            Seed::Worker { name, account } => {
                self.cloudflare.seed_worker(cloudflare::WorkerSeed::new(account, name));
                if beginning == Beginning::Earlier {
                    let page = format!("<!doctype html><p>earlier {name}\n");
                    let tree: cloudflare::Tree = [("index.html".to_owned(), page.into_bytes())].into();
                    self.cloudflare.seed_earlier_version(name, &tree)?;
                }
            }
        }
        Ok(())
    }

    fn seed_machines(&self, app: &str, image: &str, groups: &[SeededGroup]) {
        let places: Vec<Vec<(&str, usize)>> =
            groups.iter().map(|group| group.regions.iter().map(|region| (region.as_str(), 1)).collect()).collect();
        let groups: Vec<Group<'_>> = groups
            .iter()
            .zip(&places)
            .map(|(group, places)| Group {
                mount: group.mount.as_ref().map(|(name, path, size_gb)| Mount { name, path, size_gb: *size_gb }),
                stopped: group.asleep,
                standbys: group.standbys,
                ..Group::of(&group.name, group.config.clone(), places)
            })
            .collect();
        self.fly.seed_fleet(&Fleet { app, image, groups: &groups });
    }

    /// A repository with a run, and a job in it, for every runner that may come.
    fn seed_github(&self) {
        let permissions = [("contents", Level::Write), ("deployments", Level::Write), ("actions", Level::Read)];
        self.github.seed_token(GITHUB_TOKEN, Token::of_job(&permissions));
        self.github.seed_repository(&RepositorySeed { private: true, ..RepositorySeed::new(REPOSITORY) });
        let first = CommitSeed { message: "first".to_owned(), ..CommitSeed::default() };
        let sha = self.github.seed_commit(REPOSITORY, "main", first).unwrap_or_default();
        for runner in 1..=RUNS {
            let run = RunSeed {
                id: run_of(runner).cast_signed(),
                workflow: "release.yml".to_owned(),
                event: "push".to_owned(),
                branch: "main".to_owned(),
                sha: sha.clone(),
                attempt: 1,
            };
            let job = JobSeed { id: job_of(runner), run: run.id, attempt: 1, name: "release".to_owned(), runner: None };
            self.github.seed_run(REPOSITORY, run);
            self.github.seed_job(REPOSITORY, job);
        }
    }

    /// Lets GitHub know that a runner's job is over.
    pub fn job_is_over(&self, runner: u64) {
        self.github.end_job(REPOSITORY, job_of(runner), "failure");
    }

    /// An app and two projects that are somebody else's, within reach of the same tokens.
    async fn seed_strangers(&self, registry: &Registry) -> std::io::Result<()> {
        self.fly.seed_app(STRANGER, ORGANISATION, &[]);
        let digest = format!("sha256:{}", "5".repeat(64));
        registry.stand_in(STRANGER, "theirs", &digest);
        let image = format!("registry.fly.io/{STRANGER}:theirs@{digest}");
        let earlier = Earlier { app: STRANGER, config: json!({ "services": [] }), regions: &["iad"], image: &image, group: "app" };
        self.fly.seed_earlier_release(&earlier).await;
        self.vercel.seed_project(ProjectSeed { auto_assign: false, ..ProjectSeed::new(STRANGER, "prj_stranger", TEAM) });
        let tree: Tree = [("index.html".to_owned(), b"theirs".to_vec())].into();
        let made_by = BTreeMap::from([(FOREIGN.to_owned(), "somebody".to_owned())]);
        self.vercel.seed_earlier_deployment(STRANGER, &tree, made_by)?;
        self.cloudflare.seed_project(cloudflare::ProjectSeed::new(ACCOUNT, STRANGER));
        self.cloudflare.seed_earlier_deployment(STRANGER, &tree)?;
        Ok(())
    }
}
