//! Prepare: new machines beside the old ones that no user reaches, or, in place, what each machine will become.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use serde_json::Value;
use tokio::time::Instant;

use super::addresses::IpKind;
use super::content::config_digest;
use super::fleet::Fleet;
use super::hints::{Hints, MachineHint, runs};
use super::in_number;
use super::moves::works_unasked;
use super::rendering::{self, Image, Rendering};
use super::slots::{Slot, first_slots, has_services, slots_after};
use super::stamp;
use super::toml::Strategy;
use super::watching::Awaited;
use super::wire::{CreateMachine, Machine, ReleaseRecord};
use super::{CONCURRENCY, FlyTarget, LOOKUP_WINDOW, POLL};
use crate::event::Level;
use crate::platform::{Artifact, Observed, PlainGet, PlatformError, PlatformErrorKind, Revision, RevisionDigest, Scope};

/// How often a creation whose answer was lost, and which nobody can find, is tried.
pub(super) const CREATIONS: u32 = 3;

impl FlyTarget {
    /// Returns the digest that an artifact would have as a revision of today's settings.
    pub(super) async fn would_be(&self, artifact: &Artifact, before: &Observed) -> Result<RevisionDigest, PlatformError> {
        let image = self.image(artifact)?;
        let fleet = self.fleet().await?;
        let slots = self.slots(&fleet, before, &image).await?;
        Ok(rendering::digest(&self.settings, &slots, &image))
    }

    pub(super) async fn prepare_revision(
        &self,
        scope: &Scope,
        artifact: &Artifact,
        before: &Observed,
        gets: &[PlainGet],
    ) -> Result<Revision, PlatformError> {
        let image = self.image(artifact)?;
        let gets: Vec<String> = gets.iter().map(|get| get.path.clone()).collect();
        let fleet = self.fleet().await?;
        let mut slots = self.slots(&fleet, before, &image).await?;
        if slots.iter().all(|slot| slot.old.is_none()) {
            self.ensure_addresses(scope).await;
        }
        if slots.iter().all(|slot| !slot.beside) {
            self.unless_cancelled(scope, "create_release")?;
            self.begin_record(scope, &image).await;
        }
        self.ensure_volumes(scope, &fleet, &mut slots).await?;
        let machines = self.create_all(scope, &fleet, &slots, &image, &gets).await?;
        // Who works as soon as it runs is not started before it serves.
        let awaited = machines.iter().filter(|(place, machine)| slots[**place].launch && !works_unasked(machine));
        let awaited: Vec<Awaited> =
            awaited.map(|(_, machine)| Awaited { id: machine.id.clone(), after: 0, version: machine.instance_id.clone() }).collect();
        if !machines.is_empty() {
            scope.step(&self.settings.target, format!("{} created, waiting for what is checked", in_number(machines.len())));
        }
        self.await_healthy(scope, &awaited).await?;
        if self.strategy() == Strategy::Canary {
            Box::pin(self.try_canaries(scope, &fleet, &slots, &image, &gets)).await?;
        }
        let hints = slots.iter().enumerate().filter_map(|(place, slot)| match (machines.get(&place), &slot.old) {
            (Some(machine), _) => Some(MachineHint {
                launched: slot.launch,
                image_digest: Some(image.digest.clone()),
                image: image.reference.clone(),
                ..MachineHint::observed(machine, &slot.group)
            }),
            (None, Some(old)) => Some(self.in_place(slot, old, &image)),
            (None, None) => None,
        });
        Ok(rendering::revision(&self.settings, scope, &slots, &image, &gets, self.strategy(), hints.collect()))
    }

    pub(super) fn image(&self, artifact: &Artifact) -> Result<Image, PlatformError> {
        let impossible =
            || PlatformErrorKind::Impossible("an app on Fly runs images; this target was given a directory or a commit".to_owned());
        Image::of(artifact).ok_or_else(|| self.error("prepare", impossible()))
    }

    /// Returns the places that a release fills: those of the serving machines, or those of a first release.
    async fn slots(&self, fleet: &Fleet, before: &Observed, image: &Image) -> Result<Vec<Slot>, PlatformError> {
        let mut ids = Vec::new();
        for weighted in &before.serving {
            ids.extend(Hints::of(&weighted.revision, &self.settings.app)?.machines.into_iter().map(|machine| machine.id));
        }
        let serving: Vec<&Machine> = fleet.machines.iter().filter(|machine| ids.contains(&machine.id)).collect();
        if !serving.is_empty() {
            let updates = self.updates_of(&serving, &image.reference).await?;
            let machine = |id: &str| serving.iter().find(|machine| machine.id == id);
            if let Some((update, problem)) = updates.iter().find_map(|update| Some((update, update.problem.as_ref()?))) {
                let mut error = self.error("prepare", PlatformErrorKind::Impossible(format!("machine {} {problem}", update.id)));
                error.hints.extend(machine(&update.id).map(|_| self.help_with(problem)));
                return Err(error);
            }
            let updates = updates.into_iter().map(|update| (update.id.clone(), update)).collect();
            return Ok(slots_after(&self.settings, fleet, &serving, &updates));
        }
        let config = &self.settings.config;
        let Some(region) = config.primary_region.as_deref().filter(|region| !region.is_empty()) else {
            let text = "a first release needs primary_region in fly.toml, to know where its machines go".to_owned();
            return Err(self.error("prepare", PlatformErrorKind::Impossible(text)));
        };
        Ok(first_slots(config, region, self.settings.high_availability))
    }

    /// Returns what a machine becomes in place when it serves; nothing is changed yet.
    fn in_place(&self, slot: &Slot, old: &Machine, image: &Image) -> MachineHint {
        MachineHint {
            instance_id: String::new(),
            replaces: old.instance_id.clone(),
            config_digest: config_digest(&rendering::unmarked(&self.settings, slot, image)),
            image_digest: Some(image.digest.clone()),
            image: image.reference.clone(),
            launched: runs(old),
            ..MachineHint::observed(old, &slot.group)
        }
    }

    /// Makes every new machine of the release that is not there yet; machines of an earlier call are found by their intent. Returns them by
    /// their places.
    async fn create_all(
        &self,
        scope: &Scope,
        fleet: &Fleet,
        slots: &[Slot],
        image: &Image,
        gets: &[String],
    ) -> Result<BTreeMap<usize, Machine>, PlatformError> {
        let revision = rendering::digest(&self.settings, slots, image);
        let release = scope.release.as_str();
        let found = |place: usize| own(fleet, scope, &rendering::intent(release, place));
        let beside: Vec<usize> = (0..slots.len()).filter(|place| slots[*place].beside).collect();
        if beside.is_empty() {
            return Ok(BTreeMap::new());
        }
        // A run that ends makes nothing more, not even what only people see.
        self.unless_cancelled(scope, "create_machine")?;
        let missing = beside.iter().any(|place| found(*place).is_none());
        let record = if missing { self.begin_record(scope, image).await } else { None };
        let rendering =
            Rendering { settings: &self.settings, scope, release, revision: revision.as_str(), image, gets, record: record.as_ref() };
        let mut machines: BTreeMap<usize, Machine> = BTreeMap::new();
        // A standby names the machine in whose stead it starts: it is made after that one.
        let (standbys, leaders): (Vec<usize>, Vec<usize>) = beside.iter().partition(|place| !slots[**place].stands_by.is_empty());
        for places in [leaders, standbys] {
            let creations = places.iter().map(|place| {
                let (slot, intent) = (&slots[*place], rendering::intent(release, *place));
                let body = creation(&rendering, slot, &machines, &intent, self.secrets_version());
                let found = found(*place).cloned();
                async move {
                    match found {
                        Some(machine) => Ok((*place, machine)),
                        None => Ok((*place, self.create_one(scope, &body, &intent).await?)),
                    }
                }
            });
            let made: Vec<(usize, Machine)> =
                futures_util::stream::iter(creations.collect::<Vec<_>>()).buffered(CONCURRENCY).try_collect().await?;
            machines.extend(made);
        }
        self.memory().unseen.extend(machines.values().map(|machine| machine.id.clone()));
        Ok(machines)
    }

    /// Creates one machine. After an ambiguous answer it is looked for, for longer than lists lag, before anything is repeated.
    pub(super) async fn create_one(&self, scope: &Scope, body: &CreateMachine, intent: &str) -> Result<Machine, PlatformError> {
        let mut attempt = 0;
        loop {
            self.unless_cancelled(scope, "create_machine")?;
            attempt += 1;
            match self.client.create_machine(&self.settings.app, body).await {
                Ok(machine) if !machine.id.is_empty() => return Ok(machine),
                Ok(_) if attempt >= CREATIONS => {
                    return Err(self.error("create_machine", PlatformErrorKind::Unexpected("the new machine has no id".to_owned())));
                }
                Err(error) if !error.ambiguous() || attempt >= CREATIONS => return Err(error),
                Ok(_) | Err(_) => {}
            }
            scope.step(&self.settings.target, "the answer to a creation was lost; looking for the machine");
            if let Some(machine) = self.look_up(scope, intent).await? {
                return Ok(machine);
            }
        }
    }

    async fn look_up(&self, scope: &Scope, intent: &str) -> Result<Option<Machine>, PlatformError> {
        let until = Instant::now() + LOOKUP_WINDOW;
        loop {
            if let Some(machine) = own(&self.fleet().await?, scope, intent) {
                return Ok(Some(machine.clone()));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Gives an app with services its addresses when it has none; a failure is told, since the app can serve inside its network all the same.
    async fn ensure_addresses(&self, scope: &Scope) {
        let config = &self.settings.config;
        let kind = IpKind::of(config);
        if kind == IpKind::None {
            return;
        }
        let app = &self.settings.app;
        let warn = |text: String| scope.events.notice(Level::Warning, "fly::addresses", text);
        if kind == IpKind::Dedicated {
            warn(format!(
                "{app} offers more than HTTP on ports 80 and 443 and needs an address of its own, which costs money; type `fly ips allocate-v4 -a {app}`"
            ));
            return;
        }
        match self.client.addresses(app).await {
            Ok(ips) if ips.iter().any(|ip| !ip.ip.starts_with("fdaa:") && (ip.shared || !ip.ip.is_empty())) => {}
            Ok(_) => {
                for kind in ["v6", "shared_v4"] {
                    if let Err(error) = self.client.assign_address(app, kind).await {
                        warn(format!("{app} got no {kind} address: {error}"));
                    }
                }
            }
            Err(error) => warn(format!("the addresses of {app} could not be read: {error}")),
        }
    }

    /// Writes the release record that `fly releases` and Fly's dashboard show, once per release.
    ///
    /// It comes first because its id and version belong into the machines' metadata, as flyctl does it; it is best effort because no
    /// machine depends on it. It is closed when the release's holds are released.
    pub(super) async fn begin_record(&self, scope: &Scope, image: &Image) -> Option<ReleaseRecord> {
        if let Some(record) = self.memory().record.clone() {
            return Some(record);
        }
        let definition: &Value = &self.settings.config.definition;
        let (app, strategy) = (&self.settings.app, self.strategy());
        match self.client.create_record(app, &image.reference, strategy, definition).await {
            Ok(record) if !record.id.is_empty() => {
                self.memory().record = Some(record.clone());
                Some(record)
            }
            Ok(_) => None,
            Err(error) => {
                scope.events.notice(Level::Note, "fly::record", format!("`fly releases` will not show this release: {error}"));
                None
            }
        }
    }
}

/// Returns the creation of a new machine; what it stands by for is there already.
fn creation(
    rendering: &Rendering<'_>,
    slot: &Slot,
    machines: &BTreeMap<usize, Machine>,
    intent: &str,
    secrets: Option<u64>,
) -> CreateMachine {
    let mut config = rendering.config(slot, intent.to_owned());
    let leaders: Vec<String> = slot.stands_by.iter().filter_map(|place| machines.get(place).map(|machine| machine.id.clone())).collect();
    if !leaders.is_empty() {
        rendering::stand_by(&mut config, &leaders);
    }
    let works = !has_services(&config);
    CreateMachine {
        config,
        region: slot.region.clone(),
        // A started worker takes jobs.
        skip_launch: works || !slot.launch,
        skip_service_registration: true,
        min_secrets_version: secrets,
    }
}

/// Returns the machine of this release with this intent.
pub(super) fn own<'a>(fleet: &'a Fleet, scope: &Scope, intent: &str) -> Option<&'a Machine> {
    let ours = |machine: &&Machine| stamp::is_ours(machine, &scope.product, &scope.environment);
    fleet.machines.iter().filter(ours).find(|machine| machine.metadata(stamp::INTENT) == intent)
}

/// The longest that a list was seen to lag, and a margin: [`LOOKUP_WINDOW`] must be longer.
const _: () =
    assert!(LOOKUP_WINDOW.as_millis() > super::READ_LAG.as_millis() && POLL.as_millis() >= Duration::from_millis(500).as_millis());
