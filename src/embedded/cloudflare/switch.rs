//! What the embedded Cloudflare does where nobody outside the vendor knows for certain, and how fast it does it.

use std::time::Duration;

/// The switches of one embedded Cloudflare. Times may be zero; every guess names what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switches {
    /// How long a deployment is under way.
    pub deploy_time: Duration,
    /// How much longer a deployment is under way that is built from a repository.
    pub build_time: Duration,
    /// How much later than its creation a deployment appears in lists (guess: lists may lag).
    pub list_lag: Duration,
    /// How long an upload token lasts (the vendor publishes no length; its client speaks of minutes).
    pub token_life: Duration,
    /// How many files a site may have, as upload tokens say.
    pub most_files: u64,
    /// The most raw bytes of a bucket (the vendor's client sends at most 40 MiB; the limit of the server is a guess).
    pub largest_bucket: u64,
    /// Whether contents stored for one project are there for every project of the account (not documented).
    pub shares_contents: bool,
    /// Whether a deployment is refused whose manifest names a content by a key that is not the content's (guess).
    pub checks_keys: bool,
    /// Whether a project without git is refused a rollback by call (not documented).
    pub refuses_rollback: bool,
    /// How long a custom hostname takes from being attached to being looked at; it is active once its record leads there (reports: minutes).
    pub domain_time: Duration,
    /// How many purges an account may make at once that are not by address (vendor's documentation: 25 on the smallest plan).
    pub purges: u32,
    /// After how long it may make one more (vendor's documentation: five a minute on the smallest plan).
    pub purge_refill: Duration,
    /// Whether versions of workers have addresses of their own (a setting of each worker).
    pub worker_previews: bool,
    /// Whether the list of an account's workers shows their tags (API description).
    pub worker_list_shows_tags: bool,
    /// Whether the files of workers are asked for one by one, as upload tokens say (vendor's client).
    pub worker_single_uploads: bool,
    /// Any token opens everything, and a project exists once it is asked for: a sandbox without a product.
    pub open_to_anyone: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            deploy_time: Duration::from_millis(200),
            build_time: Duration::from_secs(2),
            list_lag: Duration::ZERO,
            token_life: Duration::from_secs(300),
            most_files: 20_000,
            largest_bucket: 50 * 1024 * 1024,
            shares_contents: false,
            checks_keys: true,
            refuses_rollback: false,
            domain_time: Duration::from_millis(400),
            purges: 25,
            purge_refill: Duration::from_secs(12),
            worker_previews: true,
            worker_list_shows_tags: true,
            worker_single_uploads: false,
            open_to_anyone: false,
        }
    }
}

/// How a deployment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// `deploy`, `success`.
    #[default]
    Succeeds,
    /// `deploy`, `failure`.
    Fails,
    /// It never ends.
    Hangs,
}

/// What is to become of one deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fate {
    /// How it ends.
    pub ending: Ending,
    /// Whether it answers 500 at every address.
    pub answers_badly: bool,
}

impl Fate {
    /// A deployment that fails.
    pub const FAILS: Self = Self { ending: Ending::Fails, answers_badly: false };
    /// A deployment that succeeds and answers 500.
    pub const ANSWERS_BADLY: Self = Self { ending: Ending::Succeeds, answers_badly: true };
}
