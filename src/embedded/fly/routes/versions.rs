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
use crate::embedded::fly::switches::UnknownImage;
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
    let (digest, known) = fly.resolve(&config)?;
    let machine = fly.new_machine(&caller, &app, &body, config, region, digest)?;
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
    fly.place(&app, &id, epoch, then, known);
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
    let (digest, _) = fly.resolve(&config)?;
    let instance_id = fly.ulid();
    {
        let now = fly.now().elapsed;
        let mut state = lock(&fly.state);
        let app = caller.app(&mut state, &app)?;
        secrets_are_new_enough(app.secrets_version, body.min_secrets_version)?;
        let machine = app.machines.get(&id).filter(|machine| machine.died.is_none()).ok_or_else(|| Problem::no_machine(&id))?;
        machine.guard(nonce(&headers), now, switches.stale_nonce_is_refused)?;
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
    }
    let cordoned = if body.skip_service_registration { Some(true) } else { switches.update_registers.then_some(false) };
    let then = if body.skip_launch || partial() { Then::Stay(MachineState::Stopped) } else { Then::Launch };
    fly.replace(&app, &id, Version { instance_id, config: Arc::new(config), digest, cordoned }, then);
    fly.look(&caller, &app, &id, wire::machine).map(Json)
}

/// A guess: the real server may wait for the secrets instead of refusing.
fn secrets_are_new_enough(have: u64, want: Option<u64>) -> Result<(), Problem> {
    match want {
        Some(want) if want > have => {
            Err(Problem::new(412, format!("failed_precondition: secrets version {want} is not available, it is {have}")))
        }
        _ => Ok(()),
    }
}

fn volume_ids(config: &Value) -> Vec<&str> {
    config::list(config, "mounts").iter().filter_map(|mount| config::text(mount, "volume")).collect()
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

    /// Adds a machine in state `creating`, after the checks that need the app's state.
    fn new_machine(
        self: &Arc<Self>,
        caller: &Caller,
        app: &str,
        body: &MachineBody,
        config: Value,
        region: String,
        digest: String,
    ) -> Result<Machine, Problem> {
        let switches = self.switches();
        let name = body.name.clone().filter(|name| !name.is_empty());
        {
            let mut state = lock(&self.state);
            let app = caller.app(&mut state, app)?;
            secrets_are_new_enough(app.secrets_version, body.min_secrets_version)?;
            if switches.names_are_unique && name.as_deref().is_some_and(|name| app.has_name(name)) {
                return Err(Problem::new(409, "already_exists: unique machine name violation"));
            }
            if switches.most_machines.is_some_and(|most| app.living().count() >= most) {
                return Err(Problem::new(422, "Your organization has reached its machine limit. Please contact billing@fly.io"));
            }
            for id in volume_ids(&config) {
                let volume = app.volumes.get(id).ok_or_else(|| Problem::new(404, format!("volume not found: '{id}'")))?;
                // Source of the status: community.fly.io/t/15555 (412 when the volume is used by another machine).
                if volume.attached.is_some() || volume.region != region {
                    return Err(Problem::new(412, format!("failed_precondition: volume {id} is not available in {region}")));
                }
            }
        }
        let lease = body.lease_ttl.filter(|ttl| *ttl > 0).map(|ttl| self.new_lease(caller, Duration::from_secs(ttl), String::new()));
        let mut machine = self.bare_machine(name, region, config, digest);
        machine.cordoned = body.skip_service_registration;
        machine.lease = lease;
        let mut state = lock(&self.state);
        let app = caller.app(&mut state, app)?;
        machine.behaviour = responder::behaviour(&app.behaviours, &machine, switches.pace.job);
        for id in volume_ids(&machine.config) {
            if let Some(volume) = app.volumes.get_mut(id) {
                volume.attached = Some(machine.id.clone());
            }
        }
        app.machines.insert(machine.id.clone(), machine.clone());
        Ok(machine)
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
