//! What stands in a release's way.

use cutover::event::Phase;
use cutover::platform::vercel::VercelSource;
use cutover::platform::{Problem, Target};
use secrecy::SecretString;

use super::{PROJECT, Wanted, hooked, wanted};

async fn problems(wanted: Wanted) -> Vec<Problem> {
    let scene = wanted.scene();
    let found = scene.target.preflight(&scene.scope(Phase::Preflight)).await.unwrap();
    assert_eq!(scene.world.ground().tape.counts()["vercel"].1, 0, "preflight changes nothing");
    found
}

fn brief(problems: &[Problem]) -> Vec<(bool, &'static str)> {
    problems.iter().map(|problem| (problem.fatal, problem.code)).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_found_on_a_plain_project() {
    assert_eq!(brief(&problems(wanted()).await), []);
}

#[tokio::test(start_paused = true)]
async fn a_git_integration_that_goes_live_by_itself_is_refused_with_the_setting_to_change() {
    let connected = || {
        let mut wanted = wanted();
        wanted.seed.repository = Some(("flowhub/front".into(), "main".into()));
        wanted
    };
    let found = problems(connected()).await;
    assert_eq!(brief(&found), [(true, "vercel::git-goes-live")]);
    assert!(found[0].text.contains("on every push to main of flowhub/front"), "{}", found[0].text);
    assert!(found[0].hint.as_ref().unwrap().contains("Auto-assign Custom Production Domains"));

    let mut off = connected();
    off.seed.auto_assign = false;
    assert_eq!(brief(&problems(off).await), []);
    let mut said = connected();
    said.settings.git_deployments_disabled = true;
    assert_eq!(brief(&problems(said).await), []);
    let mut built = connected();
    built.settings.source = VercelSource::Git { branch: None };
    assert_eq!(brief(&problems(built).await), [(false, "vercel::git-goes-live")], "there the integration is wanted");
}

#[tokio::test(start_paused = true)]
async fn rolling_releases_protection_domains_and_variables_are_told_in_one_pass() {
    let mut wanted = wanted();
    wanted.seed.rolling_release = Some(serde_json::json!({ "target": "production", "stages": [] }));
    wanted.seed.protection = Some("all".into());
    wanted.seed.unverified = vec!["shop.example.com".into()];
    wanted.settings.url = Some("https://shop.example.com".into());
    wanted.settings.variables = vec!["API_KEY".into()];
    let found = problems(wanted).await;
    assert_eq!(
        brief(&found),
        [
            (true, "vercel::rolling-release"),
            (false, "vercel::protected"),
            (true, "vercel::domain-not-verified"),
            (true, "vercel::variable-missing"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_hook_must_be_of_this_project_and_make_what_can_be_promoted() {
    let fatal = |found: &[Problem]| found.iter().filter(|problem| problem.fatal).map(|problem| problem.code).collect::<Vec<_>>();
    let with = |url: &str| {
        let mut wanted = hooked();
        wanted.settings.source = VercelSource::Hook { url: SecretString::from(url) };
        wanted
    };
    assert_eq!(fatal(&problems(with("not an address")).await), ["vercel::hook-invalid"]);
    let foreign = "https://api.vercel.com/v1/integrations/deploy/prj_other/secret";
    assert_eq!(fatal(&problems(with(foreign)).await), ["vercel::hook-of-another-project"]);

    let own = format!("https://api.vercel.com/v1/integrations/deploy/{PROJECT}/secret");
    let scene = with(&own).scene();
    scene.vercel.seed_hook("front", "another", "cutover", "main");
    let found = scene.target.preflight(&scene.scope(Phase::Preflight)).await.unwrap();
    assert_eq!(fatal(&found), ["vercel::hook-revoked"]);
    scene.vercel.seed_hook("front", "secret", "cutover", "develop");
    let found = scene.target.preflight(&scene.scope(Phase::Preflight)).await.unwrap();
    assert_eq!(fatal(&found), ["vercel::hook-makes-previews"]);

    let mut alone = with(&own);
    alone.seed.repository = None;
    assert_eq!(fatal(&problems(alone).await), ["vercel::not-connected"]);
}
