//! Everything that comes from outside the manifest, resolved once: flags, then the environment, then defaults.
//!
//! Nothing below the command line reads a flag or a variable. Every variable that cutover reads is a constant in [`variable`]. Credentials
//! are read here, kept in a type that cannot be printed, and handed to platform clients and the masker only.

pub mod hostnames;
pub mod previews;
pub mod targets;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::platform::cloudflare::CloudflareEndpoints;
use crate::platform::fly::token::FlyToken;

/// The environment variables that cutover reads.
pub mod variable {
    /// Fly's token, first choice (flyctl's name).
    pub const FLY_ACCESS_TOKEN: &str = "FLY_ACCESS_TOKEN";
    /// Fly's token, second choice: a deploy or org token.
    pub const FLY_API_TOKEN: &str = "FLY_API_TOKEN";
    /// Base address of Fly's Machines API.
    pub const FLY_FLAPS_BASE_URL: &str = "FLY_FLAPS_BASE_URL";
    /// Base address of Fly's GraphQL API; `/graphql` is appended.
    pub const FLY_API_BASE_URL: &str = "FLY_API_BASE_URL";
    /// Base address of Fly's REST API on api.fly.io.
    pub const FLY_UIEX_BASE_URL: &str = "FLY_UIEX_BASE_URL";
    /// Host (and port) of Fly's registry.
    pub const FLY_REGISTRY_HOST: &str = "FLY_REGISTRY_HOST";
    /// Vercel's token.
    pub const VERCEL_TOKEN: &str = "VERCEL_TOKEN";
    /// Vercel's team (`team_…`) or personal account.
    pub const VERCEL_ORG_ID: &str = "VERCEL_ORG_ID";
    /// Base address of Vercel's API; the vendor's command line takes the same value by `--api`.
    pub const VERCEL_API_URL: &str = "VERCEL_API_URL";
    /// The secret that opens a protected deployment to checks.
    pub const VERCEL_AUTOMATION_BYPASS_SECRET: &str = "VERCEL_AUTOMATION_BYPASS_SECRET";
    /// Cloudflare's token.
    pub const CLOUDFLARE_API_TOKEN: &str = "CLOUDFLARE_API_TOKEN";
    /// Cloudflare's account, 32 hex digits.
    pub const CLOUDFLARE_ACCOUNT_ID: &str = "CLOUDFLARE_ACCOUNT_ID";
    /// Base address of Cloudflare's API, `/client/v4` included; the vendor's client has the same variable.
    pub const CLOUDFLARE_API_BASE_URL: &str = "CLOUDFLARE_API_BASE_URL";
    /// The id of the service token that leads past Cloudflare Access.
    pub const CF_ACCESS_CLIENT_ID: &str = "CF_ACCESS_CLIENT_ID";
    /// The secret of that service token.
    pub const CF_ACCESS_CLIENT_SECRET: &str = "CF_ACCESS_CLIENT_SECRET";
    /// GitHub's token; Actions does not export it, the workflow passes it.
    pub const GITHUB_TOKEN: &str = "GITHUB_TOKEN";
    /// The workflow's file and ref; set by the runner itself, and by what newer runs of it are found.
    pub const GITHUB_WORKFLOW_REF: &str = "GITHUB_WORKFLOW_REF";
    /// Base address of GitHub's REST API.
    pub const GITHUB_API_URL: &str = "GITHUB_API_URL";
    /// Address of GitHub's GraphQL API.
    pub const GITHUB_GRAPHQL_URL: &str = "GITHUB_GRAPHQL_URL";
    /// Where public addresses are really asked: loopback addresses of embedded edges, separated by commas.
    pub const CUTOVER_EDGES: &str = "CUTOVER_EDGES";
    /// How long Fly's edges may lag behind a cordon, for example `10s`.
    pub const CUTOVER_DRAIN_MARGIN: &str = "CUTOVER_DRAIN_MARGIN";
    /// How long whoever takes a release over waits for what its former runner may still have on its way, for example `2s`. Heard
    /// on embedded platforms only ([`CUTOVER_EDGES`]), for tests that have killed that runner themselves.
    pub const CUTOVER_QUARANTINE: &str = "CUTOVER_QUARANTINE";
    /// How long a process that GitHub knows nothing of counts as at work after its last record in the journal, for example `3s`. Heard on
    /// embedded platforms only, for tests that have stopped that process themselves.
    pub const CUTOVER_DEADLINE: &str = "CUTOVER_DEADLINE";
    /// The folder of journals kept on this machine.
    pub const CUTOVER_STATE_DIR: &str = "CUTOVER_STATE_DIR";
    /// Where journals are kept: `github` (a ref of the repository) or `file` (on this machine).
    pub const CUTOVER_JOURNAL: &str = "CUTOVER_JOURNAL";
    /// What is logged for debugging, in `tracing`'s filter syntax.
    pub const CUTOVER_LOG: &str = "CUTOVER_LOG";
    /// What a runner is called; set by the runner itself, and by what the API lists a job's runner.
    pub const RUNNER_NAME: &str = "RUNNER_NAME";
}

/// Where journals are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// In a ref of the repository on GitHub, where every machine finds it.
    GitHub,
    /// In a file on this machine.
    File,
}

impl std::str::FromStr for Keeper {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "github" => Ok(Self::GitHub),
            "file" => Ok(Self::File),
            _ => Err("it is neither github nor file".to_owned()),
        }
    }
}

/// What the environment says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Fly's token.
    pub fly_token: Option<SecretString>,
    /// Vercel's token.
    pub vercel_token: Option<SecretString>,
    /// Vercel's team or account.
    pub vercel_org: Option<String>,
    /// Base address of Vercel's API.
    pub vercel_api: Url,
    /// The secret that opens protected deployments.
    pub vercel_bypass: Option<SecretString>,
    /// Cloudflare's token.
    pub cloudflare_token: Option<SecretString>,
    /// Cloudflare's account.
    pub cloudflare_account: Option<String>,
    /// Base address of Cloudflare's API.
    pub cloudflare_api: Url,
    /// The service token that leads past Cloudflare Access: its id and its secret.
    pub cloudflare_access: Option<(String, SecretString)>,
    /// GitHub's token.
    pub github_token: Option<SecretString>,
    /// Base address of GitHub's REST API.
    pub github_api: Url,
    /// Where public addresses are really asked; empty in the real world.
    pub edges: Vec<SocketAddr>,
    /// How long Fly's edges may lag.
    pub drain_margin: Duration,
    /// How long whoever takes a release over waits, where that was said.
    pub quarantine: Option<Duration>,
    /// How long a silent process counts as at work, where that was said.
    pub deadline: Option<Duration>,
    /// The folder of journals, where chosen.
    pub state_dir: Option<PathBuf>,
    /// Where journals are kept, where that was said.
    pub journal: Option<Keeper>,
    /// The whole environment, for the trigger, for Fly's bases, for secrets named by the manifest, and for what gates inherit.
    pub environment: BTreeMap<String, String>,
}

/// A variable that is set to something unusable.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("the environment variable {name} is not usable: {reason}")]
pub struct UnusableVariable {
    /// Its name.
    pub name: &'static str,
    /// Why; never its value.
    pub reason: String,
}

/// How long Fly's edges may lag behind a cordon: no API shows it, so it is a margin with a reason, not a measurement.
pub const DRAIN_MARGIN: Duration = Duration::from_secs(10);

impl Settings {
    /// Resolves the settings from an environment. A variable that is set to nothing counts as not set.
    pub fn from_environment(environment: BTreeMap<String, String>) -> Result<Self, UnusableVariable> {
        let get = |name: &str| environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let secret = |name: &str| get(name).map(SecretString::from);
        let url = |name: &'static str, default: &str| -> Result<Url, UnusableVariable> {
            let parsed = Url::parse(get(name).unwrap_or(default)).map_err(|error| UnusableVariable { name, reason: error.to_string() })?;
            match parsed.scheme() {
                "http" | "https" => Ok(parsed),
                scheme => Err(UnusableVariable { name, reason: format!("its scheme is {scheme}, not http or https") }),
            }
        };
        let edges = get(variable::CUTOVER_EDGES).unwrap_or_default().split(',').filter(|edge| !edge.trim().is_empty()).map(|edge| {
            let unusable = |error: std::net::AddrParseError| UnusableVariable { name: variable::CUTOVER_EDGES, reason: error.to_string() };
            edge.trim().parse().map_err(unusable)
        });
        let span = |name: &'static str| {
            let unusable = || UnusableVariable { name, reason: "it is no duration like 10s or 500ms".to_owned() };
            get(name).map(|text| duration(text).ok_or_else(unusable)).transpose()
        };
        let journal = get(variable::CUTOVER_JOURNAL).map(str::parse).transpose();
        let journal = journal.map_err(|reason| UnusableVariable { name: variable::CUTOVER_JOURNAL, reason })?;
        Ok(Self {
            fly_token: secret(variable::FLY_ACCESS_TOKEN).or_else(|| secret(variable::FLY_API_TOKEN)),
            vercel_token: secret(variable::VERCEL_TOKEN),
            vercel_org: get(variable::VERCEL_ORG_ID).map(str::to_owned),
            vercel_api: url(variable::VERCEL_API_URL, "https://api.vercel.com")?,
            vercel_bypass: secret(variable::VERCEL_AUTOMATION_BYPASS_SECRET),
            cloudflare_token: secret(variable::CLOUDFLARE_API_TOKEN),
            cloudflare_account: get(variable::CLOUDFLARE_ACCOUNT_ID).map(str::to_owned),
            cloudflare_api: url(variable::CLOUDFLARE_API_BASE_URL, CloudflareEndpoints::API)?,
            cloudflare_access: get(variable::CF_ACCESS_CLIENT_ID).map(str::to_owned).zip(secret(variable::CF_ACCESS_CLIENT_SECRET)),
            github_token: secret(variable::GITHUB_TOKEN),
            github_api: url(variable::GITHUB_API_URL, "https://api.github.com")?,
            edges: edges.collect::<Result<_, _>>()?,
            drain_margin: span(variable::CUTOVER_DRAIN_MARGIN)?.unwrap_or(DRAIN_MARGIN),
            quarantine: span(variable::CUTOVER_QUARANTINE)?,
            deadline: span(variable::CUTOVER_DEADLINE)?,
            state_dir: get(variable::CUTOVER_STATE_DIR).map(PathBuf::from),
            journal,
            environment,
        })
    }

    /// Returns a secret that the manifest names, if it is set to something.
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        self.environment.get(name).filter(|value| !value.trim().is_empty()).map(|value| SecretString::from(value.as_str()))
    }

    /// Returns every credential that must never be shown.
    pub fn credentials(&self) -> Vec<SecretString> {
        let tokens = [&self.fly_token, &self.vercel_token, &self.vercel_bypass, &self.github_token];
        let mut secrets: Vec<SecretString> = tokens.into_iter().flatten().cloned().collect();
        // A Fly token is a list of tokens; each piece is a secret of its own.
        secrets.extend(self.fly_token.iter().filter_map(FlyToken::parse).flat_map(|token| token.pieces()));
        let known =
            ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "CLOUDFLARE_API_TOKEN", "CF_ACCESS_CLIENT_SECRET", "RENDER_API_KEY", "GH_TOKEN"];
        secrets.extend(
            known.into_iter().chain(["ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_RUNTIME_TOKEN"]).filter_map(|name| self.secret(name)),
        );
        secrets
    }

    /// Returns whether a credential that can change a platform is in the environment.
    pub fn has_deploy_credential(&self) -> bool {
        self.fly_token.is_some() || self.vercel_token.is_some() || self.cloudflare_token.is_some()
    }
}

/// Reads a duration like `10s`, `500ms` or `1m 30s`.
fn duration(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok()
}
