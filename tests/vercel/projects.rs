//! Through the binary: several projects of one repository, and what keeps a release from beginning.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use cutover::clock::Clock;
use cutover::embedded::World;
use cutover::embedded::vercel::{ProjectSeed, Vercel};
use cutover::id::Chance;
use serde_json::Value;

use super::{PROJECT, TEAM, TOKEN, tree, write};
use crate::support::binary::{Sandbox, code, cutover, output, told};
use crate::support::product::Product;

/// FlowHub's front ends as its gate leaves them, made without Node: the pages of each under its own path.
fn flowhub() -> Product {
    let product = Product::of_fixture("flowhub");
    for variant in ["v1", "v2", "v3"] {
        for file in ["index.html", "app.js"] {
            let text = std::fs::read_to_string(product.path().join(format!("ui/{variant}/{file}"))).unwrap();
            write(product.path(), &[(&format!("ui/{variant}/out/{variant}/{file}"), &text)]);
        }
    }
    product
}

/// How often each project was asked to do what.
fn asked(tape: &[Value], operation: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in tape.iter().filter(|entry| entry["operation"] == operation && entry["hand"] == "client") {
        *counts.entry(entry["target"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    counts
}

const FRONT_ENDS: [&str; 9] = ["release", "production", "--skip-gates", "--only", "ui-v1", "--only", "ui-v2", "--only", "ui-v3"];

#[test]
fn three_projects_of_one_repository_are_served_together_and_unchanged_ones_are_carried_without_a_request_that_changes_anything() {
    let mut sandbox = Sandbox::of(flowhub());
    let receipts = tempfile::tempdir().unwrap();
    let run = |name: &str| {
        let path = receipts.path().join(name);
        let mut command = sandbox.command(&FRONT_ENDS);
        command.arg("--receipt").arg(&path).arg("--override");
        let done = output(command);
        assert_eq!(code(&done), 0, "{}", told(&done));
        let receipt: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        receipt
    };
    let carried = |receipt: &Value| -> Vec<(String, bool)> {
        let targets = receipt["targets"].as_array().unwrap().iter();
        targets.map(|target| (target["name"].as_str().unwrap().to_owned(), target["carried"] == true)).collect()
    };
    let all =
        |carried: [bool; 3]| -> Vec<(String, bool)> { ["ui-v1", "ui-v2", "ui-v3"].into_iter().map(str::to_owned).zip(carried).collect() };
    assert_eq!(carried(&run("first")), all([false, false, false]));
    let second = run("second");
    assert_eq!((second["outcome"].as_str(), carried(&second)), (Some("carried"), all([true, true, true])));
    write(sandbox.product.path(), &[("ui/v2/out/v2/index.html", "<!doctype html><p>changed")]);
    let third = run("third");
    assert_eq!((third["outcome"].as_str(), carried(&third)), (Some("finished"), all([true, false, true])));

    let tape = sandbox.tape();
    let creations = asked(&tape, "create_deployment");
    // Each is asked for once to learn what is missing, and once to be made.
    let expected = [("flowhub-v1", 2), ("flowhub-v2", 4), ("flowhub-v3", 2)];
    assert_eq!(creations, expected.map(|(name, count)| (name.to_owned(), count)).into(), "{creations:?}");
    assert_eq!(asked(&tape, "promote"), [("flowhub-v1", 1), ("flowhub-v2", 2), ("flowhub-v3", 1)].map(|(n, c)| (n.to_owned(), c)).into());
    let uploads = tape.iter().filter(|entry| entry["operation"] == "upload_file").count();
    // Four contents of each site: two pages, the mark and the configuration, which is one for all, though whoever asks at the same time may each
    // send it; then the changed page and its mark.
    assert!((3 * 3 + 1 + 2..=3 * 4 + 2).contains(&uploads), "{uploads}");
    for entry in tape.iter().filter(|entry| entry["platform"] == "vercel" && entry["hand"] == "client") {
        assert!(entry["path"].as_str().unwrap().contains("teamId=team_rehearsal"), "{entry}");
    }
}

/// A world that listens, with one project that the test describes.
struct Listening {
    world: World,
    environment: Vec<(String, String)>,
    product: tempfile::TempDir,
}

impl Listening {
    async fn begin(change: impl FnOnce(&mut ProjectSeed), manifest: &str) -> Self {
        let world = World::in_process(Clock::system(), Chance::seeded(7));
        let vercel = Vercel::new(world.ground());
        vercel.add_to(&world);
        vercel.seed_team(TEAM, "flowhub");
        vercel.seed_token(TOKEN, "usr_alma", &[TEAM], None);
        let mut seed = ProjectSeed::new("front", PROJECT, TEAM);
        change(&mut seed);
        vercel.seed_project(seed);
        vercel.seed_earlier_deployment("front", &tree(&[("index.html", "old")]), BTreeMap::new()).unwrap();
        let addresses = world.listen(&BTreeMap::new()).await.unwrap();
        let product = tempfile::tempdir().unwrap();
        write(product.path(), &[("cutover.yml", manifest), ("site/index.html", "new")]);
        let edges: Vec<String> = addresses.edges.iter().map(ToString::to_string).collect();
        let environment = [
            ("VERCEL_API_URL", addresses.base("api.vercel.com").unwrap()),
            ("VERCEL_TOKEN", TOKEN.to_owned()),
            ("VERCEL_ORG_ID", TEAM.to_owned()),
            ("CUTOVER_EDGES", edges.join(",")),
            ("CUTOVER_DRAIN_MARGIN", "100ms".to_owned()),
            ("CUTOVER_STATE_DIR", product.path().join("state").display().to_string()),
        ];
        Self { world, environment: environment.map(|(name, value)| (name.to_owned(), value)).into(), product }
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = cutover(arguments);
        command.current_dir(self.product.path()).envs(self.environment.iter().cloned());
        tokio::task::spawn_blocking(move || output(command)).await.unwrap()
    }

    /// Runs a release that must be refused before anything is touched; returns what was told.
    async fn refused(self, arguments: &[&str]) -> String {
        let done = self.run(arguments).await;
        assert_eq!(code(&done), 5, "{}", told(&done));
        let writes: Vec<_> = self.world.ground().tape.entries().into_iter().filter(|entry| entry.write).collect();
        assert!(writes.is_empty(), "{writes:?}");
        assert!(!Path::new(&self.product.path().join("ran")).exists(), "no gate has run");
        self.world.end().await;
        told(&done)
    }
}

const MANIFEST: &str = "version: 1
product: front
gates: { build: { run: touch ran, variables: [NEXT_PUBLIC_API_URL] } }
targets: { web: { vercel: front, dir: site, secrets: [PAYMENT_KEY] } }
environments: { production: { branch: main, watch: 1s, variables: { NEXT_PUBLIC_API_URL: \"https://api.example.com\" } } }
";

const RELEASE: [&str; 2] = ["release", "production"];

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_git_gives_its_domains_is_refused_with_the_setting_to_change() {
    let connected = |seed: &mut ProjectSeed| seed.repository = Some(("flowhub/front".into(), "main".into()));
    let manifest = MANIFEST.replace(", secrets: [PAYMENT_KEY]", "");
    let text = Listening::begin(connected, &manifest).await.refused(&RELEASE).await;
    for words in ["on every push to main of flowhub/front", "Auto-assign Custom Production Domains", "\"deploymentEnabled\": false"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_with_rolling_releases_is_refused() {
    let rolling = |seed: &mut ProjectSeed| seed.rolling_release = Some(serde_json::json!({ "target": "production", "stages": [] }));
    let text = Listening::begin(rolling, &MANIFEST.replace(", secrets: [PAYMENT_KEY]", "")).await.refused(&RELEASE).await;
    assert!(text.contains("has rolling releases") && text.contains("turn Rolling Releases off"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_looked_for_by_name_before_anything_is_built() {
    let text = Listening::begin(|_| (), MANIFEST).await.refused(&RELEASE).await;
    assert!(text.contains("no production variable PAYMENT_KEY") && text.contains("vercel env add PAYMENT_KEY production"), "{text}");

    let without = MANIFEST.replace(", variables: { NEXT_PUBLIC_API_URL: \"https://api.example.com\" }", "");
    let text = Listening::begin(|_| (), &without).await.refused(&RELEASE).await;
    assert!(text.contains("NEXT_PUBLIC_API_URL, which the gate build is to get, is not set"), "{text}");
    let listening = Listening::begin(|_| (), &without.replace(", secrets: [PAYMENT_KEY]", "")).await;
    // Beside a credential gates get an environment of their own, so that it would not reach them.
    let mut set: Vec<_> = listening.environment.iter().filter(|(name, _)| name != "VERCEL_TOKEN").cloned().collect();
    set.push(("NEXT_PUBLIC_API_URL".to_owned(), "https://here.example.com".to_owned()));
    let listening = Listening { environment: set, ..listening };
    let done = listening.run(&["build", "production", "--out", "made"]).await;
    assert_eq!(code(&done), 0, "set where cutover runs: {}", told(&done));
    listening.world.end().await;
}
