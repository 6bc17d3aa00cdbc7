//! Making a machine, and giving it another version.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use http::HeaderMap;
use serde_json::{Value, json};

use super::{Answer, Fly, nonce, resting};
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::config;
use crate::embedded::fly::lifecycle::{Then, Version};
use crate::embedded::fly::machine::{Lease, Machine, MachineState};
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::responder::{self, Behaviour};
use crate::embedded::fly::state::App;
use crate::embedded::fly::storage::{self, volume_ids};
use crate::embedded::fly::switches::{NewSecrets, Switches, UnknownImage};
use crate::embedded::fly::wire::{self, MachineBody};
use crate::embedded::fly::{Inner, routes::account};
use crate::embedded::ground::{lock, partial};
use crate::embedded::tape::hex;

use sha2::{Digest, Sha256};

pub(super) async fn create(State(fly): Fly, caller: Caller, Path(app): Path<String>, body: Bytes) -> Answer {
    caller.app(&mut lock(&fly.state), &app)?;
    let body: MachineBody = wire::read(&body)?;
    let switches = fly.switches();
    let config = config::accept(&body.config, switches.autostop_as_text)?;
    let region = body.region.clone().filter(|region| !region.is_empty()).unwrap_or_else(|| account::NEAREST.to_owned());
    if !account::is_region(&region) {
        return Err(Problem::new(422, format!("invalid region: '{region}'")));
    }
    let image = fly.resolve(&config)?;
    let (machine, hold) = fly.new_machine(&caller, &app, &body, config, region, image)?;
    let (id, epoch) = (machine.id.clone(), machine.epoch);
    let mut answer = wire::machine(&machine);
    // The nonce is only ever given here. Source: the OpenAPI document.
    if let Some(lease) = &machine.lease {
        answer["nonce"] = json!(lease.nonce);
    }
    fly.settle(&app);
    let then = match (body.skip_launch, partial()) {
        (true, _) => resting(&fly),
        (false, true) => Then::Stay(MachineState::Created),
        (false, false) => Then::Launch,
    };
    fly.place(&app, &id, epoch, then, hold);
    Ok(Json(answer))
}

pub(super) async fn update(
    State(fly): Fly,
    caller: Caller,
    Path((app, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let body: MachineBody = wire::read(&body)?;
    let switches = fly.switches();
    let config = config::accept(&body.config, switches.autostop_as_text)?;
    let (digest, pulled) = fly.resolve(&config)?;
    let instance_id = fly.ulid();
    let (secrets, hold, machine) = {
        let now = fly.now().elapsed;
        let mut state = lock(&fly.state);
        let app = caller.app(&mut state, &app)?;
        let (secrets, hold) = secrets_of(app, body.min_secrets_version, now, &switches)?;
        let machine = app.machines.get(&id).filter(|machine| machine.died.is_none()).ok_or_else(|| Problem::no_machine(&id))?;
        machine.guard(nonce(&headers), now, switches.stale_nonce_is_refused)?;
        fly.reachable(machine.host_status)?;
        machine.may_update()?;
        // Source of the status: Fly's staff at community.fly.io/t/15555 ("current_version ... does not match").
        if body.current_version.as_deref().is_some_and(|version| !version.is_empty() && version != machine.instance_id) {
            return Err(Problem::conflict(format!("machine ID {id}: current_version does not match, it is {}", machine.instance_id)));
        }
        if body.region.as_deref().is_some_and(|region| !region.is_empty() && region != machine.region) {
            return Err(Problem::new(400, "invalid region: a machine cannot be moved"));
        }
        if volume_ids(&config) != volume_ids(&machine.config) {
            // Source: flyctl replaces a machine whose volume changes, because an update cannot.
            return Err(Problem::new(400, "invalid config.mounts: the volume of a machine cannot be changed"));
        }
        (secrets, hold, machine.clone())
    };
    fly.room_in_place(&app, &machine, false)?;
    let cordoned = if body.skip_service_registration { Some(true) } else { switches.update_registers.then_some(false) };
    let then = if body.skip_launch || partial() { Then::Stay(MachineState::Stopped) } else { Then::Launch };
    fly.replace(&app, &id, Version { instance_id, config: Arc::new(config), digest, pulled, secrets, hold, cordoned }, then);
    fly.look(&caller, &app, &id, wire::machine).map(Json)
}

/// Returns the version of the secrets that a machine made or updated `now` runs with, and how long it has to wait for it.
fn secrets_of(app: &App, least: Option<u64>, now: Duration, switches: &Switches) -> Result<(u64, Duration), Problem> {
    let (have, published) = (app.secrets_version(), app.secrets_published(now, switches.secrets_lag));
    let least = least.unwrap_or(0);
    if least > have || (least > published && switches.new_secrets == NewSecrets::Refused) {
        return Err(Problem::new(412, format!("failed_precondition: secrets version {least} is not available, it is {published}")));
    }
    let hold = app.secrets_arrive(least, switches.secrets_lag).saturating_sub(now);
    Ok((published.max(least), hold))
}

impl Inner {
    /// Returns the digest that a configuration's image stands for, and whether its registry has it.
    fn resolve(&self, config: &Value) -> Result<(String, bool), Problem> {
        let image = config::text(config, "image").unwrap_or_default();
        let named = image.split_once('@').map(|(_, digest)| digest.to_owned());
        let (registry, repository, tag) = wire::image_parts(image);
        // What another registry has cannot be known here; a digest of its name stands for it.
        let stand_in = || format!("sha256:{}", hex(Sha256::digest(image).as_slice()));
        if !self.registry.is_called(registry) {
            return Ok((named.unwrap_or_else(stand_in), true));
        }
        let reference = named.clone().unwrap_or_else(|| if tag.is_empty() { "latest".to_owned() } else { tag.to_owned() });
        match (self.registry.find(repository, &reference), self.switches().unknown_image) {
            (Some(digest), _) => Ok((digest, true)),
            (None, UnknownImage::Refused) => Err(Problem::new(404, format!("failed to launch VM: unknown: manifest unknown: {image}"))),
            (None, UnknownImage::LaunchFails) => Ok((named.unwrap_or_else(stand_in), false)),
            (None, UnknownImage::Believed) => Ok((named.unwrap_or_else(stand_in), true)),
        }
    }

    /// Adds a machine in state `creating`, after the checks that need the app's state; says how long it has to wait for its secrets.
    fn new_machine(
        self: &Arc<Self>,
        caller: &Caller,
        app: &str,
        body: &MachineBody,
        config: Value,
        region: String,
        (digest, pulled): (String, bool),
    ) -> Result<(Machine, Duration), Problem> {
        let (switches, now) = (self.switches(), self.now().elapsed);
        let name = body.name.clone().filter(|name| !name.is_empty());
        let (secrets, hold) = {
            let mut state = lock(&self.state);
            let app = caller.app(&mut state, app)?;
            let secrets = secrets_of(app, body.min_secrets_version, now, &switches)?;
            if switches.names_are_unique && name.as_deref().is_some_and(|name| app.has_name(name)) {
                return Err(Problem::new(409, "already_exists: unique machine name violation"));
            }
            if switches.most_machines.is_some_and(|most| app.living().count() >= most) {
                return Err(Problem::new(422, "Your organization has reached its machine limit. Please contact billing@fly.io"));
            }
            storage::may_mount(app, &config, &region, now, &switches.pace)?;
            secrets
        };
        self.room_for_new(app, &config, &region, !body.skip_launch)?;
        let lease = body.lease_ttl.filter(|ttl| *ttl > 0).map(|ttl| self.new_lease(caller, Duration::from_secs(ttl), String::new()));
        let mut machine = self.bare_machine(name, region, config, digest);
        machine.cordoned = body.skip_service_registration;
        machine.lease = lease;
        (machine.pulled, machine.secrets) = (pulled, secrets);
        let mut state = lock(&self.state);
        let app = caller.app(&mut state, app)?;
        machine.behaviour = responder::behaviour(&app.behaviours, &machine, switches.pace.job);
        // Somebody else may have taken the volume since it was looked at.
        storage::may_mount(app, &machine.config, &machine.region, now, &switches.pace)?;
        storage::attach(app, &machine.config, &machine.id);
        app.machines.insert(machine.id.clone(), machine.clone());
        Ok((machine, hold))
    }

    /// Returns a machine of version one in state `creating`, not yet in any app.
    pub(in crate::embedded::fly) fn bare_machine(&self, name: Option<String>, region: String, config: Value, digest: String) -> Machine {
        let config = Arc::new(config);
        let (now, number, instance_id) = (self.now(), lock(&self.state).number(), self.ulid());
        let id = self.hex(14);
        let mut machine = Machine {
            name: name.unwrap_or_else(|| format!("machine-{}", self.hex(6))),
            state: MachineState::Creating,
            region,
            private_ip: format!("fdaa:0:1:a7b:{number:x}:0:1:2"),
            created_at: now.wall,
            updated_at: now.wall,
            born: now.elapsed,
            died: None,
            versions: vec![(instance_id.clone(), config.clone())],
            instance_id,
            ordinal: number,
            config: config.clone(),
            digest,
            cordoned: false,
            host_status: "ok",
            events: Vec::new(),
            checks: BTreeMap::new(),
            lease: None,
            epoch: 1,
            behaviour: Behaviour::Healthy,
            restarts: 0,
            started_at: None,
            routed_at: None,
            asked_at: None,
            woken: false,
            pulled: true,
            ran: false,
            secrets: 0,
            container: None,
            id,
        };
        machine.event(&self.ulid(), now.wall, "launch", "created", "user", None);
        machine
    }

    /// Returns a lease for `caller` from now on.
    pub(super) fn new_lease(&self, caller: &Caller, ttl: Duration, description: String) -> Lease {
        let now = self.now();
        Lease {
            nonce: self.hex(16),
            until: now.elapsed + ttl,
            expires_at: now.wall.saturating_add(ttl).unwrap_or(now.wall),
            owner: caller.token.owner.clone(),
            description,
        }
    }
}
