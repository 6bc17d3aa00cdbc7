//! The environment of a gate or a build: what the machine gives, less what only cutover may have.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

/// Variables that never reach a gate or a build. A name that ends with `*` stands for all that begin so.
///
/// Tokens of the platforms and of GitHub; and the runner's command files, by which a gate could set the variables, the path and the outputs
/// of the steps after it (GitHub: "Workflow commands", environment files).
pub const KNOWN_TOKENS: &[&str] = &[
    "ACTIONS_CACHE_URL",
    "ACTIONS_ID_TOKEN_REQUEST_*",
    "ACTIONS_RESULTS_URL",
    "ACTIONS_RUNTIME_*",
    "AWS_*",
    "CF_API_KEY",
    "CF_API_TOKEN",
    "CLOUDFLARE_API_KEY",
    "CLOUDFLARE_API_TOKEN",
    "FLY_ACCESS_TOKEN",
    "FLY_API_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "GH_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "GITHUB_ENV",
    "GITHUB_OUTPUT",
    "GITHUB_PATH",
    "GITHUB_STATE",
    "GITHUB_STEP_SUMMARY",
    "GITHUB_TOKEN",
    "INPUT_*",
    "RENDER_API_KEY",
    "VERCEL_TOKEN",
];

/// The tokens that can change what serves users, or be exchanged for one that can: with one of these present, only [`ALLOWED`] passes.
const DEPLOY_CREDENTIALS: &[&str] = &[
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "CF_API_KEY",
    "CF_API_TOKEN",
    "CLOUDFLARE_API_KEY",
    "CLOUDFLARE_API_TOKEN",
    "FLY_ACCESS_TOKEN",
    "FLY_API_TOKEN",
    "RENDER_API_KEY",
    "VERCEL_TOKEN",
];

/// What passes when a deploy credential is present: what tools need to be found, to write their caches and to reach the network.
const ALLOWED: &[&str] = &[
    "ANDROID_HOME",
    "ANDROID_SDK_ROOT",
    "BUILDAH_ISOLATION",
    "BUILDX_BUILDER",
    "CARGO_HOME",
    "CI",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLORTERM",
    "COREPACK_HOME",
    "CURL_CA_BUNDLE",
    "DENO_DIR",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "DOTNET_ROOT",
    "FORCE_COLOR",
    "GITHUB_*",
    "GOCACHE",
    "GOMODCACHE",
    "GOPATH",
    "GOPROXY",
    "GOROOT",
    "GRADLE_HOME",
    "GRADLE_USER_HOME",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ImageOS",
    "ImageVersion",
    "JAVA_HOME*",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "NODE_EXTRA_CA_CERTS",
    "NO_COLOR",
    "NO_PROXY",
    "NVM_DIR",
    "PATH",
    "PIPX_HOME",
    "PNPM_HOME",
    "PYENV_ROOT",
    "REQUESTS_CA_BUNDLE",
    "RUNNER_ARCH",
    "RUNNER_DEBUG",
    "RUNNER_NAME",
    "RUNNER_OS",
    "RUNNER_TEMP",
    "RUNNER_TOOL_CACHE",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "STORAGE_DRIVER",
    "TERM",
    "TEMP",
    "TMP",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
    "XDG_*",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "pythonLocation",
];

/// An environment and how it came about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// The deploy credential because of which only the allow-list passed.
    pub restricted_by: Option<String>,
    /// The names of what was taken out, sorted; never their values.
    pub withheld: Vec<String>,
}

impl Environment {
    /// Returns the variables, sorted by name.
    pub fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Returns the value of a variable.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }
}

/// Returns the environment for gates and builds out of what this process `inherited`; `secrets` are the names that the manifest declares.
///
/// With a deploy credential present it is an allow-list; otherwise it is what was inherited less every token that cutover knows of. The
/// manifest's secrets are taken out in both cases. `CI=true` is set where `CI` is not.
pub fn gate_environment(inherited: impl IntoIterator<Item = (OsString, OsString)>, secrets: &BTreeSet<String>) -> Environment {
    let inherited: BTreeMap<OsString, OsString> = inherited.into_iter().collect();
    let filled = |name: &&&str| inherited.get(OsStr::new(name)).is_some_and(|value| !value.is_empty());
    let restricted_by = DEPLOY_CREDENTIALS.iter().find(filled).map(|name| (*name).to_owned());
    let mut environment = Environment { restricted_by, ..Environment::default() };
    for (name, value) in inherited {
        let shown = name.to_string_lossy().into_owned();
        let ours = matches(KNOWN_TOKENS, &shown) || secrets.contains(&shown);
        let allowed = environment.restricted_by.is_none() || matches(ALLOWED, &shown);
        if ours || !allowed {
            environment.withheld.push(shown);
        } else {
            environment.variables.insert(name, value);
        }
    }
    environment.variables.entry("CI".into()).or_insert_with(|| "true".into());
    environment
}

fn matches(list: &[&str], name: &str) -> bool {
    list.iter().any(|entry| entry.strip_suffix('*').map_or(*entry == name, |beginning| name.starts_with(beginning)))
}
