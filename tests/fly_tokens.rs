//! Fly tokens in every form in which people have them, and what a preflight says of what one cannot do.

use std::collections::BTreeMap;

use cutover::clock::Clock;
use cutover::embedded::fly::macaroon::{Caveat, discharge, macaroon};
use cutover::embedded::fly::{Fly, Scope as TokenScope, Switches};
use cutover::embedded::registry::Registry;
use cutover::embedded::world::World;
use cutover::event::{Events, Phase};
use cutover::http::Transport;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::mask::{Masker, Secret};
use cutover::platform::fly::macaroon::{Actions, said};
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
    let (target, scope) = target(token)?;
    target.preflight(&scope).await
}

/// An app as a target, asked with `token`.
fn target(token: &str) -> Result<(FlyTarget, Scope), PlatformError> {
    let clock = Clock::system();
    let world = World::in_process(clock, Chance::seeded(7));
    let registry = Registry::add_to(&world).unwrap();
    let fly = Fly::add_to(&world, &registry, Switches::default());
    fly.seed_token("fm2_deploy", &TokenScope::App("api".into()), "deployer");
    fly.seed_token("fm2_other", &TokenScope::App("shop".into()), "deployer of another app");
    fly.seed_token("fm2_acme", &TokenScope::Org("acme".into()), "organisation");
    fly.seed_token(&macaroon(&Caveat::reading(7)), &TokenScope::Reader("acme".into()), "reader");
    for caveats in good() {
        fly.seed_token(&macaroon(&caveats), &TokenScope::Org("acme".into()), "organisation");
    }
    fly.seed_app("api", "acme", &[]);
    fly.seed_app("shop", "elsewhere", &[]);
    let transport = Transport::new(std::sync::Arc::new(InProcess::new(world.clone())), clock, std::sync::Arc::new(Chance::seeded(3)));
    let mut settings = FlySettings::new(name("api"), "api", FlyConfig::parse(TOML).unwrap());
    settings.secret_values.insert("KEY".into(), "opens nothing".to_owned().into());
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
    Ok((target, scope))
}

/// Tokens that Fly takes for whole ones, whatever they say of themselves.
fn good() -> [Vec<Caveat>; 7] {
    let end = Clock::system().now().as_second();
    [
        vec![Caveat::Organization(7, 31), Caveat::App(9, 31), Caveat::Validity(0, end + 600 * 86_400)],
        vec![Caveat::Organization(7, 31), Caveat::Action(1)],
        vec![Caveat::Organization(7, 31), Caveat::Action(0b1_0011)],
        vec![Caveat::Organization(7, 31), Caveat::Mutations(vec!["addWireGuardPeer".into()])],
        vec![Caveat::Organization(7, 31), Caveat::Validity(0, end + 3_600)],
        vec![Caveat::Organization(7, 31), Caveat::Validity(0, end - 60)],
        vec![Caveat::Organization(7, 31), Caveat::Unknown(4_000)],
    ]
}

fn told(problems: &[Problem]) -> Vec<(bool, &'static str)> {
    problems.iter().map(|problem| (problem.fatal, problem.code)).filter(|(_, code)| code.starts_with("fly::token")).collect()
}

#[tokio::test]
async fn a_token_that_may_only_read_is_told_in_preflight_and_fly_would_refuse_it() {
    let token = macaroon(&Caveat::reading(7));
    let (target, scope) = target(&format!("FlyV1 {token},{}", discharge())).unwrap();
    let problems = target.preflight(&scope).await.unwrap();
    assert_eq!(told(&problems), [(true, "fly::token-cannot-write")]);
    let problem = problems.iter().find(|problem| problem.code == "fly::token-cannot-write").unwrap();
    assert_eq!(problem.text, "the token says of itself that it may read and not write, create, delete and control: it cannot release api.");
    assert_eq!(problem.hint.as_deref(), Some("fly tokens create deploy -a api, and set FLY_API_TOKEN to all that it prints"));
    let observed = target.observe(&scope).await.unwrap();
    assert_eq!(observed.facts["token"], "may read and not write, create, delete and control");
    let change = cutover::platform::SecretChange { name: "KEY".into(), digest: String::new(), was: None, compatible: true };
    let refused = target.set_secrets(&scope, &[change]).await.unwrap_err();
    assert!(matches!(refused.kind, cutover::platform::PlatformErrorKind::Forbidden(_)), "{refused}");
}

#[tokio::test]
async fn what_a_token_says_of_itself_is_told_before_anything_is_written() {
    let wanted: [&[(bool, &str)]; 7] = [
        &[],
        &[(true, "fly::token-cannot-write")],
        &[(false, "fly::token-limited")],
        &[(true, "fly::token-cannot-write")],
        &[(false, "fly::token-ends")],
        &[(true, "fly::token-over")],
        &[],
    ];
    for (caveats, wanted) in good().iter().zip(wanted) {
        let problems = preflight(&macaroon(caveats)).await.unwrap();
        assert_eq!(told(&problems), wanted, "{caveats:?}: {problems:?}");
    }
}

#[test]
fn several_tokens_are_as_good_as_the_best_of_them_for_each_action() {
    let reading = macaroon(&Caveat::reading(7));
    let whole = macaroon(&[Caveat::Organization(7, 31), Caveat::App(9, 31)]);
    let other = macaroon(&[Caveat::Organization(7, 31), Caveat::App(9, 0b1_1110), Caveat::Validity(0, 1_000)]);
    let of = |tokens: &[&str]| said(tokens.iter().copied());
    assert_eq!(of(&[&reading, &whole]).unwrap().actions, Actions::ALL);
    assert_eq!(of(&[&reading]).unwrap().actions.words(), "read");
    let both = of(&[&reading, &other]).unwrap();
    assert_eq!((both.actions, both.ends), (Actions::ALL, None), "one of them has no end");
    assert_eq!(of(&[&other]).unwrap().ends, Some(1_000));
    // Whoever only discharges gives nothing, and says nothing.
    assert_eq!(of(&[&discharge()]), None);
    assert_eq!(of(&[&discharge(), &reading]), of(&[&reading]));
}

#[test]
fn what_cannot_be_read_says_nothing_and_breaks_nothing() {
    let whole = macaroon(&Caveat::reading(7));
    for text in ["", "fm2_", "fm2_deploy", "fm2_!!!", "fm1r_kg==", "no_token", "fm2_3f////8="] {
        assert_eq!(said([text]), None, "{text}");
        assert_eq!(said([text, &whole]), None, "nobody knows what the other one may do: {text}");
    }
    // Every piece of a token that was cut off, and every byte of it changed.
    for length in 0..whole.len() {
        let _ = said([&whole[..length]]);
    }
    for (at, letter) in whole.char_indices().skip(4) {
        let other = if letter == 'A' { "B" } else { "A" };
        let _ = said([format!("{}{other}{}", &whole[..at], &whole[at + 1..]).as_str()]);
    }
    // Nested deeper than any caveat is: refused, not followed.
    let deep = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, [0x91; 4_000]);
    assert_eq!(said([format!("fm2_{deep}").as_str()]), None);
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
