//! How a rehearsal or a test fills the embedded Fly before anything runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::machine::{Machine, MachineState};
use super::responder;
use super::routes::secrets;
use super::state::{App, Release, Scope, Token};
use super::{Fly, Inner, PUBLIC_SUFFIX, config, storage, wire};
use crate::embedded::ground::lock;

/// The longest that the machines of an earlier release may take to serve: containers are pulled and booted in it.
const EARLIER_DEADLINE: Duration = Duration::from_secs(180);

/// A release that serves before anything runs: machines as flyctl would have left them.
#[derive(Debug, Clone)]
pub struct Earlier<'a> {
    /// The app's name.
    pub app: &'a str,
    /// The machines' configuration without image and metadata of the release.
    pub config: Value,
    /// One machine for each region named.
    pub regions: &'a [&'a str],
    /// The image reference.
    pub image: &'a str,
    /// The process group, usually `app`.
    pub group: &'a str,
}

impl Fly {
    /// Makes `token` known with `scope`; `owner` is what leases name as their holder.
    pub fn seed_token(&self, token: &str, scope: &Scope, owner: &str) {
        // The registry's password is the same token without a scheme.
        for piece in super::access::tokens(token) {
            match scope {
                Scope::Org(_) => self.inner.registry.allow(piece),
                Scope::App(name) => self.inner.registry.allow_only(piece, name),
                // Whether it could pull is nothing that a release asks for.
                Scope::Reader(_) => {}
            }
            let known = Token { text: piece.to_owned(), scope: scope.clone(), owner: owner.to_owned() };
            lock(&self.inner.state).tokens.push(known);
        }
    }

    /// Makes an app in `org` with secrets and public addresses, not yet deployed.
    pub fn seed_app(&self, name: &str, org: &str, secrets_to_set: &[(&str, &str)]) {
        self.inner.new_app(name, org, "");
        for kind in ["v6", "shared_v4"] {
            if let Ok(address) = self.inner.new_address(kind, "")
                && let Some(app) = lock(&self.inner.state).apps.get_mut(name)
            {
                app.addresses.push(address);
            }
        }
        let now = self.inner.now();
        if let Some(app) = lock(&self.inner.state).apps.get_mut(name) {
            for (key, value) in secrets_to_set {
                // A name that the API would refuse is not seeded either.
                let _ = secrets::write(app, key, Some(value), now);
            }
            if !secrets_to_set.is_empty() {
                app.secrets_written.push(None);
            }
        }
    }

    /// Makes an earlier release: a complete release record, and machines that are started, registered and healthy; returns their ids.
    ///
    /// Simulated machines serve at once; containers are waited for, three minutes at most. An unknown app gives no machines. Called again for
    /// another process group of the same image, it adds that group's machines to the same release.
    pub async fn seed_earlier_release(&self, earlier: &Earlier<'_>) -> Vec<String> {
        let inner = &self.inner;
        let Some(release) = inner.same_release(earlier).or_else(|| inner.seed_release(earlier)) else { return Vec::new() };
        let mut ids = Vec::new();
        for region in earlier.regions {
            let config = config::given_back(&earlier_config(earlier, &release), inner.switches().autostop_as_text);
            let (_, repository, tag) = wire::image_parts(earlier.image);
            let named = earlier.image.split_once('@').map(|(_, digest)| digest.to_owned());
            let digest = inner.registry.find(repository, named.as_deref().unwrap_or(tag)).or(named).unwrap_or_default();
            let mut machine = inner.bare_machine(None, (*region).to_owned(), config, digest);
            // What stands in for an image cannot be pulled: its machine is simulated.
            let contained = lock(&inner.engine).is_some() && !inner.registry.is_stand_in(repository, &machine.digest);
            let (id, epoch) = (machine.id.clone(), machine.epoch);
            if !contained {
                inner.already_runs(&mut machine);
            }
            if let Some(app) = lock(&inner.state).apps.get_mut(earlier.app) {
                machine.behaviour = responder::behaviour(&app.behaviours, &machine, inner.switches().pace.job);
                machine.secrets = app.secrets_version();
                storage::attach(app, &machine.config, &id);
                app.machines.insert(id.clone(), machine);
            }
            if contained {
                inner.launch(earlier.app, &id, epoch);
            } else {
                inner.examine(earlier.app, &id, epoch);
                inner.watch_idle(earlier.app, &id, epoch);
            }
            ids.push(id);
        }
        inner.settle(earlier.app);
        let serving = async {
            loop {
                let changed = inner.changes.notified();
                if ids.iter().all(|id| inner.serves(earlier.app, id)) {
                    return;
                }
                changed.await;
            }
        };
        // Not serving in time is for the release that follows to find out: it observes before it acts.
        let _ = tokio::time::timeout(EARLIER_DEADLINE, serving).await;
        ids
    }
}

/// The configuration of a machine of an earlier release, with the metadata that flyctl writes.
pub(super) fn earlier_config(earlier: &Earlier<'_>, release: &Release) -> Value {
    let mut config = earlier.config.clone();
    if !config.is_object() {
        config = json!({});
    }
    config["image"] = json!(earlier.image);
    if !config["metadata"].is_object() {
        config["metadata"] = json!({});
    }
    for (key, value) in [
        ("fly_platform_version", "v2".to_owned()),
        ("fly_process_group", earlier.group.to_owned()),
        ("fly_release_id", release.id.clone()),
        ("fly_release_version", release.version.to_string()),
        ("fly_flyctl_version", "0.4.60".to_owned()),
    ] {
        config["metadata"][key] = json!(value);
    }
    config
}

impl Inner {
    /// Returns whether a machine does what it is there for: takes traffic, or runs where it offers no service.
    fn serves(&self, app: &str, id: &str) -> bool {
        let state = lock(&self.state);
        let offers = |machine: &Machine| !config::list(&machine.config, "services").is_empty();
        state.machine(app, id).is_some_and(|machine| machine.state == MachineState::Started && (!offers(machine) || machine.routable()))
    }

    /// Returns the newest release, where it is `earlier`'s image and has no machine of its process group yet.
    fn same_release(&self, earlier: &Earlier<'_>) -> Option<Release> {
        let state = lock(&self.state);
        let app = state.apps.get(earlier.app)?;
        let there = |machine: &Machine| config::metadata(&machine.config, "fly_process_group") == Some(earlier.group);
        let newest = app.releases.last().filter(|release| release.image == earlier.image)?;
        (!app.machines.values().any(there)).then(|| newest.clone())
    }

    pub(super) fn seed_release(&self, earlier: &Earlier<'_>) -> Option<Release> {
        let (id, created_at) = (self.ulid(), self.now().wall);
        let mut state = lock(&self.state);
        let app = state.apps.get_mut(earlier.app)?;
        app.deployed = true;
        let release = Release {
            id,
            version: app.releases.last().map_or(1, |last| last.version + 1),
            status: "complete".to_owned(),
            strategy: "ROLLING".to_owned(),
            image: earlier.image.to_owned(),
            definition: json!({ "app": earlier.app }),
            metadata: Value::Null,
            created_at,
        };
        app.releases.push(release.clone());
        Some(release)
    }

    /// Adds an app without anything in it; its public host name is known from now on and answered with 503.
    pub(super) fn new_app(&self, name: &str, org: &str, network: &str) {
        let born = self.now().elapsed;
        let mut state = lock(&self.state);
        let number = state.number();
        let app = App {
            id: format!("app_{number:08x}"),
            number,
            name: name.to_owned(),
            org: org.to_owned(),
            born,
            network: if network.is_empty() { "default" } else { network }.to_owned(),
            deployed: false,
            machines: BTreeMap::new(),
            volumes: BTreeMap::new(),
            secrets: BTreeMap::new(),
            secrets_written: Vec::new(),
            addresses: Vec::new(),
            releases: Vec::new(),
            logs: Vec::new(),
            behaviours: Vec::new(),
        };
        state.apps.insert(name.to_owned(), app);
        drop(state);
        self.registry.open(name);
        self.ground.traffic.set(&format!("{name}{PUBLIC_SUFFIX}"), Vec::new());
    }

    /// Forgets the public host name of an app that is gone.
    pub(super) fn forget_routes(&self, name: &str) {
        self.ground.traffic.remove(&format!("{name}{PUBLIC_SUFFIX}"));
    }
}
