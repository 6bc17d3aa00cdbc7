//! What was released once is released again: images by their digest, directories from their commit, and which release a way back means.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::image::{gzip, layout, write_layout};
use crate::people::{commit, git, made_by_a_gate};
use crate::support::binary::{Sandbox, code, output, told, until, wait};

/// Where a run's journal is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    File,
    GitHub,
}

/// A builder of images that needs no engine: every build gives another image, and is written down.
struct Builder {
    folder: tempfile::TempDir,
}

impl Builder {
    /// Returns a builder that can build twice.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for build in ["1", "2", "3"] {
            let (files, _) = layout(&gzip(build.as_bytes()), "application/vnd.oci.image.layer.v1.tar+gzip");
            write_layout(&folder.path().join(format!("{build}.tar")), &files);
        }
        let at = folder.path().display();
        let buildah = format!(
            "#!/bin/sh\ncase \"$1\" in\nbuild)\n  echo built >>{at}/builds\n  \
             for word in \"$@\"; do case \"$word\" in --iidfile=*) echo sha256:1 >\"${{word#--iidfile=}}\" ;; esac; done ;;\n\
             push) cp {at}/$(($(wc -l <{at}/builds))).tar \"${{3#oci-archive:}}\" ;;\nesac\n"
        );
        for (name, text) in [("buildah", buildah.as_str()), ("docker", "#!/bin/sh\nexit 1\n")] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder }
    }

    fn builds(&self) -> usize {
        std::fs::read_to_string(self.folder.path().join("builds")).unwrap_or_default().lines().count()
    }

    fn path(&self) -> String {
        format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap())
    }
}

impl Sandbox {
    /// Runs a command whose journal is at `place`.
    fn at(&self, place: Place, builder: Option<&Builder>, arguments: &[&str]) -> Output {
        output(self.command_at(place, builder, arguments))
    }

    fn command_at(&self, place: Place, builder: Option<&Builder>, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        if place == Place::GitHub {
            command.envs(self.variables.iter().filter(|(name, _)| name == "GITHUB_TOKEN").cloned());
        }
        command.envs(builder.map(|builder| ("PATH", builder.path())));
        command
    }

    fn variable(&self, name: &str) -> &str {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap()
    }

    /// Asks a platform as its own token may; returns the answer's body.
    pub(crate) fn ask(&self, base: &str, method: &str, path: &str, token: &str) -> Value {
        let authority = self.variable(base).trim_start_matches("http://").trim_end_matches('/');
        let (authority, below) = authority.split_once('/').unwrap_or((authority, ""));
        let mut stream = TcpStream::connect(authority).unwrap();
        let below = if below.is_empty() { String::new() } else { format!("/{below}") };
        write!(stream, "{method} {below}{path} HTTP/1.0\r\nHost: {authority}\r\nAuthorization: Bearer {}\r\n\r\n", self.variable(token))
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.split(' ').nth(1).is_some_and(|status| status.starts_with('2')), "{method} {path}: {answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_default()
    }

    /// Returns the digests of the images of an app's machines that serve.
    fn machines(&self, app: &str) -> Vec<String> {
        let machines = self.ask("FLY_FLAPS_BASE_URL", "GET", &format!("/v1/apps/{app}/machines"), "FLY_API_TOKEN");
        let digest = |machine: &Value| machine["config"]["image"].as_str().unwrap().split_once('@').unwrap().1.to_owned();
        machines.as_array().unwrap().iter().map(digest).collect()
    }

    /// Returns what the newest finished release of an environment shipped on a target, as the journal has it.
    fn shipped(&self, place: Place, environment: &str, target: &str) -> Value {
        let raw = self.at(place, None, &["history", environment, "--raw"]);
        let text = String::from_utf8(raw.stdout).unwrap();
        let newest: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        newest["state"]["closed"].as_array().unwrap().last().unwrap()["targets"][target].clone()
    }

    /// Returns the page that users of production get.
    fn page(&self) -> String {
        let edge = self.variable("CUTOVER_EDGES").split(',').next().unwrap().to_owned();
        let mut stream = TcpStream::connect(edge).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\nHost: small-web.vercel.app\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn root(&self) -> PathBuf {
        self.product.path().to_owned()
    }
}

/// Writes what the front end's gate makes, and commits it.
fn page_of_commit(root: &Path, page: &str, first: &str) -> String {
    std::fs::write(root.join("make.sh"), format!("{first}\nmkdir -p out && echo \"<p>$TITLE {page}\" >out/index.html\n")).unwrap();
    commit(root)
}

fn at_github(root: &Path, place: Place) {
    if place == Place::GitHub {
        git(root, &["remote", "add", "origin", "git@github.com:rehearsal/product.git"]);
    }
}

#[test]
fn an_image_is_promoted_by_its_digest_and_never_built_again() {
    for place in [Place::File, Place::GitHub] {
        let mut sandbox = Sandbox::of(made_by_a_gate());
        let (root, builder) = (sandbox.root(), Builder::new());
        at_github(&root, place);
        let staged = sandbox.at(place, Some(&builder), &["release", "staging"]);
        assert_eq!((code(&staged), builder.builds()), (0, 1), "{place:?}: {}", told(&staged));
        let digest = sandbox.shipped(place, "staging", "api")["artifact"]["digest"].as_str().unwrap().to_owned();
        assert!(digest.starts_with("sha256:"), "{digest}");
        // Meanwhile the branch went on, and could not be built any more.
        std::fs::write(root.join("backend/Dockerfile"), "FROM nothing\n").unwrap();
        commit(&root);

        let promoted = sandbox.at(place, Some(&builder), &["promote", "--from", "staging", "--to", "production"]);
        let text = told(&promoted);
        assert_eq!((code(&promoted), builder.builds()), (0, 1), "{place:?}: {text}");
        for said in ["was copied from small-api-staging to small-api; it was not built again", "what it is made with differs", "(TITLE)"] {
            assert!(text.contains(said), "{place:?}: {said}: {text}");
        }
        assert_eq!(sandbox.shipped(place, "production", "api")["artifact"]["digest"], digest.as_str(), "{place:?}");
        let machines = sandbox.machines("small-api");
        assert!(!machines.is_empty() && machines.iter().all(|image| *image == digest), "{place:?}: {digest}: {machines:?}");
        assert!(sandbox.page().starts_with("<p>live one"), "{place:?}: {}", sandbox.page());

        let tape = sandbox.tape();
        let pushed = |app: &str| -> Vec<String> {
            let puts = tape.iter().filter(|entry| entry["operation"] == "put_manifest" && entry["target"] == app && entry["status"] == 201);
            puts.map(|entry| entry["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect()
        };
        let named = [format!("cutover-{}", &digest["sha256:".len()..][..12]), digest.clone()];
        for app in ["small-api-staging", "small-api"] {
            let pushed = pushed(app);
            assert!(!pushed.is_empty() && pushed.iter().all(|name| named.contains(name)), "{place:?} {app}: {digest}: {pushed:?}");
        }
    }
}

#[test]
fn a_way_back_ships_the_earlier_image_by_its_digest() {
    let sandbox = Sandbox::of(made_by_a_gate());
    let (root, builder) = (sandbox.root(), Builder::new());
    let release = |only: &str| {
        let released = sandbox.at(Place::File, Some(&builder), &["release", "production", "--only", only]);
        assert_eq!(code(&released), 0, "{}", told(&released));
        sandbox.shipped(Place::File, "production", "api")["artifact"]["digest"].as_str().unwrap().to_owned()
    };
    let one = release("api");
    std::fs::write(root.join("backend/file"), "two\n").unwrap();
    commit(&root);
    let two = release("api");
    assert_ne!(one, two);
    assert!(sandbox.machines("small-api").iter().all(|image| *image == two));
    let back = sandbox.at(Place::File, Some(&builder), &["rollback", "production"]);
    assert_eq!((code(&back), builder.builds()), (0, 2), "{}", told(&back));
    assert!(sandbox.machines("small-api").iter().all(|image| *image == one), "{one}: {:?}", sandbox.machines("small-api"));
}

/// Releases two commits of the front end and takes from the platform and from this machine what the first one shipped.
fn two_releases(sandbox: &Sandbox, place: Place, first: &str) -> String {
    let root = sandbox.root();
    at_github(&root, place);
    let one = page_of_commit(&root, "one", first);
    let released = sandbox.at(place, None, &["release", "production", "--only", "web"]);
    assert_eq!(code(&released), 0, "{}", told(&released));
    let gone = sandbox.shipped(place, "production", "web")["revision"]["hints"]["deploymentId"].as_str().unwrap().to_owned();
    page_of_commit(&root, "two", "");
    let released = sandbox.at(place, None, &["release", "production", "--only", "web"]);
    assert_eq!(code(&released), 0, "{}", told(&released));
    sandbox.ask("VERCEL_API_URL", "DELETE", &format!("/v13/deployments/{gone}?teamId=team_rehearsal"), "VERCEL_TOKEN");
    one
}

#[test]
fn a_directory_that_is_nowhere_any_more_is_made_again_from_its_commit() {
    for place in [Place::File, Place::GitHub] {
        let sandbox = Sandbox::of(made_by_a_gate());
        let one = two_releases(&sandbox, place, "");
        let back = sandbox.at(place, None, &["rollback", "production"]);
        let text = told(&back);
        assert_eq!(code(&back), 0, "{place:?}: {text}");
        for said in ["neither its platform nor this machine has its files any more", &one[..12], "the files are the same as then"] {
            assert!(text.contains(said), "{place:?}: {said}: {text}");
        }
        assert!(sandbox.page().starts_with("<p>live one"), "{place:?}: {}", sandbox.page());
        let newest = sandbox.at(place, None, &["history", "production", "--format", "json"]);
        let newest: Value = serde_json::from_slice(&newest.stdout).unwrap();
        assert_eq!(newest["events"][0]["commit"], one.as_str(), "{place:?}");
        let root = sandbox.root();
        assert_eq!(git(&root, &["worktree", "list"]).lines().count(), 1, "no work tree is left");
        assert!(std::fs::read_to_string(root.join("out/index.html")).unwrap().contains("two"), "what is checked out is untouched");
    }
}

#[test]
fn where_to_go_back_to_is_decided_when_the_turn_has_come() {
    let sandbox = Sandbox::of(made_by_a_gate());
    let root = sandbox.root();
    let (hold, begun) = (sandbox.state.path().join("hold"), sandbox.state.path().join("begun"));
    let first = format!(": >{0}; while test -e {1}; do sleep 0.05; done", begun.display(), hold.display());
    two_releases(&sandbox, Place::GitHub, &first);
    assert!(sandbox.page().starts_with("<p>live two"));

    // The files of what came before are made again, which takes its time.
    std::fs::remove_file(&begun).unwrap();
    std::fs::write(&hold, "").unwrap();
    let mut back = sandbox.command_at(Place::GitHub, None, &["rollback", "production", "--format", "json"]);
    let mut back = back.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(&mut back, "gate_started");
    // Meanwhile somebody releases: what came before is another one now.
    std::fs::write(root.join("out/index.html"), "<p>live three\n").unwrap();
    let three = sandbox.at(Place::GitHub, None, &["release", "production", "--skip-gates", "--only", "web"]);
    assert_eq!(code(&three), 0, "{}", told(&three));
    assert!(sandbox.page().starts_with("<p>live three"));
    std::fs::remove_file(&hold).unwrap();
    let back = wait(back);
    assert_eq!(code(&back), 0, "{}", told(&back));
    assert!(sandbox.page().starts_with("<p>live two"), "{}", sandbox.page());
}
