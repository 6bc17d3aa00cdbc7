//! The action's scripts: what inputs become, and what is run only after its digest matched.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const NAMES: [&str; 24] = [
    "COMMAND",
    "ENVIRONMENT",
    "MANIFEST",
    "GATES",
    "OUT",
    "ARTIFACTS",
    "ONLY",
    "SKIP_GATES",
    "TO",
    "FROM_ENVIRONMENT",
    "REASON",
    "HOLD_OFF",
    "PRODUCT",
    "OLDER",
    "ADOPT",
    "OVERRIDE",
    "JOURNAL",
    "DRY_RUN",
    "RECEIPT",
    "FROM",
    "REQUIRED",
    "PENDING",
    "MOST",
    "PULL_REQUEST",
];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn executable(path: &Path, script: &str) {
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn bash(script: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(script).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// Prepares `run.sh` with a binary that prints its arguments, one a line, and with every input empty but those given.
fn run(folder: &TempDir, inputs: &[(&str, &str)]) -> Command {
    let binary = folder.path().join("cutover");
    executable(&binary, "#!/bin/sh\nfor argument; do echo \"$argument\"; done\necho \"process $$\"\n");
    let mut command = bash(&repository().join(".github/action/run.sh"));
    for name in NAMES {
        let value = inputs.iter().find(|(given, _)| *given == name).map_or("", |(_, value)| value);
        command.env(format!("CUTOVER_INPUT_{name}"), value);
    }
    command.env("CUTOVER_BINARY", binary).current_dir(folder.path());
    command
}

fn arguments(inputs: &[(&str, &str)]) -> Vec<String> {
    let output = run(&TempDir::new().unwrap(), inputs).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.starts_with("process ")).map(str::to_owned).collect()
}

#[test]
fn a_value_is_one_argument_and_never_an_option() {
    let hostile = "--help $(touch pwned) `id` * 'x\" ; y";
    assert_eq!(
        arguments(&[
            ("COMMAND", "release"),
            ("MANIFEST", "a b.yml"),
            ("ENVIRONMENT", hostile),
            ("ONLY", "api\n  web \r\n\n*"),
            ("SKIP_GATES", "true")
        ]),
        ["release", "--manifest=a b.yml", "--skip-gates", "--only=api", "--only=web", "--only=*", "--", hostile]
    );
}

#[test]
fn each_command_gets_its_own_inputs_and_no_others() {
    let all = [
        ("MANIFEST", "m"),
        ("ENVIRONMENT", "production"),
        ("GATES", "unit\nweb"),
        ("OUT", "o"),
        ("ARTIFACTS", "a"),
        ("ONLY", "api"),
        ("SKIP_GATES", "true"),
        ("TO", "r1"),
        ("FROM_ENVIRONMENT", "staging"),
        ("REASON", "a reason"),
        ("PRODUCT", "p"),
        ("OLDER", "true"),
        ("ADOPT", "true"),
        ("JOURNAL", "github"),
        ("DRY_RUN", "true"),
        ("RECEIPT", "r.json"),
        ("REQUIRED", "gates\n a job \n"),
        ("MOST", "9"),
        ("PULL_REQUEST", "7"),
    ];
    let of = |command| arguments(&[&[("COMMAND", command)], &all[..]].concat()).join(" ");
    let with = "--manifest=m --journal=github";
    assert_eq!(of("run"), format!("run {with} --environment=production --receipt=r.json --dry-run --older --adopt"));
    assert_eq!(of("gates"), format!("gates {with} --environment=production --receipt=r.json -- unit web"));
    assert_eq!(of("build"), format!("build {with} --out=o --receipt=r.json --skip-gates -- production"));
    let release = "--artifacts=a --receipt=r.json --skip-gates --older --adopt --only=api -- production";
    assert_eq!(of("release"), format!("release {with} {release}"));
    assert_eq!(of("rollback"), format!("rollback {with} --to=r1 --reason=a reason --receipt=r.json --adopt -- production"));
    let promote = "--from=staging --to=production --release=r1 --reason=a reason --receipt=r.json --adopt";
    assert_eq!(of("promote"), format!("promote {with} {promote}"));
    assert_eq!(of("recover"), format!("recover {with} --product=p --receipt=r.json -- production"));
    assert_eq!(of("hold"), format!("hold {with} --product=p --reason=a reason -- production"));
    assert_eq!(of("history"), format!("history {with} --product=p -- production"));
    assert_eq!(of("status"), format!("status {with} -- production"));
    assert_eq!(of("plan"), format!("plan {with} -- production"));
    assert_eq!(of("preview"), format!("preview {with} --artifacts=a --receipt=r.json --skip-gates"));
    assert_eq!(of("sweep"), format!("sweep {with} --most=9 --pull-request=7 --receipt=r.json --dry-run"));
    assert_eq!(of("check"), format!("check {with}"));
    assert_eq!(of("report"), format!("report {with} --product=p --environment=production --required=gates --required=a job"));
    assert_eq!(of("relay"), format!("relay {with} --product=p --required=gates --required=a job"));
    assert_eq!(of("dispatch"), format!("dispatch {with} --receipt=r.json"));
    let pending =
        arguments(&[("COMMAND", "report"), ("MANIFEST", "m"), ("PRODUCT", "p"), ("PENDING", "true"), ("FROM", "."), ("REQUIRED", "x")]);
    assert_eq!(pending, ["report", "--manifest=m", "--product=p", "--pending"]);
    assert_eq!(arguments(&[("COMMAND", "recover"), ("MANIFEST", "m")]), ["recover", "--manifest=m"], "every environment");
    let off = arguments(&[("COMMAND", "hold"), ("MANIFEST", "m"), ("ENVIRONMENT", "e"), ("HOLD_OFF", "true"), ("REASON", "r")]);
    assert_eq!(off, ["hold", "--manifest=m", "--off", "--", "e"]);
}

#[test]
fn report_reads_every_receipt_of_the_folder() {
    let folder = TempDir::new().unwrap();
    for name in ["gates of x.json", "release.json", "notes.txt"] {
        std::fs::write(folder.path().join(name), "{}").unwrap();
    }
    let output = run(&folder, &[("COMMAND", "report"), ("MANIFEST", "m"), ("FROM", ".")]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("report\n--manifest=m\n--from=./gates of x.json\n--from=./release.json\nprocess "), "{text}");
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_runs() {
    for inputs in [
        &[("COMMAND", "sandbox")][..],
        &[("COMMAND", "release")],
        &[("COMMAND", "build")],
        &[("COMMAND", "run"), ("DRY_RUN", "yes")],
        &[("COMMAND", "hold"), ("ENVIRONMENT", "e")],
        &[("COMMAND", "promote"), ("ENVIRONMENT", "e")],
        &[("COMMAND", "relay")],
        &[("COMMAND", "report"), ("PENDING", "maybe")],
    ] {
        let output = run(&TempDir::new().unwrap(), inputs).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{inputs:?}");
        assert!(output.stdout.is_empty(), "{inputs:?}");
        assert!(output.stderr.starts_with(b"::error title=cutover::"), "{inputs:?}");
    }
}

/// The runner signals the step's entry process only.
#[test]
fn the_entry_process_becomes_the_binary() {
    let folder = TempDir::new().unwrap();
    let child = run(&folder, &[("COMMAND", "check")]).stdout(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().ends_with(&format!("process {id}\n")));
}

/// Runs `get-binary.sh` with a `curl` that writes `content`, against a table that lists the digest of `listed`.
fn get_binary(folder: &TempDir, listed: &str, content: &str) -> Output {
    let action = folder.path().join("action");
    let bin = folder.path().join("bin");
    std::fs::create_dir_all(action.join(".github")).unwrap();
    std::fs::create_dir_all(&bin).unwrap();
    let digest: String = <sha2::Sha256 as sha2::Digest>::digest(listed).iter().map(|byte| format!("{byte:02x}")).collect();
    let table = format!("# from: https://downloads.example/v1\n{digest}  cutover-x86_64-unknown-linux-musl\n");
    std::fs::write(action.join(".github/binaries.sha256"), table).unwrap();
    executable(
        &bin.join("curl"),
        "#!/bin/sh\nwhile [ \"$1\" != --output ]; do shift; done\nprintf %s \"$CONTENT\" >\"$2\"\necho \"$3\" >>\"$RUNNER_TEMP/asked\"\n",
    );
    bash(&repository().join(".github/action/get-binary.sh"))
        .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
        .env("GITHUB_ACTION_PATH", action)
        .env("GITHUB_OUTPUT", folder.path().join("output"))
        .env("RUNNER_TEMP", folder.path())
        .env("RUNNER_OS", "Linux")
        .env("RUNNER_ARCH", "X64")
        .env("CUTOVER_INPUT_BINARY", "")
        .env("CUTOVER_INPUT_BUILD_FROM_SOURCE", "false")
        .env("CONTENT", content)
        .output()
        .unwrap()
}

#[test]
fn a_binary_with_the_listed_digest_is_handed_on() {
    let folder = TempDir::new().unwrap();
    let output = get_binary(&folder, "good", "good");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
    assert_eq!(asked, "https://downloads.example/v1/cutover-x86_64-unknown-linux-musl\n");
    let written = std::fs::read_to_string(folder.path().join("output")).unwrap();
    let path = written.strip_prefix("path=").unwrap().trim_end();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "good");
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_binary_with_another_digest_is_removed_and_never_run() {
    let folder = TempDir::new().unwrap();
    let output = get_binary(&folder, "good", "tampered");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("so it was not run"));
    assert!(!folder.path().join("output").exists());
    let left =
        std::fs::read_dir(folder.path()).unwrap().flatten().find(|entry| entry.file_name().to_string_lossy().starts_with("cutover-"));
    assert_eq!(std::fs::read_dir(left.unwrap().path()).unwrap().count(), 0);
}

/// An input that no script reads, or a script that reads what is never set, is a wire that ends nowhere.
#[test]
fn every_input_reaches_a_script_by_the_environment_alone() {
    let action = std::fs::read_to_string(repository().join("action.yml")).unwrap();
    let scripts: String =
        ["get-binary.sh", "run.sh"].map(|name| std::fs::read_to_string(repository().join(".github/action").join(name)).unwrap()).concat();
    let (inputs, _) = action.split_once("\noutputs:").unwrap();
    let names = inputs.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':')).filter(|name| !name.starts_with(' '));
    let mut count = 0;
    for name in names.filter(|name| *name != "icon" && *name != "color") {
        let variable = match name {
            "token" => "GITHUB_TOKEN".to_owned(),
            _ => format!("CUTOVER_INPUT_{}", name.replace('-', "_").to_uppercase()),
        };
        assert!(action.contains(&format!("{variable}: ${{{{ inputs.{name} }}}}")), "{name} is not handed on as {variable}");
        assert!(name == "token" || scripts.contains(&format!("${variable}")), "no script reads {variable}");
        count += 1;
    }
    assert_eq!(count, NAMES.len() + 3, "the names in this test are not the action's");
    assert!(action.lines().filter(|line| line.trim_start().starts_with("run:")).all(|line| !line.contains("${{")));
}

/// What the reader copies from README is what is linted and tested.
#[test]
fn readme_shows_the_workflows_as_they_are() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let folder = repository().join("fixtures/autoswe/.github/workflows");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(readme.contains(&format!("```yaml\n{text}```\n")), "README shows another {}", path.display());
        count += 1;
    }
    assert_eq!(count, 5);
}
