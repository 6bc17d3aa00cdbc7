//! Fly tokens in every form in which people have them, and what a preflight says of what one cannot do.

use std::collections::BTreeMap;

use cutover::clock::Clock;
use cutover::embedded::fly::{Fly, Scope as TokenScope, Switches};
use cutover::embedded::registry::Registry;
use cutover::embedded::world::World;
use cutover::event::{Events, Phase};
use cutover::http::Transport;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::mask::{Masker, Secret};
use cutover::platform::fly::toml::FlyConfig;
use cutover::platform::fly::{FlyEndpoints, FlySettings, FlyTarget};
use cutover::platform::{PlatformError, Problem, Scope, Target};
use cutover::settings::Settings;
use cutover::shutdown::Shutdown;
use secrecy::ExposeSecret;

use crate::support::wire::InProcess;

const TOML: &str = "app = 'api'\nprimary_region = 'iad'\n[http_service]\ninternal_port = 8080\n[[http_service.checks]]\npath = '/'\n";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

async fn preflight(token: &str) -> Result<Vec<Problem>, PlatformError> {
    let clock = Clock::system();
    let world = World::in_process(clock, Chance::seeded(7));
    let registry = Registry::add_to(&world).unwrap();
    let fly = Fly::add_to(&world, &registry, Switches::default());
    fly.seed_token("fm2_deploy", &TokenScope::App("api".into()), "deployer");
    fly.seed_token("fm2_other", &TokenScope::App("shop".into()), "deployer of another app");
    fly.seed_token("fm2_acme", &TokenScope::Org("acme".into()), "organisation");
    fly.seed_app("api", "acme", &[]);
    fly.seed_app("shop", "elsewhere", &[]);
    let transport = Transport::new(std::sync::Arc::new(InProcess::new(world.clone())), clock, std::sync::Arc::new(Chance::seeded(3)));
    let settings = FlySettings::new(name("api"), "api", FlyConfig::parse(TOML).unwrap());
    let endpoints = FlyEndpoints::from_lookup(|_| None).unwrap();
    let target = FlyTarget::new(settings, endpoints, &token.to_owned().into(), transport)?;
    let scope = Scope {
        product: name("shop"),
        environment: name("production"),
        release: ReleaseId::from_text("r-1"),
        commit: "c0ffee".into(),
        phase: Phase::Preflight,
        events: Events::channel(clock).0,
        shutdown: Shutdown::default(),
        changes: cutover::platform::Changes::default(),
        turn: cutover::platform::Turn::default(),
        expected: None,
    };
    target.preflight(&scope).await
}

#[tokio::test]
async fn every_form_is_accepted() {
    let forms = [
        "fm2_deploy",
        "FlyV1 fm2_deploy",
        "  flyv1 FlyV1 fm2_deploy\n",
        "Bearer fm2_deploy",
        "\"FlyV1 fm2_deploy\"",
        "FlyV1 fm2_deploy,fm2_dischargeOfAThirdParty",
        "fm2_deploy, fm1a_another , userToken",
        "fm2_acme",
    ];
    for form in forms {
        let problems = preflight(form).await.unwrap_or_else(|error| panic!("{form}: {error}"));
        assert!(problems.iter().all(|problem| !problem.fatal), "{form}: {problems:?}");
    }
    for nothing in ["", "  ", "FlyV1 ", ",,", "\"\""] {
        assert!(preflight(nothing).await.is_err(), "{nothing:?}");
    }
}

#[tokio::test]
async fn a_token_of_another_app_is_told_with_call_and_request_and_what_to_type() {
    let error = preflight("FlyV1 fm2_other").await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("fly: get_app failed for app api: the token may not do this") && error.request_id.is_some(), "{text}");
    let wanted = "app api exists where this token cannot see it; the token is for app shop: fly tokens create deploy -a api";
    assert!(error.hints.iter().any(|hint| hint == wanted), "{:?}", error.hints);
}

#[tokio::test]
async fn a_token_that_is_over_is_told_like_a_wrong_one() {
    let error = preflight("FlyV1 fm2_over").await.unwrap_err();
    assert!(error.to_string().starts_with("fly: current_token failed for the token: the token is not accepted"), "{error}");
    assert!(
        error.hints.iter().any(|hint| hint.contains("an expired token") && hint.contains("fly tokens create deploy -a api")),
        "{:?}",
        error.hints
    );
}

#[test]
fn each_piece_is_masked_in_whatever_form_it_came() {
    let text = "\"FlyV1 fm2_onePiece0123,fm2_discharge0123, shortuser\"";
    let settings = Settings::from_environment(BTreeMap::from([("FLY_API_TOKEN".to_owned(), text.to_owned())])).unwrap();
    let masker = Masker::new();
    for secret in settings.credentials() {
        let _ = masker.learn(&Secret::new(secret.expose_secret()));
    }
    for piece in ["fm2_onePiece0123", "fm2_discharge0123", "shortuser", "fm2_onePiece0123,fm2_discharge0123"] {
        let shown = masker.text(&format!("sent {piece} away")).into_owned();
        assert!(!shown.contains(piece) && shown.contains("***"), "{shown}");
    }
}
