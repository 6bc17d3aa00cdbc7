//! Hostnames whose DNS is Cloudflare's, against embedded platforms called in process: verified, set right where that is allowed, and their cache purged
//! after every change of what serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover::clock::Clock;
use cutover::embedded::World;
use cutover::embedded::cloudflare::{Cloudflare, ProjectSeed, Purge, Tree, rate_limited};
use cutover::embedded::fault::{Answer, Effect, Rule, Times};
use cutover::event::{Event, EventKind, Events, Phase, Serving};
use cutover::http::Transport;
use cutover::id::{Chance, ReleaseId};
use cutover::platform::cloudflare::CloudflareEndpoints;
use cutover::platform::cloudflare::dns::{Hostnames, TargetHostnames};
use cutover::platform::cloudflare::pages::{PagesSettings, PagesTarget};
use cutover::platform::{AnyTarget, PlatformErrorKind, Scope};
use cutover::release::journal::Entry;
use cutover::shutdown::Shutdown;
use secrecy::SecretString;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::bench::{Bench, Runner, name};
use crate::support::openapi::Document;
use crate::support::wire::InProcess;

const ACCOUNT: &str = "00112233445566778899aabbccddeeff";
const TOKEN: &str = "secretOfTheTest";
const HOST: &str = "www.example.com";

/// A world with one Pages project, `site`, the zone `example.com`, and the target that releases to the project.
struct Scene {
    world: World,
    cloudflare: Cloudflare,
    transport: Transport,
    target: AnyTarget,
    events: Events,
    told: UnboundedReceiver<Event>,
}

fn endpoints() -> CloudflareEndpoints {
    CloudflareEndpoints::from_lookup(|_| None).unwrap()
}

fn scene_of(domains: &[&str]) -> Scene {
    let clock = Clock::starting_at("2026-01-02T03:04:05Z".parse().unwrap());
    let world = World::in_process(clock, Chance::seeded(7));
    world.ground().traffic.lags(&[std::time::Duration::ZERO]);
    let cloudflare = Cloudflare::new(world.ground());
    cloudflare.add_to(&world);
    cloudflare.seed_token(TOKEN, &[ACCOUNT]);
    let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
    cloudflare.seed_project(ProjectSeed { domains, ..ProjectSeed::new(ACCOUNT, "site") });
    cloudflare.seed_earlier_deployment("site", &Tree::from([("index.html".to_owned(), b"old".to_vec())])).unwrap();
    cloudflare.seed_zone(ACCOUNT, "example.com");
    let transport = Transport::new(Arc::new(InProcess::new(world.clone())), clock, Arc::new(Chance::seeded(11)));
    let settings = PagesSettings::new(name("web"), "site", ACCOUNT);
    let target = PagesTarget::new(settings, endpoints(), SecretString::from(TOKEN), transport.clone());
    let (events, told) = Events::channel(clock);
    Scene { world, cloudflare, transport, target: AnyTarget::Pages(Box::new(target)), events, told }
}

/// The hostname is attached, and its record leads to the project.
fn scene() -> Scene {
    let scene = scene_of(&[HOST]);
    scene.cloudflare.point(HOST, "CNAME", "site.pages.dev", true);
    scene
}

impl Scene {
    fn scope(&self, phase: Phase) -> Scope {
        Scope {
            product: name("tinybug"),
            environment: name("production"),
            release: ReleaseId::from_text("r-20260102-030405-aaaaaa"),
            commit: "1".repeat(40),
            phase,
            events: self.events.clone(),
            shutdown: Shutdown::default(),
            changes: cutover::platform::Changes::default(),
            turn: cutover::platform::Turn::default(),
            expected: None,
        }
    }

    fn hostnames(&self, manage: bool) -> Hostnames {
        named(&self.transport, "web", &[HOST], manage)
    }

    /// Codes of what is wrong, fatal ones with an exclamation mark, and all that is told of it.
    async fn problems(&self, hostnames: &Hostnames) -> (Vec<String>, String) {
        let problems = hostnames.problems(&self.scope(Phase::Preflight), &self.target).await.unwrap();
        let code = |fatal: bool, code: &str| if fatal { format!("{code}!") } else { code.to_owned() };
        let codes = problems.iter().map(|one| code(one.fatal, one.code)).collect();
        (codes, problems.iter().map(|one| format!("{} {}\n", one.text, one.hint.as_deref().unwrap_or_default())).collect())
    }

    fn strike(&self, boundary: &str, effect: Effect, answer: Answer) {
        self.world.ground().faults.set(Rule::at(boundary, effect, answer).unwrap());
    }

    fn count(&self, operation: &str) -> usize {
        self.world.ground().tape.entries().iter().filter(|entry| entry.operation == operation).count()
    }

    fn notices(&mut self) -> Vec<(&'static str, String)> {
        let mut notices = Vec::new();
        while let Ok(event) = self.told.try_recv() {
            if let EventKind::Notice { code, text, .. } = event.kind {
                notices.push((code, text));
            }
        }
        notices
    }

    /// Sets the hostname right, and waits until it is active as a release does.
    async fn set_right(&self, hostnames: &Hostnames) {
        hostnames.set_right(&self.scope(Phase::Verify), &self.target).await.unwrap();
        while hostnames.under_way(&self.target).await.unwrap().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    async fn page(&self, host: &str) -> (u16, String) {
        let request = http::Request::builder().uri(format!("https://{host}/")).header("host", host);
        let answer = cutover::embedded::in_process::call(&self.world, request.body(bytes::Bytes::new()).unwrap()).await.unwrap();
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    }
}

fn named(transport: &Transport, target: &str, hosts: &[&str], manage: bool) -> Hostnames {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let of = BTreeMap::from([(name(target), TargetHostnames { hosts, manage, purge: true })]);
    Hostnames::new(endpoints(), SecretString::from(TOKEN), transport.clone()).with(of)
}

fn hosts(hosts: &[&str]) -> Purge {
    Purge { zone: "example.com".to_owned(), way: "hosts", items: hosts.iter().map(|host| (*host).to_owned()).collect() }
}

#[tokio::test(start_paused = true)]
async fn a_hostname_that_leads_to_its_target_has_no_problem_and_nothing_is_written() {
    let scene = scene();
    assert_eq!(scene.problems(&scene.hostnames(false)).await, (Vec::new(), String::new()));
    assert!(scene.world.ground().tape.entries().iter().all(|entry| !entry.write));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_record_is_told_with_what_is_there_and_what_must_be_there() {
    let cases: [(&str, &str, bool, &[&str]); 5] = [
        ("CNAME", "old.example.net", true, &["dns::not-active", "dns::elsewhere!"]),
        ("A", "192.0.2.7", true, &["dns::not-active", "dns::in-the-way!"]),
        ("AAAA", "2001:db8::7", false, &["dns::not-active", "dns::in-the-way!"]),
        ("CNAME", "site.pages.dev", false, &["dns::proxied"]),
        ("CNAME", "site.pages.dev.", true, &[]),
    ];
    for (kind, content, proxied, codes) in cases {
        let scene = scene_of(&[HOST]);
        scene.cloudflare.point(HOST, kind, content, proxied);
        let (found, told) = scene.problems(&scene.hostnames(false)).await;
        assert_eq!(found, codes, "{kind} {content}: {told}");
        if !codes.is_empty() {
            assert!(told.contains("must be `CNAME site.pages.dev, proxied`"), "{told}");
            assert!(told.contains(&format!("{kind} {content}")), "{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_missing_a_hostname_that_nobody_answers_for_and_a_zone_that_nobody_sees_are_told() {
    let scene = scene_of(&[HOST]);
    let (codes, told) = scene.problems(&scene.hostnames(false)).await;
    assert_eq!(codes, ["dns::missing!"]);
    assert!(
        told.contains("www.example.com has no record; it must be `CNAME site.pages.dev, proxied`") && told.contains("manage: true"),
        "{told}"
    );
    let stranger = scene_of(&[]);
    stranger.cloudflare.point(HOST, "CNAME", "site.pages.dev", true);
    let (codes, told) = stranger.problems(&stranger.hostnames(false)).await;
    assert_eq!(codes, ["dns::not-attached!"], "{told}");
    let (codes, told) = stranger.problems(&named(&stranger.transport, "web", &["www.example.org"], false)).await;
    assert_eq!(codes, ["dns::unseen!"]);
    assert!(told.contains("no zone of www.example.org is visible to the token") && told.contains("Zone › Zone › Read"), "{told}");
    let nobody = Hostnames::default();
    let of = TargetHostnames { hosts: vec![HOST.to_owned()], ..TargetHostnames::default() };
    let (codes, told) = stranger.problems(&nobody.with(BTreeMap::from([(name("web"), of)]))).await;
    assert_eq!(codes, ["dns::unseen!"]);
    assert!(told.contains("CLOUDFLARE_API_TOKEN is not set"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn what_may_be_managed_is_no_problem_and_what_may_not_is_one_all_the_same() {
    let scene = scene_of(&[]);
    let managed = scene.hostnames(true);
    assert_eq!(scene.problems(&managed).await.0, [""; 0]);
    scene.cloudflare.point(HOST, "CNAME", "old.example.net", true);
    assert_eq!(scene.problems(&managed).await.0, [""; 0]);
    scene.cloudflare.point(HOST, "A", "192.0.2.7", true);
    assert_eq!(scene.problems(&managed).await.0, ["dns::in-the-way!"]);
}

#[tokio::test(start_paused = true)]
async fn a_managed_hostname_is_attached_then_gets_its_record_and_answers() {
    let scene = scene_of(&[]);
    let managed = scene.hostnames(true);
    scene.set_right(&managed).await;
    assert_eq!(scene.cloudflare.domain(HOST).as_deref(), Some("active"));
    let [record] = &scene.cloudflare.records(HOST)[..] else { panic!("one record") };
    assert_eq!((record.kind.as_str(), record.content.as_str(), record.proxied), ("CNAME", "site.pages.dev", true));
    assert_eq!(record.comment.as_deref(), Some("managed by cutover"));
    assert_eq!(scene.page(HOST).await, (200, "old".to_owned()));
    let writes: Vec<String> =
        scene.world.ground().tape.entries().into_iter().filter(|entry| entry.write).map(|entry| entry.operation).collect();
    assert_eq!(writes, ["add_domain", "create_record"]);
    scene.set_right(&managed).await;
    assert_eq!((scene.count("add_domain"), scene.count("create_record")), (1, 1), "called again it finds its own work");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_any_write_is_adopted_and_nothing_is_doubled() {
    for operation in ["add_domain[site]", "create_record[www.example.com]", "update_record[www.example.com]"] {
        for effect in [Effect::Once, Effect::None] {
            let scene = scene_of(&[]);
            if operation.starts_with("update") {
                scene.cloudflare.point(HOST, "CNAME", "old.example.net", false);
            }
            scene.strike(&format!("cloudflare.{operation}"), effect, Answer::Lost);
            scene.set_right(&scene.hostnames(true)).await;
            let records = scene.cloudflare.records(HOST);
            let seen: Vec<_> = records.iter().map(|one| (one.kind.as_str(), one.content.as_str(), one.proxied)).collect();
            assert_eq!(seen, [("CNAME", "site.pages.dev", true)], "{operation} {effect:?}");
            assert_eq!(scene.cloudflare.domain(HOST).as_deref(), Some("active"), "{operation} {effect:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_elsewhere_is_changed_and_what_it_was_is_told_twice() {
    let mut scene = scene_of(&[HOST]);
    scene.cloudflare.point(HOST, "CNAME", "old.example.net", false);
    let managed = scene.hostnames(true);
    let facts = managed.as_they_are(&scene.target).await.unwrap();
    let was = &facts["dns www.example.com"];
    assert!(was.starts_with("CNAME old.example.net, not proxied, ttl 1 (record "), "{was}");
    scene.set_right(&managed).await;
    assert_eq!(scene.cloudflare.records(HOST).len(), 1);
    let notices = scene.notices();
    assert!(notices.iter().any(|(code, text)| *code == "dns::changed" && text.contains(was)), "{notices:?}");
}

#[tokio::test(start_paused = true)]
async fn an_address_in_the_way_is_never_removed() {
    let scene = scene_of(&[HOST]);
    scene.cloudflare.point(HOST, "A", "192.0.2.7", true);
    let error = scene.hostnames(true).set_right(&scene.scope(Phase::Verify), &scene.target).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Refused(_)), "{error}");
    assert_eq!(scene.cloudflare.records(HOST)[0].content, "192.0.2.7");
    assert!(scene.world.ground().tape.entries().iter().all(|entry| !entry.write));
}

#[tokio::test(start_paused = true)]
async fn a_purge_names_the_hostnames_alone_and_waits_when_it_is_told_to() {
    let mut scene = scene();
    let hostnames = scene.hostnames(false);
    let both = [HOST.to_owned(), "example.com".to_owned(), HOST.to_owned()];
    scene.strike("cloudflare.purge_cache", Effect::None, rate_limited(7));
    let began = tokio::time::Instant::now();
    hostnames.purge(&scene.scope(Phase::CutOver), &both).await;
    assert_eq!(began.elapsed().as_secs(), 7);
    assert_eq!(scene.cloudflare.purges(), [hosts(&[HOST, "example.com"])]);
    assert_eq!(scene.notices(), []);
    // The allowance of the smallest plan is used up, and comes again.
    scene.cloudflare.switch(|switches| switches.purges = 1);
    for _ in 0..3 {
        hostnames.purge(&scene.scope(Phase::CutOver), &[HOST.to_owned()]).await;
    }
    assert_eq!(scene.cloudflare.purges().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_fails_is_told_with_the_command_to_type() {
    let mut scene = scene();
    let rule = Rule::at("cloudflare.purge_cache", Effect::None, Rule::status(403, None)).unwrap().times(Times::Forever);
    scene.world.ground().faults.set(rule);
    scene.hostnames(false).purge(&scene.scope(Phase::RollBack), &[HOST.to_owned()]).await;
    let rule = Rule::at("cloudflare.purge_cache", Effect::None, rate_limited(600)).unwrap().times(Times::Forever);
    scene.world.ground().faults.clear();
    scene.world.ground().faults.set(rule);
    scene.hostnames(false).purge(&scene.scope(Phase::RollBack), &[HOST.to_owned()]).await;
    let notices = scene.notices();
    assert_eq!(notices.len(), 2, "{notices:?}");
    for (code, text) in notices {
        assert_eq!(code, "dns::not-purged");
        assert!(text.contains("/purge_cache -H") && text.contains(r#"--json '{"hosts":["www.example.com"]}'"#), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hostname_of_fly_or_vercel_leads_past_the_proxy_to_what_the_platform_says() {
    let bench = Bench::new().await;
    let cloudflare = Cloudflare::new(bench.world.ground());
    cloudflare.add_to(&bench.world);
    cloudflare.seed_token(TOKEN, &[ACCOUNT]);
    cloudflare.seed_zone(ACCOUNT, "example.com");
    let runner = Runner::new(&bench, "r-dns", bench.wire());
    let targets = runner.targets(&bench);
    let scope = runner.context.scope(Phase::Preflight, &Shutdown::default());
    for (at, host, records) in [
        (
            0,
            "api.example.com",
            [
                ("CNAME", "api.fly.dev", false, ""),
                ("CNAME", "api.fly.dev", true, "dns::proxied"),
                ("CNAME", "web.fly.dev", false, "dns::elsewhere"),
            ],
        ),
        (
            1,
            "www.example.com",
            [("CNAME", "cname.vercel-dns.com", false, ""), ("A", "76.76.21.21", false, ""), ("A", "192.0.2.1", false, "dns::in-the-way")],
        ),
    ] {
        let target = &targets[at];
        let hostnames = named(&runner.context.transport, cutover::platform::Target::name(target).as_str(), &[host], false);
        for (kind, content, proxied, code) in records {
            cloudflare.point(host, kind, content, proxied);
            let problems = hostnames.problems(&scope, target).await.unwrap();
            let codes: Vec<_> = problems.iter().map(|one| one.code).filter(|code| *code != "dns::not-attached").collect();
            assert_eq!(codes.first().copied().unwrap_or_default(), code, "{host} {kind} {content}: {problems:?}");
        }
    }
}

/// A bench of which the documentation has a hostname in a zone of Cloudflare's.
async fn bench_with_a_hostname(manage: bool) -> (Bench, Cloudflare, Runner) {
    let bench = Bench::new().await;
    let cloudflare = Cloudflare::new(bench.world.ground());
    cloudflare.add_to(&bench.world);
    cloudflare.seed_token(TOKEN, &[ACCOUNT]);
    cloudflare.seed_zone(ACCOUNT, "example.com");
    let mut runner = Runner::new(&bench, "r-dns", bench.wire());
    runner.context.hostnames = named(&runner.context.transport, "docs", &["docs.example.com"], manage);
    (bench, cloudflare, runner)
}

#[tokio::test(start_paused = true)]
async fn a_release_purges_what_has_moved_and_a_release_that_goes_back_purges_again() {
    let (bench, cloudflare, runner) = bench_with_a_hostname(false).await;
    let ending = bench.run(&runner).await;
    assert_eq!(ending.serving, Serving::After, "{ending:?}");
    // Before the proof, and once everything has moved.
    assert_eq!(cloudflare.purges(), [hosts(&["docs.example.com"]), hosts(&["docs.example.com"])]);

    let (bench, cloudflare, runner) = bench_with_a_hostname(false).await;
    bench.vercel.next("front", cutover::embedded::vercel::Fate::FAILS_IN_PRODUCTION);
    let ending = bench.run(&runner).await;
    assert_eq!(ending.serving, Serving::Before, "{ending:?}");
    assert_eq!(cloudflare.purges().last(), Some(&hosts(&["docs.example.com"])));
    let tape = bench.world.ground().tape.entries();
    let last = |operation: &str| tape.iter().rposition(|entry| entry.operation == operation).unwrap();
    assert!(last("purge_cache") > last("roll_back"), "what users get again is what must not come from a cache");
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_must_wait_keeps_neither_the_way_back_nor_the_commit_waiting() {
    for fails in [false, true] {
        let (bench, _, runner) = bench_with_a_hostname(false).await;
        let rule = Rule::at("cloudflare.purge_cache", Effect::None, rate_limited(30)).unwrap().times(Times::Forever);
        bench.world.ground().faults.set(rule);
        if fails {
            bench.vercel.next("front", cutover::embedded::vercel::Fate::FAILS_IN_PRODUCTION);
        }
        let began = bench.clock.elapsed();
        let closes = async {
            let last = if fails { "rolling_back" } else { "committed" };
            until(|| !bench.records().is_empty() && bench.records().contains(&last)).await;
            bench.clock.elapsed().saturating_sub(began)
        };
        let (ending, took) = tokio::join!(bench.run(&runner), closes);
        assert_eq!(ending.serving, if fails { Serving::Before } else { Serving::After }, "{ending:?}");
        assert!(took.as_secs() < 25, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_recovers_a_release_purges_by_the_journals_word() {
    let (bench, cloudflare, runner) = bench_with_a_hostname(false).await;
    // The runner ends as soon as it has begun to cut over, without a word.
    let mut journal = bench.journal();
    let plan = cutover::release::Plan::make(&runner.context, runner.moves(&bench)).await.unwrap();
    let release = cutover::release::Release::new(runner.context.clone(), &mut journal, plan).run();
    tokio::select! {
        _ = release => panic!("it was to be interrupted"),
        () = until(|| !bench.records().is_empty() && bench.records().last() == Some(&"cutting") && !cloudflare.purges().is_empty()) => {}
    }
    drop(journal);
    let before = cloudflare.purges().len();
    let other = Runner::new(&bench, "r-recovery", bench.wire());
    let mut context = other.context.clone();
    context.hostnames = Hostnames::new(endpoints(), SecretString::from(TOKEN), context.transport.clone());
    let targets = other.targets(&bench);
    let by_name = targets.iter().map(|target| (cutover::platform::Target::name(target).clone(), target)).collect();
    let mut journal = bench.journal();
    let turn =
        cutover::release::lock::turn(&context, &mut journal, &cutover::release::lock::Nobody, cutover::release::lock::Patience::NONE);
    let cutover::release::lock::Turn::Abandoned(abandoned) = turn.await.unwrap() else { panic!("the release is open") };
    cutover::release::recover(&context, &mut journal, &by_name, &abandoned).await.unwrap();
    assert!(cloudflare.purges().len() > before, "what was taken back is purged");
}

/// Waits until something can be seen.
async fn until(seen: impl Fn() -> bool) {
    while !seen() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_leads_its_managed_hostnames_before_it_cuts_over_and_the_journal_has_what_was_there() {
    let (bench, cloudflare, runner) = bench_with_a_hostname(true).await;
    cloudflare.point("docs.example.com", "CNAME", "old.example.net", true);
    let ending = bench.run(&runner).await;
    // The project does not know the hostname, and nobody but a person attaches one there.
    assert_eq!(ending.serving, Serving::Before, "{ending:?}");
    let failure = ending.failure.unwrap();
    assert!(
        failure.text.contains("docs does not know docs.example.com") && failure.hints[0].starts_with("vercel domains add"),
        "{failure:?}"
    );
    let records = cutover::release::store::file::FileStore::read(&bench.path()).unwrap();
    let Entry::Begun(begun) = &records[0].entry else { panic!("begun") };
    let docs = begun.targets.iter().find(|record| record.name == name("docs")).unwrap();
    assert!(docs.before.facts["dns docs.example.com"].starts_with("CNAME old.example.net, proxied"), "{:?}", docs.before.facts);
    assert_eq!(docs.reach.purged, ["docs.example.com"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_records_and_caches_is_in_the_vendors_words() {
    let scene = scene_of(&[]);
    scene.cloudflare.point(HOST, "CNAME", "old.example.net", false);
    let managed = scene.hostnames(true);
    scene.set_right(&managed).await;
    scene.cloudflare.unpoint(HOST);
    scene.set_right(&managed).await;
    managed.purge(&scene.scope(Phase::CutOver), &[HOST.to_owned()]).await;
    let Some(document) = Document::find("cloudflare-pages-openapi.json", "/client/v4") else { return };
    let mut faults = Vec::new();
    for entry in scene.world.ground().tape.entries() {
        // The document has no list of zones.
        if entry.platform == "cloudflare" && entry.operation != "find_zone" {
            let status = entry.status.unwrap();
            faults.extend(document.judge(&entry.method, &entry.path, entry.request.json(), status, entry.response.json()));
        }
    }
    faults.sort();
    faults.dedup();
    // Of a project of uploads no connected repository is known (cloudflare.md 4: empty or absent).
    faults.retain(|fault| !fault.ends_with("_deployment.source: is required"));
    assert_eq!(faults, [""; 0]);
}
