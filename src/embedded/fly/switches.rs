//! What can be chosen about the embedded Fly: how long things take, and every belief that rests on a report or a guess.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long the platform takes for each step; far faster than the real one, in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From `creating` to the next state: placing the machine.
    pub create: Duration,
    /// From `starting` to `started`: booting it.
    pub start: Duration,
    /// From the signal to the exit of a process that obeys it.
    pub exit: Duration,
    /// From the exit of the old instance to the launch of the new one in an update.
    pub replace: Duration,
    /// From `destroying` to `destroyed`, after the exit.
    pub destroy: Duration,
    /// From `started` to the first run of each check.
    pub first_check: Duration,
    /// Between a crash and the next start, by the restart policy.
    pub restart: Duration,
    /// How long a one-shot machine (a release command) runs.
    pub job: Duration,
    /// How long a new volume is `creating`.
    pub volume: Duration,
    /// How long a fork is `enabling_remote_export`: it cannot be mounted meanwhile.
    pub export: Duration,
    /// How long a fork is `hydrating` after that.
    pub hydrate: Duration,
    /// How long a volume made of a snapshot is `restoring`.
    pub restore: Duration,
    /// How long an extended volume is `extending`.
    pub extend: Duration,
    /// How long a destroyed volume is `scheduling_destroy`, before it is `pending_destroy`.
    pub volume_end: Duration,
    /// From the request for a snapshot to its first appearance in the list.
    pub snapshot_listed: Duration,
    /// How long a snapshot is `waiting`.
    pub snapshot_wait: Duration,
    /// How long a snapshot is `creating` after that.
    pub snapshot_make: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            create: ms(60),
            start: ms(90),
            exit: ms(50),
            replace: ms(40),
            destroy: ms(30),
            first_check: ms(200),
            restart: ms(500),
            job: ms(120),
            volume: Duration::ZERO,
            export: ms(300),
            hydrate: ms(700),
            restore: ms(500),
            extend: ms(100),
            volume_end: ms(100),
            snapshot_listed: Duration::ZERO,
            snapshot_wait: ms(200),
            snapshot_make: ms(600),
        }
    }
}

/// How the exit event carries its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExitShape {
    /// `request.exit_event`.
    Plain,
    /// `request.MonitorEvent.exit_event`, capital M.
    Monitor,
    /// Both at once. Source: flyctl reads both and prefers the second, so both occur.
    #[default]
    Both,
}

/// When the checks of a fresh machine count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grace {
    /// Checks run at once; a failure within the grace period is not reported. Guess.
    #[default]
    HidesFailures,
    /// Nothing is checked before the grace period is over. Source: the documentation of `grace_period`, read literally.
    DelaysChecks,
}

/// What happens to a machine whose image the registry does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownImage {
    /// The create or update is refused with 404 and "manifest unknown". Guess, after flyctl's "failed to launch VM: ... manifest unknown".
    #[default]
    Refused,
    /// The machine is made, its launch fails and it is destroyed: `launch_failed`. Source: fly.io/docs/machines/machine-states.
    LaunchFails,
    /// Any image is taken to exist.
    Believed,
}

/// What becomes of a snapshot that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SnapshotFate {
    /// It is made.
    #[default]
    Made,
    /// It stays `creating` for ever.
    Stuck,
    /// It ends as `failed`. Guess: no source names a failed status.
    Failed,
}

/// Which field of an app's creation names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppName {
    /// Either, `name` first.
    #[default]
    Either,
    /// `name` alone. Source: the OpenAPI document and flyctl.
    Name,
    /// `app_name` alone. Source: fly.io/docs/machines/api/apps-resource.
    AppName,
}

/// What becomes of a machine whose `min_secrets_version` has been written but has not reached its host yet (see [`Switches::secrets_lag`]).
///
/// A version that was never written is refused with 412 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NewSecrets {
    /// It boots once they have. Guess: flyctl sends the number and does nothing else.
    #[default]
    WaitedFor,
    /// It is refused with 412. Guess.
    Refused,
}

/// What a simulated program answers at one path while it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripted {
    /// The status.
    pub status: u16,
    /// Headers beside the content type.
    pub headers: BTreeMap<String, String>,
}

/// Everything about the embedded Fly that is not settled by its documentation, and its pace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switches {
    /// How long steps take.
    pub pace: Pace,
    /// A machine is missing from lists for this long after its creation, and still listed for this long after its end. Source: flyctl retries its
    /// list and searches before it repeats a create; fly.io/infra-log tells of lists that were empty outright.
    pub list_lag: Duration,
    /// `GET` of a machine answers 404 for this long after its creation. Source: flyctl retries 404 just after a create.
    pub read_lag: Duration,
    /// How long a destroyed machine can still be read. Source: flyctl reads the exit code of a destroyed release machine; how long is a guess.
    pub destroyed_readable: Duration,
    /// Machine names are unique within an app. Source: the OpenAPI document ("Unique name for this Machine").
    pub names_are_unique: bool,
    /// Shape of exit events.
    pub exit_shape: ExitShape,
    /// When checks count.
    pub grace: Grace,
    /// What an unknown image does.
    pub unknown_image: UnknownImage,
    /// A nonce on a machine that nobody has leased any more is refused with 409 instead of being ignored. Guess: off is the unfriendlier world.
    pub stale_nonce_is_refused: bool,
    /// An update without `skip_service_registration` uncordons a cordoned machine. Guess.
    pub update_registers: bool,
    /// The state of a machine made with `skip_launch`. Source: flyctl waits for `stopped` there; the documentation also knows `created`.
    pub skip_launch_rests_stopped: bool,
    /// App-scoped tokens may read the app's logs. Source: reports of 401 with deploy tokens.
    pub app_tokens_read_logs: bool,
    /// `autostop` is answered as the text of the OpenAPI document although flyctl writes booleans. Guess.
    pub autostop_as_text: bool,
    /// Answer of `canPerformBluegreenDeployment`, an organisation's limit.
    pub bluegreen_allowed: bool,
    /// `POST releases` with an image that the registry does not have is refused with 404. Source: reports of `failed to create release (status
    /// 404): Could not find image`.
    pub release_needs_image: bool,
    /// What simulated programs answer instead of their usual 200, by app and path: a program that redirects, for example.
    pub scripted: BTreeMap<(String, String), Scripted>,
    /// Any token opens everything in this organisation, and an app exists once it is asked for: a sandbox without a product.
    pub open_to_anyone: Option<String>,
    /// How long secrets that were set take to reach the hosts: a machine that is made or updated before, without `min_secrets_version`, runs with
    /// the older ones. Source: the purpose of that field.
    pub secrets_lag: Duration,
    /// What `min_secrets_version` does meanwhile.
    pub new_secrets: NewSecrets,
    /// The status with which everything that needs a machine's host is refused while the host is not `ok`: leases, update, start, stop, restart,
    /// suspend, signal, cordon, uncordon, exec, ps, and a volume's snapshot, extension and fork. Destroying is accepted. `None`: hosts that are gone
    /// obey all the same. Source: flyctl skips leases, cordon and stop there and destroys without a nonce; the status is a guess.
    pub dead_hosts_refuse: Option<u16>,
    /// What becomes of a snapshot that is asked for.
    pub snapshots: SnapshotFate,
    /// The fields that name an app at its creation.
    pub app_name: AppName,
    /// A taken name is refused with `status: name_taken` beside the text. Source: fly-go, which also knows older servers that send the text alone.
    pub name_taken_has_code: bool,
    /// `GET` of an app answers 404 for this long after its creation. Source: flyctl retries it for up to a minute.
    pub app_lag: Duration,
    /// A wait for `stopped` without a version is refused with 400. Source: fly.io/docs/machines/api (the version is required there); flyctl sends none.
    pub stopped_needs_version: bool,
    /// A wait on a destroyed machine for anything else is 404 instead of 400. Source: flyctl takes the 404 of a wait for `started` as "it has finished".
    pub waits_on_destroyed_are_404: bool,
    /// How long a line takes to appear in the logs. Source: flyctl waits up to 20 s for stragglers after an exit.
    pub log_lag: Duration,
    /// A request to an app of whose machines none runs starts one whose service has `autostart`. Source: fly.io/docs/launch/autostop-autostart.
    pub proxy_wakes: bool,
    /// The proxy stops or suspends a machine, as its service's `autostop` says, that nobody has asked anything for this long; at least
    /// `min_machines_running` stay in the primary region. `None`: never. Source: the same page; how long is a guess there ("a few minutes").
    pub proxy_stops_after: Option<Duration>,
    /// How many machines may run in a region, of all apps together, by region; none named: no limit. More is refused as
    /// [`super::Shortage::Create`] is.
    pub room: BTreeMap<String, usize>,
    /// The most machines an app may have; more is 422, as billing refusals are reported. `None`: no limit.
    pub most_machines: Option<usize>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            list_lag: Duration::ZERO,
            read_lag: Duration::ZERO,
            destroyed_readable: Duration::from_secs(600),
            names_are_unique: true,
            exit_shape: ExitShape::default(),
            grace: Grace::default(),
            unknown_image: UnknownImage::default(),
            stale_nonce_is_refused: false,
            update_registers: false,
            skip_launch_rests_stopped: true,
            app_tokens_read_logs: false,
            autostop_as_text: true,
            bluegreen_allowed: true,
            release_needs_image: true,
            scripted: BTreeMap::new(),
            open_to_anyone: None,
            most_machines: None,
            secrets_lag: Duration::ZERO,
            new_secrets: NewSecrets::default(),
            dead_hosts_refuse: Some(408),
            snapshots: SnapshotFate::default(),
            app_name: AppName::default(),
            name_taken_has_code: true,
            app_lag: Duration::ZERO,
            stopped_needs_version: false,
            waits_on_destroyed_are_404: false,
            log_lag: Duration::ZERO,
            proxy_wakes: true,
            proxy_stops_after: None,
            room: BTreeMap::new(),
        }
    }
}
