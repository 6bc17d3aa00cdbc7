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
    /// Its apps, each with its strategy.
    apps: &'static [(&'static str, &'static str)],
    /// Its projects, each with the target that must serve before it.
    projects: &'static [(&'static str, Option<&'static str>)],
    /// What its apps' targets say besides.
    more: &'static str,
    /// Whether its apps migrate a database and change a secret.
    migrates: bool,
}

/// Every product of the matrix.
pub const FIXTURES: [Fixture; 6] = [
    Fixture { name: "pair", apps: &[("api", "bluegreen")], projects: &[("web", Some("api"))], more: "", migrates: false },
    Fixture { name: "rolling", apps: &[("api", "rolling")], projects: &[("web", Some("api"))], more: "", migrates: false },
    Fixture { name: "trio", apps: &[("api", "bluegreen")], projects: &[("front", Some("api")), ("docs", None)], more: "", migrates: false },
    Fixture { name: "apps", apps: &[("api", "bluegreen"), ("jobs", "rolling")], projects: &[], more: "", migrates: false },
    Fixture {
        name: "kept",
        apps: &[("api", "bluegreen")],
        projects: &[("web", Some("api"))],
        more: ", keep_previous: 30m",
        migrates: false,
    },
    Fixture { name: "migrating", apps: &[("api", "bluegreen")], projects: &[("web", Some("api"))], more: "", migrates: true },
];

/// Why a fixture is not there; a fault of this program, not of whoever uses it.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// No fixture has this name.
    #[error("there is no fixture {0}; there are pair, rolling, trio, apps, kept and migrating")]
    Unknown(String),
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
        FIXTURES.into_iter().find(|fixture| fixture.name == name).ok_or_else(|| Unfit::Unknown(name.to_owned()))
    }

    /// Returns it ready to be drilled, with its files in a folder that stays: of the same folder the same is made.
    pub fn blueprint(&self, folder: &Path) -> Result<Blueprint, Unfit> {
        let folder = folder.join(self.name);
        std::fs::create_dir_all(&folder)?;
        for (app, strategy) in self.apps {
            std::fs::create_dir_all(folder.join(app))?;
            std::fs::write(folder.join(app).join("fly.toml"), toml(app, strategy, self.migrates))?;
            std::fs::write(folder.join(app).join("Dockerfile"), "FROM scratch\n")?;
        }
        for (project, _) in self.projects {
            std::fs::create_dir_all(folder.join(project))?;
            std::fs::write(folder.join(project).join("index.html"), "<!doctype html>\n")?;
        }
        std::fs::write(folder.join(manifest::FILE_NAME), self.manifest())?;
        let faults = |faults: manifest::Faults| {
            Unfit::Manifest(faults.faults.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>().join("; "))
        };
        let loaded = manifest::load(&folder).map_err(faults)?;
        let production = Name::parse("production").ok_or_else(|| Unfit::Unknown("production".to_owned()))?;
        Ok(Blueprint::of_in(self.name, &loaded, &production, &folder.join("stand-ins"))?)
    }

    fn manifest(&self) -> String {
        let mut text = format!("version: 1\nproduct: {}\nimages:\n", self.name);
        // Writing to a string cannot fail.
        for (app, _) in self.apps {
            let _ = writeln!(text, "  {app}: {app}");
        }
        text.push_str("targets:\n");
        for (app, _) in self.apps {
            let more = self.more;
            let (secrets, migration) = if self.migrates {
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
        for (project, after) in self.projects {
            let after = after.map(|after| format!(", after: {after}")).unwrap_or_default();
            let _ = writeln!(text, "  {project}: {{ vercel: {}-{project}, dir: {project}{after}, verify: [{{ get: / }}] }}", self.name);
        }
        text.push_str("environments:\n  production: { branch: main, watch: 1s }\n");
        text
    }
}

fn toml(app: &str, strategy: &str, migrates: bool) -> String {
    let command = if migrates { "release_command = \"migrate\"\n" } else { "" };
    format!(
        r#"app = "{app}"
primary_region = "iad"
kill_timeout = "1s"
[deploy]
strategy = "{strategy}"
{command}[http_service]
internal_port = 8080
auto_stop_machines = "off"
[[http_service.checks]]
path = "/health"
interval = "2s"
grace_period = "1s"
"#
    )
}
