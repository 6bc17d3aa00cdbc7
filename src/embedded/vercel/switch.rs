//! What the embedded Vercel does where nobody outside the vendor knows for certain, and how fast it does it.

use std::time::Duration;

/// The plan of every account, which limits what may be rolled back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plan {
    /// Only the production deployment just before may be rolled back to (vendor's documentation).
    Hobby,
    /// Every deployment that had production traffic may be rolled back to (vendor's documentation).
    #[default]
    Pro,
}

impl Plan {
    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hobby => "hobby",
            Self::Pro => "pro",
        }
    }
}

/// The switches of one embedded Vercel. Times may be zero; every guess names what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switches {
    /// How long a deployment stays QUEUED.
    pub queue_time: Duration,
    /// How long it stays BUILDING.
    pub build_time: Duration,
    /// How long after READY the domains of a deployment that assigns them by itself move.
    pub alias_time: Duration,
    /// How long a promotion or rollback takes; hostnames move one by one in its last three quarters.
    pub job_time: Duration,
    /// How long after a hook's trigger the deployment appears.
    pub hook_time: Duration,
    /// How much later than its creation a deployment appears in lists (guess: lists may lag).
    pub list_lag: Duration,
    /// The plan.
    pub plan: Plan,
    /// Whether the create call refuses fields it does not know with `bad_request` (guess, from the shape of that error: it names a keyword).
    pub refuses_unknown_fields: bool,
    /// Whether a promotion turns `autoAssignCustomDomains` on (report: vercel/vercel#15095).
    pub promote_turns_auto_assign_on: bool,
    /// Whether a rollback turns `autoAssignCustomDomains` off (vendor's documentation).
    pub rollback_turns_auto_assign_off: bool,
    /// Whether deployments show `readySubstate` (published, but optional).
    pub shows_substate: bool,
    /// Whether a project shows `lastAliasRequest` (vendor's client; the flag that asks for it is not published).
    pub shows_alias_request: bool,
    /// Whether a staged deployment says `aliasAssigned` once it is READY. The vendor's client waits for that, so it mostly must be so; with
    /// `--skip-domain` it was seen to wait for ever (report: inkeep/agents#1725).
    pub staged_shows_alias_assigned: bool,
    /// Whether a hook's deployment carries `meta.deployHookId` (report).
    pub shows_hook_id: bool,
    /// Whether a hook's trigger cancels an unfinished earlier build of the same hook (guess).
    pub hook_cancels_earlier: bool,
    /// Whether promoting what is live already is refused with 409 (several reports); if not, the job is skipped.
    pub refuses_promoting_live: bool,
    /// Whether a deployment that never had production traffic is refused as a rollback's goal with 422 (guess).
    pub refuses_rollback_to_staged: bool,
    /// Whether `GET /v4/aliases/{host}` answers an array, as the published document says, or one object, as vendor's clients read it.
    pub alias_in_array: bool,
    /// Whether an equal earlier deployment is given back instead of a new one unless `forceNew=1` (published; what counts as equal is a guess).
    pub deduplicates: bool,
    /// Whether `/v6/deployments` is gone (410), so that `/v7` must be asked (newest models of the vendor's library).
    pub list_v6_gone: bool,
    /// The status for a token nobody knows: 401 or 403, both are seen.
    pub unknown_token_status: u16,
    /// Any token opens everything, and a team or project exists once it is asked for: a sandbox without a product.
    pub open_to_anyone: bool,
    /// The largest single upload in bytes; a larger one is answered with 413.
    pub largest_upload: u64,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            queue_time: Duration::from_millis(40),
            build_time: Duration::from_millis(160),
            alias_time: Duration::from_millis(20),
            job_time: Duration::from_millis(250),
            hook_time: Duration::from_millis(30),
            list_lag: Duration::ZERO,
            plan: Plan::Pro,
            refuses_unknown_fields: true,
            promote_turns_auto_assign_on: true,
            rollback_turns_auto_assign_off: true,
            shows_substate: true,
            shows_alias_request: true,
            staged_shows_alias_assigned: true,
            shows_hook_id: true,
            hook_cancels_earlier: false,
            refuses_promoting_live: true,
            refuses_rollback_to_staged: true,
            alias_in_array: true,
            deduplicates: false,
            list_v6_gone: false,
            unknown_token_status: 403,
            open_to_anyone: false,
            largest_upload: 1024 * 1024 * 1024,
        }
    }
}

/// How a promotion or rollback goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobFate {
    /// Every hostname moves, the job succeeds.
    #[default]
    Succeeds,
    /// No hostname moves, the job fails.
    Fails,
    /// This many hostnames move, then the job fails: production is split.
    Splits(usize),
    /// The job ends as `skipped`, nothing moves.
    Skipped,
    /// The job stays in progress for this long, then succeeds (report: vercel/vercel#14935).
    Late(Duration),
}

/// How a build ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuildFate {
    /// READY, if what was uploaded can be served.
    #[default]
    Succeeds,
    /// ERROR.
    Fails,
    /// CANCELED, as by an ignored build step.
    Ignored,
    /// It never ends.
    Hangs,
}

/// What a READY deployment answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answers {
    /// What was uploaded.
    #[default]
    Well,
    /// 500 at every address.
    Badly,
    /// What was uploaded at its own address, 500 at production addresses.
    BadlyInProduction,
}

/// What is to become of one deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fate {
    /// How its build ends.
    pub build: BuildFate,
    /// How a promotion of it goes.
    pub promotion: JobFate,
    /// What it answers.
    pub answers: Answers,
}

impl Fate {
    /// A build that ends as ERROR: a failure in *prepare*.
    pub const FAILS_TO_BUILD: Self = Self { build: BuildFate::Fails, promotion: JobFate::Succeeds, answers: Answers::Well };
    /// A deployment that is READY but answers 500: a failure in *verify*.
    pub const FAILS_CHECKS: Self = Self { build: BuildFate::Succeeds, promotion: JobFate::Succeeds, answers: Answers::Badly };
    /// A promotion that fails: a failure in *cut over*.
    pub const FAILS_TO_PROMOTE: Self = Self { build: BuildFate::Succeeds, promotion: JobFate::Fails, answers: Answers::Well };
    /// A deployment that is fine until it is promoted: a failure in *watch*.
    pub const FAILS_IN_PRODUCTION: Self =
        Self { build: BuildFate::Succeeds, promotion: JobFate::Succeeds, answers: Answers::BadlyInProduction };
}
