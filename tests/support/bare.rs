//! A real bare git repository behind the calls of GitHub's git database: git itself makes the objects, names them and moves the refs.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Command, Output, Stdio};

use axum::extract::{Path, Query, State};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use base64::Engine;
use http::StatusCode;
use serde_json::{Value, json};

type Answered = (StatusCode, Json<Value>);

/// The repository; its folder is gone with it.
#[derive(Clone)]
pub(crate) struct Bare {
    folder: PathBuf,
}

impl Bare {
    /// Makes a repository with one commit on `main` in `folder`; `None` where there is no git.
    pub(crate) fn new(folder: &FilePath) -> Option<Self> {
        Command::new("git").arg("--version").stdout(Stdio::null()).status().ok().filter(std::process::ExitStatus::success)?;
        let bare = Self { folder: folder.to_owned() };
        bare.git(&["init", "--bare", "--quiet", "--initial-branch", "main", "."]);
        let tree = bare.git_with(&["mktree"], "", &[]);
        let first = bare.git_with(&["commit-tree", &tree], "first\n", &[]);
        bare.git(&["update-ref", "refs/heads/main", &first]);
        Some(bare)
    }

    /// Serves it on a free loopback port; returns the address of its API. The server ends with the runtime.
    pub(crate) async fn serve(&self) -> url::Url {
        let repository = "/repos/alma/shop";
        let path = |rest: &str| format!("{repository}/{rest}");
        let router = Router::new()
            .route(&path("git/ref/{*name}"), get(get_ref))
            .route(&path("git/matching-refs/{*name}"), get(matching_refs))
            .route(&path("git/refs"), post(create_ref))
            .route(&path("git/refs/{*name}"), patch(update_ref))
            .route(&path("git/commits"), post(create_commit))
            .route(&path("git/commits/{sha}"), get(get_commit))
            .route(&path("git/trees"), post(create_tree))
            .route(&path("git/trees/{sha}"), get(get_tree))
            .route(&path("git/blobs/{sha}"), get(get_blob))
            .route(&path("commits"), get(list_commits))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        url::Url::parse(&format!("http://{address}")).unwrap()
    }

    /// Runs git and returns what it prints; the test stops when it fails.
    pub(crate) fn git(&self, words: &[&str]) -> String {
        self.git_with(words, "", &[])
    }

    fn git_with(&self, words: &[&str], input: &str, variables: &[(&str, &str)]) -> String {
        let output = self.run(words, input, variables);
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Runs git, which knows no settings but the repository's own.
    pub(crate) fn run(&self, words: &[&str], input: &str, variables: &[(&str, &str)]) -> Output {
        use std::io::Write;
        let mut command = Command::new("git");
        command.args(words).current_dir(&self.folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", &self.folder).env("GIT_DIR", &self.folder).env("TZ", "UTC");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "alma").env(format!("GIT_{who}_EMAIL"), "alma@example.com");
        }
        command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn resolve(&self, name: &str) -> Option<String> {
        let output = self.run(&["rev-parse", "--verify", "--quiet", name], "", &[]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// Returns a commit as the API shows it.
    fn commit(&self, sha: &str) -> Option<Value> {
        let output = self.run(&["cat-file", "commit", sha], "", &[]);
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        let (headers, message) = text.split_once("\n\n")?;
        let all = |key: &str| headers.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect::<Vec<_>>();
        let parents: Vec<_> = all("parent ").iter().map(|sha| json!({ "sha": sha })).collect();
        Some(json!({ "sha": sha, "message": message, "tree": { "sha": all("tree ")[0] }, "parents": parents }))
    }
}

fn said(name: &str, sha: &str) -> Value {
    json!({ "ref": name, "object": { "sha": sha, "type": "commit" } })
}

fn refused(status: u16, message: &str) -> Answered {
    (StatusCode::from_u16(status).unwrap(), Json(json!({ "message": message })))
}

async fn get_ref(State(bare): State<Bare>, Path(name): Path<String>) -> Answered {
    let name = format!("refs/{name}");
    bare.resolve(&name).map_or_else(|| refused(404, "Not Found"), |sha| (StatusCode::OK, Json(said(&name, &sha))))
}

async fn matching_refs(State(bare): State<Bare>, Path(name): Path<String>) -> Answered {
    let listed = bare.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
    let prefix = format!("refs/{name}");
    let found = listed.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| name.starts_with(&prefix));
    (StatusCode::OK, Json(found.map(|(name, sha)| said(name, sha)).collect()))
}

async fn create_ref(State(bare): State<Bare>, Json(body): Json<Value>) -> Answered {
    let (name, sha) = (body["ref"].as_str().unwrap(), body["sha"].as_str().unwrap());
    let nothing = "0".repeat(40);
    if bare.run(&["update-ref", name, sha, &nothing], "", &[]).status.success() {
        (StatusCode::CREATED, Json(said(name, sha)))
    } else {
        refused(422, "Reference already exists")
    }
}

async fn update_ref(State(bare): State<Bare>, Path(name): Path<String>, Json(body): Json<Value>) -> Answered {
    let (name, sha) = (format!("refs/{name}"), body["sha"].as_str().unwrap());
    assert_eq!(body["force"], false);
    let Some(old) = bare.resolve(&name) else { return refused(422, "Reference does not exist") };
    if !bare.run(&["merge-base", "--is-ancestor", &old, sha], "", &[]).status.success() {
        return refused(422, "Update is not a fast forward");
    }
    if !bare.run(&["update-ref", &name, sha, &old], "", &[]).status.success() {
        return refused(422, "Reference update failed");
    }
    (StatusCode::OK, Json(said(&name, sha)))
}

async fn create_commit(State(bare): State<Bare>, Json(body): Json<Value>) -> Answered {
    let mut words = vec!["commit-tree", body["tree"].as_str().unwrap()];
    for parent in body["parents"].as_array().unwrap() {
        words.extend(["-p", parent.as_str().unwrap()]);
    }
    let mut variables = BTreeMap::new();
    for (who, variable) in [("author", "AUTHOR"), ("committer", "COMMITTER")] {
        let at: jiff::Timestamp = body[who]["date"].as_str().unwrap().parse().unwrap();
        variables.insert(format!("GIT_{variable}_NAME"), body[who]["name"].as_str().unwrap().to_owned());
        variables.insert(format!("GIT_{variable}_EMAIL"), body[who]["email"].as_str().unwrap().to_owned());
        variables.insert(format!("GIT_{variable}_DATE"), format!("@{} +0000", at.as_second()));
    }
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let output = bare.run(&words, body["message"].as_str().unwrap(), &variables);
    if !output.status.success() {
        return refused(422, String::from_utf8_lossy(&output.stderr).trim());
    }
    let sha = String::from_utf8(output.stdout).unwrap();
    (StatusCode::CREATED, Json(bare.commit(sha.trim()).unwrap()))
}

async fn get_commit(State(bare): State<Bare>, Path(sha): Path<String>) -> Answered {
    bare.commit(&sha).map_or_else(|| refused(404, "Not Found"), |commit| (StatusCode::OK, Json(commit)))
}

async fn create_tree(State(bare): State<Bare>, Json(body): Json<Value>) -> Answered {
    let mut listing = String::new();
    for entry in body["tree"].as_array().unwrap() {
        let blob = bare.git_with(&["hash-object", "-w", "--stdin"], entry["content"].as_str().unwrap(), &[]);
        let (mode, path) = (entry["mode"].as_str().unwrap(), entry["path"].as_str().unwrap());
        for part in [mode, " blob ", &blob, "\t", path, "\n"] {
            listing.push_str(part);
        }
    }
    (StatusCode::CREATED, Json(json!({ "sha": bare.git_with(&["mktree"], &listing, &[]), "tree": [] })))
}

async fn get_tree(State(bare): State<Bare>, Path(sha): Path<String>) -> Answered {
    let listed = bare.git(&["ls-tree", &sha]);
    let entries = listed.lines().filter_map(|line| {
        let (object, path) = line.split_once('\t')?;
        Some(json!({ "path": path, "sha": object.rsplit(' ').next()? }))
    });
    (StatusCode::OK, Json(json!({ "sha": sha, "tree": entries.collect::<Vec<_>>() })))
}

async fn get_blob(State(bare): State<Bare>, Path(sha): Path<String>) -> Answered {
    let content = bare.run(&["cat-file", "blob", &sha], "", &[]).stdout;
    (
        StatusCode::OK,
        Json(json!({ "sha": sha, "content": base64::engine::general_purpose::STANDARD.encode(content), "encoding": "base64" })),
    )
}

async fn list_commits(State(bare): State<Bare>, Query(query): Query<BTreeMap<String, String>>) -> Answered {
    let listed = bare.git(&["rev-list", &format!("--max-count={}", query["per_page"]), &query["sha"]]);
    let commits = listed.lines().filter_map(|sha| bare.commit(sha));
    let shown = commits.map(|commit| {
        let inner = json!({ "message": commit["message"], "tree": commit["tree"] });
        json!({ "sha": commit["sha"], "commit": inner, "parents": commit["parents"] })
    });
    (StatusCode::OK, Json(shown.collect()))
}
