//! Every key of the manifest, once: the reader knows no other keys, and the JSON Schema is made from these tables.

/// A map of the manifest with a fixed set of keys.
#[derive(Debug)]
pub(super) struct Section {
    /// What one of them is called in a sentence.
    pub(super) what: &'static str,
    /// What it is for.
    pub(super) doc: &'static str,
    /// Its keys, in the order in which they are best written.
    pub(super) keys: &'static [KeyDoc],
    /// The keys that must be there.
    pub(super) required: &'static [&'static str],
}

/// A key of a section.
#[derive(Debug)]
pub(super) struct KeyDoc {
    /// The key.
    pub(super) name: &'static str,
    /// The schema's definition of its value.
    pub(super) value: &'static str,
    /// What it says.
    pub(super) doc: &'static str,
}

const fn key(name: &'static str, value: &'static str, doc: &'static str) -> KeyDoc {
    KeyDoc { name, value, doc }
}

/// The whole manifest.
pub(super) const MANIFEST: Section = Section {
    what: "a manifest",
    doc: "The manifest of cutover, `cutover.yml`. Paths and globs are relative to the repository's root.",
    keys: &[
        key("version", "version", "The version of the manifest's form: 1."),
        key("product", "name", "The product's name."),
        key("gates", "gates", "Commands that must pass before any platform is written to."),
        key("services", "services", "Containers that run beside gates."),
        key("images", "images", "Images that are built once and shipped by digest."),
        key("targets", "targets", "The things on platforms."),
        key("environments", "environments", "Named sets of targets with their settings."),
    ],
    required: &["version", "product"],
};

/// A gate.
pub(super) const GATE: Section = Section {
    what: "a gate",
    doc: "A command that must pass before any platform is written to.",
    keys: &[
        key("run", "run", "The command; with shell characters it is given to `bash -eo pipefail`, as a list it is taken word by word."),
        key("needs", "names", "Gates that pass before this one starts."),
        key("directory", "path", "Where it runs; default: the repository's root."),
        key("timeout", "duration", "How long one attempt may take; default 10m, at most 24h."),
        key("retries", "retries", "How often it is tried again after a failed attempt; default 0."),
        key("variables", "variable_names", "Variables of the environment that it gets; its result differs with them."),
        key("env", "env", "Variables set for this gate alone."),
        key("inputs", "globs", "What it reads; default: every file."),
        key("except", "globs", "What is taken out of `inputs`."),
        key("outputs", "globs", "What it makes; a directory ends with `/`."),
        key("report", "glob", "Where it leaves its JUnit report."),
        key("services", "names", "Services that run beside it."),
    ],
    required: &["run"],
};

/// A service.
pub(super) const SERVICE: Section = Section {
    what: "a service",
    doc: "A container that runs beside gates.",
    keys: &[
        key("image", "text", "Its image."),
        key("port", "port", "The port that it listens on."),
        key("provides", "variable_name", "The variable in which the gate finds its address."),
    ],
    required: &["image", "port", "provides"],
};

/// An image.
pub(super) const IMAGE: Section = Section {
    what: "an image",
    doc: "An image that is built once.",
    keys: &[
        key("context", "path", "The build context; default: the repository's root."),
        key("dockerfile", "path", "The Dockerfile; default: `Dockerfile` in the context."),
        key("target", "text", "The stage to build; default: the last."),
        key("args", "env", "Build arguments."),
        key("secrets", "variable_names", "Environment variables that the build gets as build secrets."),
        key("max_size", "size", "The largest allowed size: `300MB`, `1GiB`."),
        key("needs", "names", "Gates that pass before it is built; default: none, images are built beside the gates."),
    ],
    required: &[],
};

/// A target.
pub(super) const TARGET: Section = Section {
    what: "a target",
    doc: "One thing on one platform: exactly one of `fly`, `vercel`, `pages`, `worker` and `render`.",
    keys: &[
        key("fly", "fly", "An app on Fly.io: the path of its fly.toml."),
        key("vercel", "vercel", "A project on Vercel: its name or id, or the path of a linked directory."),
        key("pages", "pages", "A project on Cloudflare Pages: its name."),
        key("worker", "worker", "A worker on Cloudflare that serves static assets: its name."),
        key("render", "render", "A service on Render: its id."),
        key("image", "name", "The image that it runs."),
        key(
            "dir",
            "path",
            "The directory that a Vercel, Pages or worker target ships: one with `.vercel/output` (Vercel only), or a plain static site.",
        ),
        key("url", "url", "Its public address, where the platform's word is not the one that users know."),
        key("dns", "dns", "Its hostnames that have Cloudflare as their DNS: each is verified before a release."),
        key("after", "names", "Targets that serve before this one does."),
        key("needs", "names", "Gates whose proofs it needs; default: every gate."),
        key("secrets", "secrets", "Secrets that must exist on the platform or in cutover's environment, from which a release sets them."),
        key("variables", "variable_names", "Variables of the environment that an app on Fly gets when it runs."),
        key("verify", "checks", "Checks that judge a prepared or serving release."),
        key("migration", "migration", "What is to be known of the migration that the platform's own file names: the app of its database."),
    ],
    required: &[],
};

/// What is to be known of a migration.
pub(super) const MIGRATION: Section = Section {
    what: "a migration",
    doc: "What is to be known of a target's migration; the command is in the platform's own file (fly.toml's `release_command`).",
    keys: &[
        key(
            "database",
            "text",
            "The app that has the database: a snapshot of its volumes is taken and waited for before the command runs.",
        ),
        key("volumes", "texts", "The volumes of that app, by id, of which snapshots are taken; default: every one that a machine uses."),
        key("rpo", "duration", "How old the newest snapshot may be before a run warns, at most 8760h."),
        key(
            "breaking",
            "flag",
            "Whether the code that serves cannot work with what the command leaves; then nothing goes back once it has run.",
        ),
    ],
    required: &[],
};

/// A secret of a target.
pub(super) const SECRET: Section = Section {
    what: "a secret",
    doc: "A secret of a target, by name; its value is never in a file.",
    keys: &[
        key("name", "variable_name", "Its name on the platform, and the environment variable that holds its value."),
        key(
            "compatible",
            "flag",
            "Whether what serves before works with a changed value as well; default: no, and a release that has changed it cannot go back.",
        ),
    ],
    required: &["name"],
};

/// What a Fly target says of its app.
pub(super) const FLY: Section = Section {
    what: "a Fly app",
    doc: "An app on Fly.io; what its fly.toml says is not repeated.",
    keys: &[
        key("config", "path", "Its fly.toml; default: `fly.toml`."),
        key("app", "text", "The app, where it is not the one that fly.toml names."),
        key("strategy", "strategy", "How machines are replaced, where it is not what fly.toml says."),
        key(
            "workers",
            "turn",
            "Whether machines without services move before those with services (`first`) or after them; default: `last`.",
        ),
        key(
            "keep_previous",
            "duration",
            "How long the machines of before stay alive, out of routing, after a bluegreen release, for a rollback at once; default: not at all; at most 168h.",
        ),
    ],
    required: &[],
};

/// What a Vercel target says of its project.
pub(super) const VERCEL: Section = Section {
    what: "a Vercel project",
    doc: "A project on Vercel.",
    keys: &[
        key("project", "text", "Its name or id; default: what the link file in `link` says."),
        key("team", "text", "The team's id or slug; default: what the link file says."),
        key("link", "path", "The directory with `.vercel/project.json`; default: the repository's root."),
        key("git", "git", "Vercel builds it from git: the branch, or `true` for the branch that is released."),
        key("hook", "variable_name", "A deploy hook starts it: the environment variable that holds the hook's URL."),
        key(
            "alias",
            "label",
            "What the hostnames of previews begin with, before `-pr-NUMBER.vercel.app`; default: the product's and the target's name.",
        ),
        key("archive_above", "entries", "Above how many files one archive is sent instead of each by itself; default: 500, at most 15000."),
    ],
    required: &[],
};

/// What a Pages target says of its project.
pub(super) const PAGES: Section = Section {
    what: "a Pages project",
    doc: "A project on Cloudflare Pages.",
    keys: &[
        key("project", "text", "Its name."),
        key("account", "text", "The account's id, 32 hex digits; default: what CLOUDFLARE_ACCOUNT_ID says."),
        key("subdomain", "label", "Its name on pages.dev, where that is another than its own; previews are addressed below it."),
        key("git", "flag", "Cloudflare builds it from the repository that the project is connected to; default: no."),
        key("hook", "variable_name", "A deploy hook has it built: the environment variable that holds the hook's URL."),
        key("dotfiles", "globs", "Names with a dot that are published all the same, such as `.htaccess`; `.well-known` always is."),
    ],
    required: &["project"],
};

/// What a worker target says of its worker.
pub(super) const WORKER: Section = Section {
    what: "a worker",
    doc: "A worker on Cloudflare that serves static assets and nothing else.",
    keys: &[
        key("name", "text", "Its name."),
        key("account", "text", "The account's id, 32 hex digits; default: what CLOUDFLARE_ACCOUNT_ID says."),
        key("subdomain", "label", "The account's name on workers.dev, below which previews are addressed."),
        key("dotfiles", "globs", "Names with a dot that are published all the same, such as `.htaccess`; `.well-known` always is."),
        key(
            "not_found",
            "not_found",
            "What a path gets that no file has: `none` (an empty 404), `404-page` (the nearest `404.html`), `single-page-application` (`index.html`); default: `none`.",
        ),
    ],
    required: &["name"],
};

/// What a target says of its hostnames.
pub(super) const DNS: Section = Section {
    what: "a target's hostnames",
    doc: "Hostnames that lead to a target and have Cloudflare as their DNS.",
    keys: &[
        key("hosts", "hostnames", "The hostnames: each must have the record by which it leads to the target."),
        key(
            "manage",
            "flag",
            "Whether a release makes records that are missing and changes a CNAME that leads elsewhere; default: no. Address records are never removed.",
        ),
        key(
            "purge",
            "flag",
            "Whether Cloudflare's cache of these hostnames is purged after cutting over and after rolling back; default: yes.",
        ),
    ],
    // An override may say the rest alone; that a target names a hostname is the reader's to see.
    required: &[],
};

/// What a Render target says of its service.
pub(super) const RENDER: Section =
    Section { what: "a Render service", doc: "A service on Render.", keys: &[key("service", "text", "Its id.")], required: &["service"] };

/// A check.
pub(super) const CHECK: Section = Section {
    what: "a check",
    doc: "A request that judges a prepared or serving release: exactly one of `get`, `post` and `websocket`.",
    keys: &[
        key("get", "url_path", "A GET of this path."),
        key("post", "url_path", "A POST to this path."),
        key("websocket", "url_path", "A websocket upgrade on this path."),
        key("name", "text", "What it is called in reports."),
        key("headers", "headers", "Headers to send."),
        key("body", "body", "The body of a POST: a text, or a map that is sent as JSON."),
        key("sign", "sign", "The environment variable with the secret that signs a POST as Stripe signs webhooks."),
        key("status", "status", "The expected status: `200`, `2xx`; default: any 2xx."),
        key("json", "json_pointer", "A JSON pointer into the body that must exist."),
        key("equals", "equals", "What the body, or what `json` points at, must be equal to; `revision` for the revision that is asked."),
        key("contains", "text", "What the body, or what `json` points at, must contain."),
        key("expect_headers", "headers", "Headers of the answer, each with a text that it must contain."),
        key("location", "text", "How the `location` of a redirect must begin."),
        key("passes", "askings", "How many askings must be answered well; default 2."),
        key("of", "askings", "Out of how many askings; default 3."),
        key("timeout", "duration", "How long one asking may take, a cold start included; default 10s."),
    ],
    required: &[],
};

/// How a POST is signed.
pub(super) const SIGN: Section = Section {
    what: "a signature",
    doc: "How a POST is signed.",
    keys: &[
        key("secret", "variable_name", "The environment variable that holds the signing secret."),
        key("scheme", "scheme", "`stripe`: HMAC-SHA-256 over time and body."),
        key("header", "text", "The header that carries it; default: `Stripe-Signature`."),
    ],
    required: &["secret"],
};

/// An expected value.
pub(super) const EQUALS: Section = Section {
    what: "an expected value",
    doc: "An expected value.",
    keys: &[key("value", "any", "The value itself.")],
    required: &["value"],
};

/// An environment.
pub(super) const ENVIRONMENT: Section = Section {
    what: "an environment",
    doc: "A named set of targets with their settings.",
    keys: &[
        key("branch", "branches", "The branch or branches whose pushes release it."),
        key("pull_request", "pull_request", "Whether every pull request gets one of its own, and what all of them have."),
        key("targets", "some_names", "Its targets; default: every target."),
        key("watch", "duration", "How long the serving revisions are judged before the commit; default 10s, at most 1h."),
        key("max_skew", "duration", "The longest time for which a release may be spread over two sides."),
        key("variables", "variables", "What differs from environment to environment when gates make outputs and when apps run."),
        key("overrides", "overrides", "Settings of targets that differ here: maps are merged, lists are replaced."),
    ],
    required: &[],
};

/// How an environment previews pull requests.
pub(super) const PULL_REQUEST: Section = Section {
    what: "previews of pull requests",
    doc: "What every preview of a pull request has.",
    keys: &[
        key(
            "organization",
            "text",
            "The Fly organisation in which their apps are made, apart from production's; default: what FLY_ORG says.",
        ),
        key("memory", "memory", "How much memory each machine has; default: 256MB, at most 2048MB."),
        key("seed", "seeds", "By target, what is run once on a new preview's image before it serves: it fills its database."),
    ],
    required: &[],
};

/// The value of an environment's variable.
pub(super) const VARIABLE: Section = Section {
    what: "a variable",
    doc: "The value of a variable: exactly one of `text` and `url_of`.",
    keys: &[
        key("text", "text", "The value itself."),
        key("url_of", "name", "A target of the same environment, whose public address is the value."),
        key("path", "url_path", "What is put behind that address."),
    ],
    required: &[],
};
