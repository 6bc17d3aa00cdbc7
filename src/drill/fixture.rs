//! The products that the matrix breaks: small, so that a case is cheap, and together of every kind that a release can meet.

use std::fmt::Write as _;
use std::path::Path;

use super::blueprint::{Blueprint, Undrillable};
use crate::id::Name;
use crate::manifest;

/// A product of the matrix.
#[derive(Debug, Clone, Copy)]
pub struct Fixture {
    /// Its name in schedules.
    pub name: &'static str,
    /// Its apps.
    apps: &'static [App],
    /// Its projects, each with the target that must serve before it.
    projects: &'static [(&'static str, Option<&'static str>)],
    /// Its projects on Cloudflare Pages and its workers.
    sites: &'static [Site],
    /// What its apps' targets say besides.
    more: &'static str,
}

/// An app of a product.
#[derive(Debug, Clone, Copy)]
struct App {
    name: &'static str,
    strategy: &'static str,
    kind: Kind,
}

/// A site on Cloudflare.
#[derive(Debug, Clone, Copy)]
struct Site {
    /// The manifest's word for its kind.
    kind: &'static str,
    name: &'static str,
    after: Option<&'static str>,
}

/// What an app is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Machines that users reach.
    Web,
    /// Those, and a process group that works without being asked.
    Workers,
    /// One machine with a volume.
    Volume,
    /// Machines that users reach, a database that is migrated before they are made, and a secret that changes.
    Migrating,
    /// Machines that sleep when nobody asks them: one does when a release begins.
    Sleeping,
}

const fn app(name: &'static str, strategy: &'static str, kind: Kind) -> App {
    App { name, strategy, kind }
}

const fn pages(name: &'static str, after: Option<&'static str>) -> Site {
    Site { kind: "pages", name, after }
}

const fn built(name: &'static str, after: Option<&'static str>) -> Site {
    Site { kind: "built", name, after }
}

const fn worker(name: &'static str, after: Option<&'static str>) -> Site {
    Site { kind: "worker", name, after }
}

const fn web(name: &'static str, strategy: &'static str) -> App {
    app(name, strategy, Kind::Web)
}

/// Every product of the matrix.
pub const FIXTURES: [Fixture; 15] = [
    Fixture { name: "pair", apps: &[web("api", "bluegreen")], projects: &[("web", Some("api"))], sites: &[], more: "" },
    Fixture { name: "rolling", apps: &[web("api", "rolling")], projects: &[("web", Some("api"))], sites: &[], more: "" },
    Fixture { name: "trio", apps: &[web("api", "bluegreen")], projects: &[("front", Some("api")), ("docs", None)], sites: &[], more: "" },
    Fixture { name: "apps", apps: &[web("api", "bluegreen"), web("jobs", "rolling")], projects: &[], sites: &[], more: "" },
    Fixture { name: "kept", apps: &[web("api", "bluegreen")], projects: &[("web", Some("api"))], sites: &[], more: ", keep_previous: 30m" },
    Fixture {
        name: "migrating",
        apps: &[app("api", "bluegreen", Kind::Migrating)],
        projects: &[("web", Some("api"))],
        sites: &[],
        more: "",
    },
    Fixture { name: "canary", apps: &[web("api", "canary")], projects: &[], sites: &[], more: "" },
    Fixture { name: "immediate", apps: &[web("api", "immediate")], projects: &[], sites: &[], more: "" },
    Fixture { name: "groups", apps: &[app("api", "bluegreen", Kind::Workers)], projects: &[], sites: &[], more: "" },
    Fixture { name: "volume", apps: &[app("api", "rolling", Kind::Volume)], projects: &[], sites: &[], more: "" },
    Fixture { name: "sleeping", apps: &[app("api", "bluegreen", Kind::Sleeping)], projects: &[], sites: &[], more: "" },
    Fixture { name: "site", apps: &[], projects: &[], sites: &[pages("site", None)], more: "" },
    Fixture { name: "built", apps: &[], projects: &[], sites: &[built("site", None)], more: "" },
    Fixture { name: "worker", apps: &[], projects: &[], sites: &[worker("site", None)], more: "" },
    Fixture {
        name: "all",
        apps: &[web("api", "bluegreen")],
        projects: &[("web", Some("api"))],
        sites: &[pages("docs", Some("web")), worker("help", None)],
        more: "",
    },
];

/// Why a fixture is not there; a fault of this program, not of whoever uses it.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// No fixture has this name.
    #[error("there is no fixture {name}; there are {}", FIXTURES.map(|fixture| fixture.name).join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// Its files cannot be written.
    #[error("a fixture cannot be written: {0}")]
    Folder(#[from] std::io::Error),
    /// Its manifest has faults.
    #[error("the manifest of the fixture has faults: {0}")]
    Manifest(String),
    /// It cannot be drilled.
    #[error(transparent)]
    Undrillable(#[from] Undrillable),
}

impl Fixture {
    /// Returns the fixture of this name.
    pub fn called(name: &str) -> Result<Self, Unfit> {
        FIXTURES.into_iter().find(|fixture| fixture.name == name).ok_or_else(|| Unfit::Unknown { name: name.to_owned() })
    }

    /// Returns it ready to be drilled, with its files in a folder that stays: of the same folder the same is made.
    pub fn blueprint(&self, folder: &Path) -> Result<Blueprint, Unfit> {
        let folder = folder.join(self.name);
        std::fs::create_dir_all(&folder)?;
        for app in self.apps {
            std::fs::create_dir_all(folder.join(app.name))?;
            std::fs::write(folder.join(app.name).join("fly.toml"), app.toml())?;
            std::fs::write(folder.join(app.name).join("Dockerfile"), "FROM scratch\n")?;
        }
        let projects = self.projects.iter().map(|(project, _)| *project);
        for project in projects.chain(self.sites.iter().map(|site| site.name)) {
            std::fs::create_dir_all(folder.join(project))?;
            std::fs::write(folder.join(project).join("index.html"), "<!doctype html>\n")?;
        }
        std::fs::write(folder.join(manifest::FILE_NAME), self.manifest())?;
        let faults = |faults: manifest::Faults| {
            Unfit::Manifest(faults.faults.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>().join("; "))
        };
        let loaded = manifest::load(&folder).map_err(faults)?;
        let production = Name::parse("production").ok_or_else(|| Unfit::Unknown { name: "production".to_owned() })?;
        Ok(Blueprint::of_in(self.name, &loaded, &production, &folder.join("stand-ins"))?)
    }

    fn manifest(&self) -> String {
        let mut text = format!("version: 1\nproduct: {}\n", self.name);
        if !self.apps.is_empty() {
            text.push_str("images:\n");
        }
        // Writing to a string cannot fail.
        for App { name: app, .. } in self.apps {
            let _ = writeln!(text, "  {app}: {app}");
        }
        text.push_str("targets:\n");
        for App { name: app, kind, .. } in self.apps {
            let more = self.more;
            let (secrets, migration) = if *kind == Kind::Migrating {
                ("API_KEY, { name: SESSION_KEY, compatible: true }", format!(", migration: {{ database: {app}-db, rpo: 26h }}"))
            } else {
                ("API_KEY", String::new())
            };
            let checks = "[{ get: /health }, { get: /version, json: /revision, equals: revision }]";
            let _ = writeln!(
                text,
                "  {app}: {{ fly: {{ config: {app}/fly.toml{more} }}, image: {app}, secrets: [{secrets}]{migration}, verify: {checks} }}"
            );
        }
        let sites = self.sites.iter().map(|site| (site.kind, site.name, site.after));
        for (platform, project, after) in self.projects.iter().map(|(project, after)| ("vercel", *project, *after)).chain(sites) {
            let after = after.map(|after| format!(", after: {after}")).unwrap_or_default();
            let own = format!("{}-{project}", self.name);
            let what = if platform == "built" {
                format!("pages: {{ project: {own}, git: true }}")
            } else {
                format!("{platform}: {own}, dir: {project}")
            };
            let _ = writeln!(text, "  {project}: {{ {what}{after}, verify: [{{ get: / }}] }}");
        }
        text.push_str("environments:\n  production: { branch: main, watch: 1s }\n");
        text
    }
}

impl App {
    fn toml(&self) -> String {
        let Self { name, strategy, kind } = self;
        let sleeps = if *kind == Kind::Sleeping { "\"stop\"\nauto_start_machines = true" } else { "\"off\"" };
        let more = match kind {
            Kind::Web | Kind::Sleeping => "",
            Kind::Migrating => "release_command = \"migrate\"\n",
            Kind::Workers => "[processes]\napp = \"serve\"\nworker = \"work\"\n",
            Kind::Volume => "[mounts]\nsource = \"data\"\ndestination = \"/data\"\n",
        };
        format!(
            r#"app = "{name}"
primary_region = "iad"
kill_timeout = "1s"
[deploy]
strategy = "{strategy}"
{more}[http_service]
internal_port = 8080
auto_stop_machines = {sleeps}
processes = ["app"]
[[http_service.checks]]
path = "/health"
interval = "2s"
grace_period = "1s"
"#
        )
    }
}
