//! The manifest: what is read, what is refused and where, what editors are told.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover::id::Name;
use cutover::manifest::{
    self, Check, CheckRequest, Equals, ExpectedStatus, FlyStrategy, Manifest, PagesSource, Run, TargetPlatform, Variable, VercelSource,
    VercelTarget,
};

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifests").join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    files
}

fn good(file: &str) -> Manifest {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifests/good").join(file);
    manifest::load(&path).unwrap_or_else(|faults| panic!("{faults}")).manifest
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// What a bad fixture says of itself in its first lines: `# expect: CODE LINE:COLUMN`, the place being `?` where it does not matter.
fn expected(text: &str) -> Vec<(String, String)> {
    let expectations = text.lines().filter_map(|line| line.strip_prefix("# expect: "));
    expectations.map(|line| line.split_once(' ').map(|(code, place)| (code.to_owned(), place.to_owned())).unwrap()).collect()
}

#[test]
fn every_good_manifest_loads_without_a_warning() {
    assert!(fixtures("good").len() >= 8);
    for file in fixtures("good") {
        let loaded = manifest::load(&file).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(loaded.warnings.is_empty(), "{}: {:?}", file.display(), loaded.warnings);
    }
}

#[test]
fn hostnames_and_workers_are_settled() {
    let manifest = good("cloudflare.yml");
    let dns = |manifest: &Manifest, target: &str| manifest.targets[&name(target)].dns.clone().unwrap();
    let files = dns(&manifest, "files");
    assert_eq!((files.hosts, files.manage, files.purge), (vec!["shop.example.com".into(), "example.com".into()], false, true));
    let TargetPlatform::Worker(whole) = &manifest.targets[&name("whole")].platform else { panic!("a worker") };
    assert_eq!((whole.name.as_str(), whole.not_found.as_str(), whole.dotfiles.len()), ("help", "single-page-application", 1));
    let TargetPlatform::Worker(files) = &manifest.targets[&name("files")].platform else { panic!("a worker") };
    let TargetPlatform::Pages(pages) = &manifest.targets[&name("pages")].platform else { panic!("a project") };
    let TargetPlatform::Vercel(front) = &manifest.targets[&name("front")].platform else { panic!("a project") };
    let names = [&files.subdomain, &pages.subdomain, &front.alias, &whole.subdomain];
    assert_eq!(names.map(Option::as_deref), [Some("acme"), Some("docs-4f2"), Some("shop-front"), None]);
    let staging = manifest.in_environment(&name("staging")).unwrap();
    let TargetPlatform::Worker(whole) = &staging.targets[&name("whole")].platform else { panic!("a worker") };
    assert_eq!((whole.name.as_str(), whole.account.is_some()), ("help-staging", true), "an override merges the short form, too");
    let (whole, files) = (dns(&staging, "whole"), dns(&staging, "files"));
    assert_eq!((whole.hosts, whole.manage, whole.purge), (vec!["help.staging.example.com".into()], true, false));
    assert_eq!((files.hosts.len(), files.manage), (2, true));
}

#[test]
fn a_preview_has_of_a_target_only_what_it_says_again() {
    let manifest = good("previews.yml");
    let preview = manifest.in_environment(&name("preview")).unwrap();
    let (api, web) = (&preview.targets[&name("api")], &preview.targets[&name("web")]);
    assert_eq!(api.secrets, ["SESSION_SECRET"], "production's others stay production's");
    assert_eq!((&api.migration, &api.url, &web.dns), (&None, &None, &None));
    assert_eq!(api.variables, ["ALLOWED_ORIGINS"]);
    let settings = manifest.environments[&name("preview")].pull_request.clone().unwrap();
    assert_eq!((settings.organization.as_deref(), settings.memory_mb), (Some("shop-previews"), Some(512)));
    assert_eq!(settings.seeds[&name("api")], "bin/seed --all");
    let production = manifest.in_environment(&name("production")).unwrap();
    assert_eq!(production.targets[&name("api")].secrets, ["DATABASE_URL", "SESSION_SECRET"]);
    assert!(production.targets[&name("api")].migration.is_some());
}

#[test]
fn every_bad_manifest_is_refused_with_its_codes_at_their_places() {
    let files = fixtures("bad");
    assert!(files.len() >= 40);
    let mut wrong = Vec::new();
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        let found: Vec<(String, String)> = match manifest::load(&file) {
            Ok(_) => Vec::new(),
            Err(faults) => {
                let place = |at| faults.source.position(at);
                let one = |fault: &manifest::Fault| {
                    let (line, column) = place(fault.span.start);
                    (fault.code.to_string(), format!("{line}:{column}"))
                };
                faults.faults.iter().map(one).collect()
            }
        };
        let mut left = expected(&text);
        let mut extra = Vec::new();
        for fault in &found {
            match left.iter().position(|(code, place)| *code == fault.0 && (place == "?" || *place == fault.1)) {
                Some(at) => drop(left.remove(at)),
                None => extra.push(fault.clone()),
            }
        }
        // A bomb gives one fault per alias; its expectation stands for all of them.
        extra.retain(|fault| !(file.ends_with("bomb.yml") && (fault.0 == "manifest::alias" || fault.0 == "manifest::unknown-key")));
        if !left.is_empty() || !extra.is_empty() || found.is_empty() {
            wrong.push(format!("{}: missing {left:?}, found besides {extra:?}", file.file_name().unwrap().display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_smallest_product_fits_ten_lines() {
    let manifest = good("dailyreps.yml");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifests/good/dailyreps.yml");
    assert!(fs::read_to_string(path).unwrap().lines().count() <= 10);
    let api = &manifest.targets["api"];
    assert_eq!(manifest.gates["test"].run, Run::Words(vec!["cargo".into(), "test".into(), "--locked".into()]));
    assert_eq!(manifest.images["server"].context, Path::new("."));
    assert_eq!(api.image(), Some(&name("server")));
    assert_eq!(api.needs, [name("test")], "a target needs every gate where it does not say");
    assert_eq!(api.secrets, ["DATABASE_URL", "ALLOWED_ORIGINS", "APP_SIGNING_SECRET"]);
    assert_eq!(manifest.environments["production"].targets, [name("api")], "no list means every target");
    assert_eq!(manifest.environments["production"].watch, Duration::from_secs(10));
}

#[test]
fn the_products_of_the_repository_load() {
    for product in ["autoswe", "flowhub"] {
        let loaded = manifest::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(product));
        let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(loaded.manifest.product, name(product));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}

#[test]
fn short_and_long_forms_of_gates_mean_the_same() {
    let gates = good("gates.yml").gates;
    assert_eq!(gates["list"].run, Run::Words(vec!["node".into(), "--test".into(), "a b".into(), "7".into()]));
    assert_eq!(gates["shell"].run, Run::Shell("cargo build && cargo test".into()));
    assert_eq!(gates["builtin"].run, Run::Shell("cd backend".into()), "no program is called cd");
    assert_eq!(gates["assignment"].run, Run::Shell("RUST_LOG=debug cargo test".into()));
    let long = &gates["long"];
    assert_eq!(long.run, Run::Shell("npm ci\nnpm test".into()));
    assert_eq!(long.directory.as_deref(), Some(Path::new("backend")));
    assert_eq!((long.timeout, long.retries), (Duration::from_secs(5400), 2));
    assert_eq!(long.env.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(), ["PORT=8080", "DEBUG=true", "NAME=x y"]);
    assert_eq!((&long.inputs[0], &long.except[0], &long.outputs[0]), (&"backend/**".into(), &"backend/**/*.md".into(), &"dist/".into()));
    assert_eq!(long.services, [name("redis"), name("db")]);
    assert_eq!((gates["words"].timeout, gates["words"].retries), (Duration::from_secs(600), 0));
}

#[test]
fn images_and_fly_targets_are_settled() {
    let manifest = good("images.yml");
    let long = &manifest.images["long"];
    assert_eq!((long.max_size, long.args["RUST_VERSION"].as_str()), (Some(1_610_612_736), "1.95"));
    assert_eq!(long.needs, [name("lint")]);
    assert_eq!(manifest.shipped_images(), [&name("short"), &name("long")]);
    let configs = ["a", "b", "c"].map(|target| match &manifest.targets[target].platform {
        TargetPlatform::Fly(fly) => fly.config.display().to_string(),
        other => panic!("{other:?}"),
    });
    assert_eq!(configs, ["fly.toml", "backend/fly.toml", "backend/ready.toml"]);
    assert!(manifest.targets["b"].needs.is_empty(), "an empty list is a word: no gate");
}

#[test]
fn vercel_targets_find_their_project_and_source() {
    let manifest = good("vercel.yml");
    let vercel = |target: &str| match &manifest.targets[target].platform {
        TargetPlatform::Vercel(VercelTarget { project, team, source, .. }) => (project.as_str(), team.as_deref(), source.clone()),
        other => panic!("{other:?}"),
    };
    let dir = |path: &str| VercelSource::Directory(path.into());
    assert_eq!(vercel("linked"), ("prj_web", Some("team_shop"), dir("web")));
    assert_eq!(vercel("by-repo"), ("prj_docs", Some("team_shop"), dir("backend")));
    assert_eq!(vercel("by-name"), ("docs", Some("team_shop"), dir("site/out")), "the repository's link knows the team");
    assert_eq!(vercel("plain"), ("shop", None, dir("web")));
    assert_eq!(vercel("git"), ("shop", Some("shopping"), VercelSource::Git { branch: None }));
    assert_eq!(vercel("branch"), ("shop", None, VercelSource::Git { branch: Some("release/next".into()) }));
    assert_eq!(vercel("hook"), ("shop", None, VercelSource::Hook { secret_name: "SHOP_HOOK_URL".into() }));
    assert_eq!(manifest.targets["plain"].url.as_deref(), Some("https://shop.example"));
    assert_eq!(manifest.environment_of_branch("production"), Some(&name("production")));
    assert_eq!(manifest.environment_of_branch("mai"), None);
}

#[test]
fn pages_targets_say_whether_cloudflare_builds_them() {
    let manifest = good("cloudflare.yml");
    let source = |target: &str| match &manifest.targets[target].platform {
        TargetPlatform::Pages(pages) => pages.source.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(source("pages"), PagesSource::Directory("web".into()));
    assert_eq!(source("built"), PagesSource::Git);
    assert_eq!(source("hooked"), PagesSource::Hook { secret_name: "HOOK_URL".into() });
}

#[test]
fn checks_are_settled() {
    let manifest = good("checks.yml");
    let checks = &manifest.targets["api"].verify;
    assert_eq!(checks[0].plain_get(), Some("/health"));
    assert_eq!((checks[0].passes, checks[0].of, checks[0].timeout), (Check::DEFAULT_PASSES, Check::DEFAULT_OF, Check::DEFAULT_TIMEOUT));
    assert!(checks[1].proves_revision() && checks[1].plain_get().is_none());
    assert_eq!((checks[1].passes, checks[1].of, checks[1].timeout), (1, 1, Duration::from_secs(20)));
    assert_eq!(checks[2].expect.equals, Some(Equals::Value(3.into())));
    assert_eq!(checks[3].expect.equals, Some(Equals::Value(true.into())));
    assert_eq!(checks[4].expect.equals, Some(Equals::Value("revision".into())), "the long form is the word itself");
    assert_eq!((checks[5].name.as_str(), checks[5].expect.status), ("sign-in", ExpectedStatus::Class(3)));
    assert!(checks[6].expect.status.allows(410) && !checks[6].expect.status.allows(404));
    assert!(checks[7].expect.status.allows(404) && !checks[7].expect.status.allows(500));
    let CheckRequest::Post { body, headers, signature, .. } = &checks[8].request else { panic!("{:?}", checks[8]) };
    assert_eq!(body, r#"{"type":"ping","n":1,"deep":["a","2"]}"#);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        signature.as_ref().map(|signature| (signature.secret_name.as_str(), signature.header.as_str())),
        Some(("STRIPE_SECRET", "Stripe-Signature"))
    );
    let CheckRequest::Post { body, headers, signature, .. } = &checks[9].request else { panic!("{:?}", checks[9]) };
    assert_eq!(
        (body.as_str(), headers["content-type"].as_str(), signature.as_ref().unwrap().header.as_str()),
        ("a=1", "text/plain", "X-Signature")
    );
    assert_eq!((checks[10].name.as_str(), checks[10].expect.status), ("WEBSOCKET /ws?v=1", ExpectedStatus::Exactly(101)));
    let TargetPlatform::Fly(fly) = &manifest.targets["api"].platform else { panic!() };
    assert_eq!((fly.app.as_deref(), fly.strategy), (Some("other"), Some(FlyStrategy::Bluegreen)));
}

#[test]
fn an_environment_merges_maps_and_replaces_lists() {
    let manifest = good("environments.yml");
    let staging = manifest.in_environment(&name("staging")).unwrap();
    let fly = |manifest: &Manifest| match &manifest.targets["api"].platform {
        TargetPlatform::Fly(fly) => (fly.config.display().to_string(), fly.app.clone(), fly.image.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(fly(&staging), ("fly.toml".into(), Some("api-staging".into()), Some(name("other"))));
    assert_eq!(staging.targets["api"].secrets, ["A"]);
    assert_eq!(staging.targets["api"].verify.len(), 1, "what is not overridden stays");
    assert!(staging.targets["web"].after.is_empty());
    assert!(matches!(&staging.targets["web"].platform, TargetPlatform::Vercel(vercel) if vercel.project == "shop-staging"));
    assert_eq!(staging.targets.keys().collect::<Vec<_>>(), [&name("api"), &name("web")], "only its own targets");
    assert_eq!(staging.shipped_images(), [&name("other")]);

    let production = manifest.in_environment(&name("production")).unwrap();
    assert_eq!(fly(&production), ("fly.toml".into(), None, Some(name("server"))), "one environment's overrides are not another's");
    assert_eq!(manifest.environments["production"].max_skew, Some(Duration::from_millis(500)));
    assert_eq!(manifest.environments["staging"].variables["DEPTH"], Variable::Text("2".into()));
    let preview = &manifest.environments["preview"];
    assert_eq!(preview.variables["API_URL"], Variable::UrlOf { target: name("api"), path: "/v1".into() });
    assert_eq!((manifest.preview_environment(), manifest.in_environment(&name("nowhere"))), (Some(&name("preview")), None));
}

#[test]
fn a_manifest_that_is_too_large_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cutover.yml");
    let code = |text: &str| {
        fs::write(&file, text).unwrap();
        manifest::load(folder.path()).unwrap_err().faults[0].code.to_string()
    };
    assert_eq!(code(&format!("version: 1\n# {}\n", "x".repeat(1 << 20))), "manifest::too-large");
    assert_eq!(code(&format!("version: 1\nproduct: p\ngates: [{}]\n", "a, ".repeat(30_000))), "manifest::too-large");
    fs::remove_file(&file).unwrap();
    let faults = manifest::load(folder.path()).unwrap_err();
    assert_eq!(faults.faults[0].code, manifest::Code::Unreadable);
    assert!(faults.faults[0].suggestion.as_ref().unwrap().contains("version: 1"));
    fs::write(file.with_extension("yaml"), "version: 1\n").unwrap();
    assert!(manifest::load(folder.path()).unwrap_err().faults[0].suggestion.as_ref().unwrap().starts_with("rename"));
}

#[test]
fn without_a_repository_only_the_text_is_judged() {
    let text =
        "version: 1\nproduct: p\nimages: { a: nowhere }\ntargets: { t: { fly: nowhere/fly.toml, image: a } }\nenvironments: { e: main }\n";
    assert!(manifest::parse(text, Path::new("base"), None).is_ok());
    assert_eq!(manifest::parse(text, Path::new("base"), Some(Path::new("/nowhere"))).unwrap_err().faults.len(), 2);
}

/// What is shown of a manifest, without colours, and what programs are told.
fn shown(text: &str) -> (String, serde_json::Value) {
    use std::io::Write;

    let (source, faults, warnings) = match manifest::parse(text, Path::new("cutover.yml"), None) {
        Ok(loaded) => (loaded.source, Vec::new(), loaded.warnings),
        Err(faults) => (faults.source, faults.faults, faults.warnings),
    };
    let mut out = anstream::StripStream::new(Vec::new());
    write!(out, "{}", manifest::diagnostics::text(&source, &faults, &warnings)).unwrap();
    (String::from_utf8(out.into_inner()).unwrap(), manifest::diagnostics::json(&source, &faults, &warnings))
}

const FAULTY: &str =
    "version: 1\nproduct: shop\ngates:\n  unit: make\n  e2e: { run: make, needs: [units], timout: 5m }\n  unit: make test\n";

#[test]
fn people_see_every_fault_with_its_line() {
    let (text, _) = shown(FAULTY);
    insta::assert_snapshot!(text, @r"
    error[manifest::unknown-gate]: there is no gate `units`
     --> cutover.yml:5:29
      |
    5 |   e2e: { run: make, needs: [units], timout: 5m }
      |                             ^^^^^
      |
      = help: did you mean `unit`?

    error[manifest::unknown-key]: a gate has no key `timout`
     --> cutover.yml:5:37
      |
    5 |   e2e: { run: make, needs: [units], timout: 5m }
      |                                     ^^^^^^
      |
      = help: did you mean `timeout`?

    error[manifest::duplicate-key]: `unit` is written twice
     --> cutover.yml:6:3
      |
    4 |   unit: make
      |   ---- first written here
    5 |   e2e: { run: make, needs: [units], timout: 5m }
    6 |   unit: make test
      |   ^^^^
      |
      = help: keep one of them
    ");
}

#[test]
fn programs_get_every_fault_as_json() {
    let (_, value) = shown(FAULTY);
    insta::assert_json_snapshot!(value, @r#"
    {
      "ok": false,
      "faults": [
        {
          "code": "manifest::unknown-gate",
          "message": "there is no gate `units`",
          "file": "cutover.yml",
          "line": 5,
          "column": 29,
          "suggestion": "did you mean `unit`?"
        },
        {
          "code": "manifest::unknown-key",
          "message": "a gate has no key `timout`",
          "file": "cutover.yml",
          "line": 5,
          "column": 37,
          "suggestion": "did you mean `timeout`?"
        },
        {
          "code": "manifest::duplicate-key",
          "message": "`unit` is written twice",
          "file": "cutover.yml",
          "line": 6,
          "column": 3,
          "suggestion": "keep one of them"
        }
      ],
      "warnings": []
    }
    "#);
}

#[test]
fn what_nothing_uses_is_a_warning() {
    let (text, value) = shown("version: 1\nproduct: shop\ngates: { unit: make }\nservices: { db: { image: x, port: 1, provides: DB } }\n");
    assert_eq!(value["ok"], true);
    insta::assert_snapshot!(text, @r"
    warning[manifest::unused]: the service `db` is used by no gate
     --> cutover.yml:4:13
      |
    4 | services: { db: { image: x, port: 1, provides: DB } }
      |             ^^
    ");
}

fn as_json(file: &Path) -> Option<serde_json::Value> {
    let options = serde_yaml::options! { strict_booleans: true };
    serde_yaml::from_str_with_options(&fs::read_to_string(file).ok()?, options).ok()
}

#[test]
fn the_committed_schema_is_the_printed_one() {
    let committed = include_str!("../src/manifest/schema.json");
    assert!(manifest::schema::text() == committed, "run `cutover schema > src/manifest/schema.json`");
}

#[test]
fn editors_judge_by_the_schema_as_cutover_does() {
    let validator = jsonschema::validator_for(&manifest::schema::schema()).unwrap();
    let mut files = fixtures("good");
    files.extend(
        ["autoswe", "flowhub"].map(|product| Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(product).join("cutover.yml")),
    );
    for file in files {
        let value = as_json(&file).unwrap_or_else(|| panic!("{} is YAML", file.display()));
        let faults: Vec<String> = validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", file.display());
    }
    // What only the whole, the files or the YAML itself show, no schema can say.
    let beyond = "after-outside alias bad-link branch-twice broken-glob check-passes cycle fly-toml-broken fly-toml-without-app \
         fly-without-image long-timeout merge-key missing-context missing-dockerfile missing-fly-toml override-cycle \
         override-outside override-platform preview-seed-unknown pull-request-twice self-cycle tag target-cycle unknown-after unknown-gate \
         unknown-image unknown-target url-of-outside variable-not-set variable-twice vercel-missing-dir vercel-not-built vercel-without-link \
         vercel-without-source";
    let beyond: BTreeSet<String> = beyond.split_whitespace().map(str::to_owned).collect();
    let passes = |file: &PathBuf| as_json(file).is_some_and(|value| validator.is_valid(&value));
    let passing: BTreeSet<String> =
        fixtures("bad").iter().filter(|file| passes(file)).map(|file| file.file_stem().unwrap().display().to_string()).collect();
    assert_eq!(passing, beyond);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 200, ..Default::default() })]

    /// Whatever is torn out of a good manifest, or put in, ends in a value or in faults inside of the text.
    #[test]
    fn no_text_makes_it_panic(from in 0usize..2000, length in 0usize..40, put in "[a-z0-9:{}\\[\\],&*!|>'\"# \n\t~-]{0,12}", which in 0usize..9) {
        let files = fixtures("good");
        let mut text = fs::read_to_string(&files[which % files.len()]).unwrap();
        let mut places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        places.push(text.len());
        let start = places[from % places.len()];
        let end = places[(from % places.len() + length).min(places.len() - 1)];
        text.replace_range(start..end, &put);
        if let Err(faults) = manifest::parse(&text, Path::new("x"), None) {
            proptest::prop_assert!(!faults.faults.is_empty());
            let shown = manifest::diagnostics::text(&faults.source, &faults.faults, &faults.warnings);
            proptest::prop_assert!(shown.contains("manifest::"));
            for fault in &faults.faults {
                proptest::prop_assert!(fault.span.start <= faults.source.text.len(), "{:?}", fault);
            }
        }
    }
}
