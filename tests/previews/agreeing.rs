//! What base branch and head agree on: names and secrets are the base's, whatever a pull request writes.

use std::collections::BTreeMap;
use std::path::Path;

use cutover::manifest::{Manifest, TargetPlatform, parse};
use cutover::preview::{BaseManifest, Disagreement, agree};

use super::town::name;

const BASE: &str = r"
version: 1
product: shop
targets:
  api: { fly: api/fly.toml, secrets: [DATABASE_URL, SESSION_SECRET], verify: [/health] }
  web: { vercel: { project: front, team: team_acme }, dir: web, after: api }
environments:
  production: main
  staging: { branch: staging, overrides: { api: { fly: { app: shop-staging } } } }
  preview:
    pull_request: { organization: acme-previews, memory: 512MB }
    overrides: { api: { secrets: [SESSION_SECRET] } }
";

fn manifest(text: &str) -> Manifest {
    parse(text, Path::new("cutover.yml"), None).unwrap_or_else(|faults| panic!("{:?}", faults.faults)).manifest
}

fn base() -> BaseManifest {
    BaseManifest { manifest: manifest(BASE), apps: BTreeMap::from([("api/fly.toml".to_owned(), "shop".to_owned())]) }
}

#[test]
fn what_is_the_same_is_previewed_with_the_secrets_of_the_previews_alone() {
    let agreed = agree(&base(), &manifest(BASE)).unwrap();
    assert_eq!(agreed.environment, name("preview"));
    assert_eq!(agreed.production, ["shop", "shop-staging"]);
    let (target, api) = &agreed.targets[0];
    assert_eq!((target.as_str(), api.base_app.as_deref()), ("api", Some("shop")));
    assert_eq!(api.target.secrets, ["SESSION_SECRET"]);
    assert_eq!(agreed.pull_requests.memory_mb, Some(512));
    assert_eq!(BaseManifest::files(&base().manifest), ["api/fly.toml"]);
}

#[test]
fn a_head_cannot_name_other_things_other_secrets_or_another_organisation() {
    let head = BASE
        .replace("project: front, team: team_acme", "project: bank, team: team_bank")
        .replace("fly: api/fly.toml,", "fly: { config: api/fly.toml, app: bank },")
        .replace("secrets: [SESSION_SECRET]", "secrets: [SESSION_SECRET, FLY_API_TOKEN]")
        .replace("verify: [/health]", "verify: [{ post: /steal, sign: VERCEL_TOKEN }, /health]")
        .replace("acme-previews", "bank");
    let agreed = agree(&base(), &manifest(&head)).unwrap();
    let targets: BTreeMap<&str, _> = agreed.targets.iter().map(|(name, target)| (name.as_str(), target)).collect();
    let TargetPlatform::Vercel(web) = &targets["web"].target.platform else { panic!() };
    assert_eq!((web.project.as_str(), web.team.as_deref()), ("front", Some("team_acme")));
    let TargetPlatform::Fly(api) = &targets["api"].target.platform else { panic!() };
    assert_eq!((&api.app, targets["api"].base_app.as_deref()), (&None, Some("shop")));
    assert_eq!(targets["api"].target.secrets, ["SESSION_SECRET"]);
    let checks: Vec<&str> = targets["api"].target.verify.iter().map(|check| check.request.path()).collect();
    assert_eq!(checks, ["/health"], "a check that signs with another secret is left out");
    assert_eq!(agreed.pull_requests.organization.as_deref(), Some("acme-previews"));
}

#[test]
fn the_head_says_what_is_built_and_what_judges_it() {
    let head = BASE.replace("dir: web,", "dir: site,").replace("/health", "/ready").replace("api/fly.toml", "backend/fly.toml");
    let agreed = agree(&base(), &manifest(&head)).unwrap();
    let applied = agreed.applied(&manifest(&head)).in_environment(&name("preview")).unwrap();
    assert_eq!(applied.targets["web"].directory(), Some(Path::new("site")));
    assert_eq!(applied.targets["api"].verify[0].request.path(), "/ready");
    let TargetPlatform::Fly(api) = &applied.targets["api"].platform else { panic!() };
    assert_eq!(api.config, Path::new("backend/fly.toml"));
}

#[test]
fn a_target_that_only_the_head_has_or_has_elsewhere_is_previewed_later() {
    let head = BASE.replace("environments:\n", "  docs: { pages: site, dir: docs }\nenvironments:\n").replace(
        "web: { vercel: { project: front, team: team_acme }, dir: web, after: api }",
        "web: { pages: front, dir: web, after: api }",
    );
    let agreed = agree(&base(), &manifest(&head)).unwrap();
    assert_eq!(agreed.targets.len(), 1);
    assert_eq!(agreed.later, [name("web"), name("docs")]);
}

#[test]
fn previews_begin_after_the_merge_of_what_brings_them_and_end_with_what_takes_them_away() {
    let none = BASE.split("  preview:").next().unwrap();
    let without = BaseManifest { manifest: manifest(none), apps: BTreeMap::new() };
    assert_eq!(agree(&without, &manifest(BASE)), Err(Disagreement::NotYet));
    assert_eq!(agree(&base(), &manifest(none)), Err(Disagreement::NoLonger));
    let renamed = BASE.replace("product: shop", "product: bank");
    assert_eq!(agree(&base(), &manifest(&renamed)), Err(Disagreement::Renamed { base: name("shop"), head: name("bank") }));
}
