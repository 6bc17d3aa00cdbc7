//! `cutover inspect` over `fixtures/fly_toml`: one folder a behaviour, each with what Fly would be sent and why.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde::Deserialize;
use serde_json::Value;

use crate::support::binary::{code, cutover, output, told};
use crate::support::openapi::Document;
use crate::support::product::Product;

/// A folder's `case.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    why: String,
    source: String,
    arguments: Vec<String>,
    inspection: Option<Value>,
    faults: Option<Vec<String>>,
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fly_toml");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn read(folder: &Path) -> Case {
    let text = std::fs::read_to_string(folder.join("case.json")).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

fn file(folder: &Path) -> String {
    let names = ["fly.toml", "fly.json", "fly.yaml"];
    names.into_iter().find(|name| folder.join(name).exists()).unwrap_or_else(|| panic!("{} has no fly.toml", folder.display())).to_owned()
}

fn inspected(folder: &Path, case: &Case) -> Output {
    let mut command = cutover(&["inspect", &file(folder), "--format", "json"]);
    command.args(&case.arguments).current_dir(folder);
    output(command)
}

/// Adds every path at which two documents differ.
fn differences(wanted: &Value, got: &Value, path: &str, found: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            let keys: BTreeSet<&String> = wanted.keys().chain(got.keys()).collect();
            for key in keys {
                match (wanted.get(key), got.get(key)) {
                    (Some(wanted), Some(got)) => differences(wanted, got, &format!("{path}/{key}"), found),
                    (Some(wanted), None) => found.push(format!("{path}/{key}: {wanted} is missing")),
                    (None, got) => found.push(format!("{path}/{key}: {} is too much", got.unwrap_or(&Value::Null))),
                }
            }
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            for (at, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                differences(wanted, got, &format!("{path}/{at}"), found);
            }
        }
        _ if wanted == got => {}
        _ => found.push(format!("{path}: {got}, and should be {wanted}")),
    }
}

/// Returns what is wrong with one case.
fn judged(folder: &Path, case: &Case) -> Vec<String> {
    let output = inspected(folder, case);
    let stderr = String::from_utf8_lossy(&output.stderr);
    if let Some(faults) = &case.faults {
        let begin = format!("error: {}:", file(folder));
        let seen: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix(&begin)).collect();
        let all = seen.len() == faults.len() && seen.iter().zip(faults).all(|(seen, fault)| seen.starts_with(fault.as_str()));
        return if all && code(&output) == 2 && output.stdout.is_empty() { Vec::new() } else { vec![told(&output)] };
    }
    if code(&output) != 0 || !stderr.is_empty() {
        return vec![told(&output)];
    }
    let mut got: Value = serde_json::from_slice(&output.stdout).unwrap();
    got.as_object_mut().unwrap().shift_remove("cost").unwrap();
    let mut found = Vec::new();
    differences(case.inspection.as_ref().unwrap(), &got, "", &mut found);
    found
}

#[test]
fn every_case_is_as_it_is_documented() {
    let mut wrong = Vec::new();
    let folders = folders();
    for folder in &folders {
        let case = read(folder);
        assert!(!case.why.is_empty() && !case.source.is_empty(), "{} gives no reason", folder.display());
        assert!(case.inspection.is_some() != case.faults.is_some(), "{} expects both, or nothing", folder.display());
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        wrong.extend(judged(folder, &case).into_iter().map(|what| format!("{name} ({}): {what}", case.why)));
    }
    assert!(folders.len() >= 60, "{} cases", folders.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What Fly's document has otherwise than its own client: `autostop` is written as a truth value, the key of an instance as null, and
/// headers are texts, lists or `false` where the document has an object.
const PINNED: [&str; 5] = [
    "services[].autostop: false is not among the values",
    "services[].autostop: true is not among the values",
    "services[].autostop: is not string",
    "services[].force_instance_key: null is not allowed",
    "services[].ports[].http_options.response.headers.*: is not object",
];

#[test]
fn every_config_is_one_that_the_machines_api_knows() {
    let Some(document) = Document::find("fly-machines-openapi.json", "/v1") else { return };
    let mut faults = BTreeSet::new();
    let mut judged = 0;
    for inspection in folders().iter().filter_map(|folder| read(folder).inspection) {
        let groups = inspection["groups"].as_object().unwrap().values();
        let updates = inspection["updates"].as_array().into_iter().flatten().map(|update| &update["config"]);
        for config in groups.chain(updates).chain(inspection["release_command"].get("config")) {
            judged += 1;
            let body = serde_json::json!({ "config": config });
            let found = document.judge("POST", "/v1/apps/tidy/machines", Some(&body), 200, None);
            let short = |fault: String| fault.rsplit_once("request.config.").map_or(fault.clone(), |(_, fault)| fault.to_owned());
            faults.extend(found.into_iter().filter(|fault| fault.contains(" request")).map(short));
        }
    }
    assert!(judged > 100, "{judged}");
    assert_eq!(faults, PINNED.map(str::to_owned).into(), "{faults:#?}");
}

/// Takes a release's own marks out of a config that it sent.
fn unmarked(config: &mut Value) {
    let mut without = |key: &str, marks: &[&str]| {
        if let Some(map) = config.get_mut(key).and_then(Value::as_object_mut) {
            map.retain(|name, _| !marks.iter().any(|mark| name.starts_with(mark)));
        }
    };
    without("metadata", &["cutover_", "fly_release_"]);
    without("env", &["CUTOVER_"]);
    without("checks", &["cutover-"]);
    let config = config.as_object_mut().unwrap();
    config.retain(|key, value| key != "checks" || value != &serde_json::json!({}));
}

#[test]
fn a_release_sends_what_inspect_shows_and_its_marks() {
    let product = Product::new();
    let tape = product.path().join("tape.jsonl");
    let mut command = cutover(&["rehearse", product.path().to_str().unwrap(), "--no-engine", "--quiet", "--first", "--tape"]);
    command.arg(&tape);
    assert_eq!(code(&output(command)), 0);
    let text = std::fs::read_to_string(&tape).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let creations = entries.filter(|entry| entry["method"] == "POST" && entry["path"].as_str().unwrap_or_default().ends_with("/machines"));
    let mut seen = 0;
    for mut sent in creations.map(|entry| entry["request"]["json"]["config"].clone()) {
        unmarked(&mut sent);
        let image = sent["image"].as_str().unwrap().to_owned();
        let group = sent["metadata"]["fly_process_group"].as_str().unwrap().to_owned();
        let file = product.path().join("backend/fly.toml");
        let shown = output(cutover(&["inspect", file.to_str().unwrap(), "--image", &image, "--format", "json"]));
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(sent, shown["groups"][&group]);
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn what_cannot_be_inspected_is_said_with_what_to_try() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fly_toml/process-words");
    let run = |arguments: &[&str]| {
        let mut command = cutover(&["inspect"]);
        command.args(arguments).current_dir(&folder);
        let output = output(command);
        (code(&output), told(&output))
    };
    assert_eq!(run(&["."]).0, 0, "a folder has its fly.toml");
    let rows = [
        (vec!["absent.toml"], "error: absent.toml cannot be read"),
        (vec!["fly.toml", "--group", "app"], "error: there is no process group `app`\n  try: one of: web, worker"),
        (vec!["fly.toml", "--live", "fly.toml"], "error: fly.toml is not what the Machines API lists"),
    ];
    for (arguments, begin) in rows {
        let (code, told) = run(&arguments);
        assert_eq!(code, 2, "{told}");
        assert!(told.starts_with(begin), "{told}");
    }
}

#[test]
fn people_are_shown_what_they_look_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fly_toml");
    let run = |name: &str, more: &[&str]| {
        let mut command = cutover(&["inspect", "fly.toml"]);
        command.args(more).current_dir(root.join(name));
        String::from_utf8(output(command).stdout).unwrap()
    };
    insta::assert_snapshot!(run("product-web-and-worker", &["--image", "registry.fly.io/tidy:1"]), @r"
    What Fly would be sent for tidy (all of it: --format json)

    strategy   rolling (the file names none; a release uses bluegreen)
    url        https://tidy.fly.dev/
    addresses  shared
    cost       $12.26 a month (prices of 2026-08)
                 2 × shared-cpu-1x 512 MB in sjc  $7.62
                 1 × shared-cpu-2x 512 MB in sjc  $4.64
                 not in it: 1 machine stopped: $0.15 a GB of root file system; traffic, snapshots, certificates

    group app (default)
      image    registry.fly.io/tidy:1
      command  uvicorn main:app --port 8000
      size     shared-cpu-1x 512 MB
      services tcp 8000 at 80 http, 443 http+tls; checks: 1
      env      FLY_PROCESS_GROUP, PRIMARY_REGION

    group worker
      image    registry.fly.io/tidy:1
      command  python -m worker
      size     shared-cpu-2x 512 MB
      restart  always
      env      FLY_PROCESS_GROUP, PRIMARY_REGION

    release command (at most 300 s, in sjc)
      image    registry.fly.io/tidy:1
      command  alembic upgrade head
      size     shared-cpu-2x 512 MB
      restart  no
      env      FLY_PROCESS_GROUP, PRIMARY_REGION, RELEASE_COMMAND
    ");
    insta::assert_snapshot!(run("live-volume-lacking", &["--image", "registry.fly.io/tidy:1", "--live", "live.json"]), @r"
    What Fly would be sent for tidy (all of it: --format json)

    strategy   rolling (the file names none; a release uses rolling: volume data belongs to one machine)
    url        none
    addresses  none
    cost       $4.04 a month (prices of 2026-08)
                 2 × shared-cpu-1x 256 MB in iad  $3.89
                 1 GB of volumes  $0.15
                 not in it: traffic, snapshots, certificates

    group app (default)
      image    registry.fly.io/tidy:1
      size     shared-cpu-1x 256 MB
      mounts   data at /data (a free volume)
      env      FLY_PROCESS_GROUP

    machine a of app in iad: replaced by a new one
      image    registry.fly.io/tidy:1
      size     shared-cpu-1x 256 MB
      mounts   data at /data (vol_1)
      env      FLY_PROCESS_GROUP

    machine b of app in iad: replaced by a new one
      image    registry.fly.io/tidy:1
      size     shared-cpu-1x 256 MB
      mounts   data at /data (a free volume)
      env      FLY_PROCESS_GROUP

    warning: live.machines.b: needs a free volume named `data` in iad, and there is none
    ");
}
