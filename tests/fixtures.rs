//! The fixtures: what their manifests promise, so that what is built on them stands on something.

use std::path::Path;

use cutover::id::Name;
use cutover::manifest::{Loaded, Manifest, TargetPlatform, diagnostics, load};

fn fixture(name: &str) -> Manifest {
    match load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)) {
        Ok(Loaded { manifest, source, warnings, .. }) => {
            assert!(warnings.is_empty(), "{}", diagnostics::text(&source, &[], &warnings));
            manifest
        }
        Err(faults) => panic!("{}", diagnostics::text(&faults.source, &faults.faults, &faults.warnings)),
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn autoswe_moves_its_two_halves_in_two_environments() {
    let manifest = fixture("autoswe");
    assert_eq!(manifest.environment_of_branch("main"), Some(&name("production")));
    assert_eq!(manifest.environment_of_branch("staging"), Some(&name("staging")));
    let staging = manifest.in_environment(&name("staging")).unwrap();
    let TargetPlatform::Fly(fly) = &staging.targets[&name("api")].platform else { panic!("api is on Fly") };
    assert_eq!(fly.app.as_deref(), Some("autoswe-staging"));
    let TargetPlatform::Vercel(vercel) = &staging.targets[&name("web")].platform else { panic!("web is on Vercel") };
    assert_eq!(vercel.project, "autoswe-staging");
    assert!(staging.targets[&name("api")].verify.iter().any(cutover::manifest::Check::proves_revision));
}

#[test]
fn flowhub_has_its_six_gates_three_front_ends_and_twelve_secrets() {
    let manifest = fixture("flowhub");
    let gates: Vec<&str> = manifest.gates.keys().map(Name::as_str).collect();
    assert_eq!(gates, ["install", "unit", "integration", "api", "e2e", "ui"]);
    let production = manifest.in_environment(&name("production")).unwrap();
    let targets: Vec<&str> = production.targets.keys().map(Name::as_str).collect();
    assert_eq!(targets, ["backend", "ui-v1", "ui-v2", "ui-v3"]);
    assert_eq!(production.targets[&name("backend")].secrets.len(), 12);
    assert_eq!(manifest.environment_of_branch("develop"), Some(&name("development")));
}

#[test]
fn alchemyos_ships_what_its_gates_have_linted_tested_and_built() {
    let manifest = fixture("alchemyos");
    let gates: Vec<&str> = manifest.gates.keys().map(Name::as_str).collect();
    assert_eq!(gates, ["install", "lint", "unit", "build"]);
    let needs: Vec<&str> = manifest.gates[&name("build")].needs.iter().map(Name::as_str).collect();
    assert_eq!(needs, ["lint", "unit"]);
    let TargetPlatform::Vercel(vercel) = &manifest.targets[&name("ui")].platform else { panic!("ui is on Vercel") };
    assert_eq!(vercel.project, "alchemyos");
    assert!(manifest.gates[&name("build")].outputs.iter().any(|output| output.starts_with("ui/.vercel/output")));
}

#[test]
fn tinybug_has_a_group_that_answers_and_one_that_works_and_a_migration_without_a_database_of_fly() {
    let manifest = fixture("tinybug");
    for branch in ["main", "production"] {
        assert_eq!(manifest.environment_of_branch(branch), Some(&name("production")), "{branch}");
    }
    let api = &manifest.targets[&name("api")];
    assert!(api.migration.is_none() && api.verify.iter().any(cutover::manifest::Check::proves_revision));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tinybug/backend/fly.toml");
    let config = cutover::platform::fly::toml::FlyConfig::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(config.groups(), ["app", "worker"]);
    assert_eq!(["app", "worker"].map(|group| config.services_of(group).len()), [1, 0]);
    assert_eq!(config.deploy.release_command.as_deref(), Some("python -m migrate upgrade head"));
}

#[test]
fn tinybug_has_an_application_for_every_tenant_and_a_site_of_markdown() {
    let manifest = fixture("tinybug");
    let targets: Vec<&str> = manifest.targets.keys().map(Name::as_str).collect();
    assert_eq!(targets, ["api", "app", "site"]);
    let app = &manifest.targets[&name("app")];
    assert!(matches!(&app.platform, TargetPlatform::Vercel(vercel) if vercel.project == "tinybug-app"));
    assert_eq!(app.after, [name("api")]);
    let asked: Vec<&str> = app.verify.iter().map(|check| check.request.path()).collect();
    assert_eq!(asked, ["/robinhood", "/coinbase/bugs/1", "/nobody", "/env.js"]);
    assert!(matches!(&manifest.targets[&name("site")].platform, TargetPlatform::Pages(pages) if pages.project == "tinybug"));
    assert_eq!(manifest.gates[&name("site")].needs, [name("site-test")]);
}

#[test]
fn dailyreps_has_one_small_machine_three_secrets_and_a_database_of_which_a_snapshot_is_taken() {
    let manifest = fixture("dailyreps");
    let api = &manifest.targets[&name("api")];
    assert_eq!(api.secrets, ["DATABASE_URL", "ALLOWED_ORIGINS", "APP_SIGNING_SECRET"]);
    let migration = api.migration.as_ref().unwrap();
    assert_eq!((migration.database.as_deref(), migration.breaking), (Some("dailyreps-db"), false));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dailyreps/fly.toml");
    let config = cutover::platform::fly::toml::FlyConfig::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(config.primary_region.as_deref(), Some("iad"));
    assert_eq!(config.deploy.release_command.as_deref(), Some("migrate"));
}
