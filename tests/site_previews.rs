//! Previews of pull requests on Vercel, Cloudflare Pages and Cloudflare Workers, against the embedded platforms called in process: shown, updated in
//! place, found again by their marks, removed, and nothing of anybody else's touched.

mod faults;
mod messages;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover::clock::Clock;
use cutover::embedded::cloudflare::{self, Cloudflare, WorkerSeed};
use cutover::embedded::fault::{Answer, Effect, Rule};
use cutover::embedded::tape::Hand;
use cutover::embedded::vercel::{self, Vercel};
use cutover::embedded::{World, in_process};
use cutover::event::{Event, EventKind, Events, Phase};
use cutover::http::Transport;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::platform::cloudflare::CloudflareEndpoints;
use cutover::platform::cloudflare::pages::preview::{PagesGround, PagesPreview, PagesPreviewSettings};
use cutover::platform::cloudflare::pages::{PagesSettings, PagesSource};
use cutover::platform::cloudflare::workers::WorkerSettings;
use cutover::platform::cloudflare::workers::preview::{WorkerPreview, WorkerPreviewSettings, WorkersGround};
use cutover::platform::vercel::preview::{VercelGround, VercelPreview, VercelPreviewSettings};
use cutover::platform::vercel::{VercelEndpoints, VercelSettings, VercelSource};
use cutover::platform::{Artifact, Leftover, PlatformError, Preview, PreviewGround, PreviewOf, PreviewScope, PreviewsOf, Problem, Shown};
use cutover::shutdown::Shutdown;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::wire::InProcess;

const TEAM: &str = "team_shop";
const ACCOUNT: &str = "00112233445566778899aabbccddeeff";
const TOKEN: &str = "secretOfTheTest";
const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

/// Where a preview is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Vercel,
    Pages,
    Worker,
}

const KINDS: [Kind; 3] = [Kind::Vercel, Kind::Pages, Kind::Worker];

impl Kind {
    fn platform(self) -> &'static str {
        if self == Self::Vercel { "vercel" } else { "cloudflare" }
    }

    /// The host of the preview of `shop`'s target `web` for a pull request.
    fn host(self, pull_request: u64) -> String {
        match self {
            Self::Vercel => format!("shop-web-pr-{pull_request}.vercel.app"),
            Self::Pages => format!("pr-{pull_request}.site.pages.dev"),
            Self::Worker => format!("help-pr-{pull_request}.embedded.workers.dev"),
        }
    }
}

/// A preview on any of the platforms.
#[expect(clippy::large_enum_variant, reason = "a test has a few of them")]
enum Site {
    Vercel(VercelPreview),
    Pages(PagesPreview),
    Worker(WorkerPreview),
}

macro_rules! each {
    ($self:expr, $own:ident => $call:expr) => {
        match $self {
            Self::Vercel($own) => $call,
            Self::Pages($own) => $call,
            Self::Worker($own) => $call,
        }
    };
}

impl Site {
    fn address(&self) -> String {
        each!(self, own => own.address())
    }

    fn opening(&self) -> Vec<(String, String)> {
        each!(self, own => own.opening())
    }

    async fn preflight(&self, scope: &PreviewScope) -> Result<Vec<Problem>, PlatformError> {
        each!(self, own => own.preflight(scope).await)
    }

    async fn shown(&self, scope: &PreviewScope) -> Option<Shown> {
        each!(self, own => own.shown(scope).await).unwrap()
    }

    async fn show(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<Shown, PlatformError> {
        each!(self, own => { own.make(scope).await?; own.show(scope, artifact).await })
    }
}

/// A ground on any of the platforms.
enum Ground {
    Vercel(VercelGround),
    Pages(PagesGround),
    Worker(WorkersGround),
}

impl Ground {
    async fn leftovers(&self, previews: &PreviewsOf) -> Result<Vec<Leftover>, PlatformError> {
        each!(self, own => own.leftovers(previews).await)
    }

    async fn remove(&self, previews: &PreviewsOf, leftover: &Leftover) -> Result<(), PlatformError> {
        each!(self, own => own.remove(previews, leftover, &Shutdown::default()).await)
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn shop() -> PreviewsOf {
    PreviewsOf { product: name("shop"), repository: 42 }
}

fn of(previews: PreviewsOf, pull_request: u64) -> PreviewOf {
    PreviewOf { of: previews, pull_request }
}

fn files(text: &str) -> BTreeMap<String, Vec<u8>> {
    [("index.html".to_owned(), text.as_bytes().to_vec())].into()
}

/// A directory with one page.
fn page(text: &str) -> (TempDir, Artifact) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), text).unwrap();
    let digest = format!("sha256:{:064x}", text.bytes().map(u64::from).sum::<u64>());
    let artifact = Artifact::Directory { path: folder.path().to_owned(), digest };
    (folder, artifact)
}

/// A world with a project on Vercel, one on Pages and a worker, each of which serves "old".
struct Scene {
    world: World,
    clock: Clock,
    vercel: Vercel,
    cloudflare: Cloudflare,
    events: Events,
    told: UnboundedReceiver<Event>,
}

/// What a preview's target is made with.
#[derive(Default)]
struct Wanted {
    subdomain: Option<String>,
    bypass: Option<&'static str>,
    commits: bool,
}

impl Scene {
    fn new() -> Self {
        Self::with(|_| {}, |_| {})
    }

    fn with(project: impl FnOnce(&mut vercel::ProjectSeed), site: impl FnOnce(&mut cloudflare::ProjectSeed)) -> Self {
        let clock = Clock::starting_at("2026-01-02T03:04:05Z".parse().unwrap());
        let world = World::in_process(clock, Chance::seeded(7));
        // How far edges lag is the checks' matter.
        world.ground().traffic.lags(&[std::time::Duration::ZERO]);
        let vercel = Vercel::new(world.ground());
        vercel.add_to(&world);
        vercel.seed_team(TEAM, "shop");
        vercel.seed_token(TOKEN, "usr_alma", &[TEAM], None);
        let mut seed = vercel::ProjectSeed::new("front", "prj_front", TEAM);
        project(&mut seed);
        vercel.seed_project(seed);
        vercel.seed_earlier_deployment("front", &files("old"), BTreeMap::new()).unwrap();
        let cloudflare = Cloudflare::new(world.ground());
        cloudflare.add_to(&world);
        cloudflare.seed_token(TOKEN, &[ACCOUNT]);
        let mut seed = cloudflare::ProjectSeed::new(ACCOUNT, "site");
        site(&mut seed);
        cloudflare.seed_project(seed);
        cloudflare.seed_earlier_deployment("site", &files("old")).unwrap();
        cloudflare.seed_worker(WorkerSeed::new(ACCOUNT, "help"));
        cloudflare.seed_earlier_version("help", &files("old")).unwrap();
        let (events, told) = Events::channel(clock);
        Self { world, clock, vercel, cloudflare, events, told }
    }

    fn transport(&self) -> Transport {
        Transport::new(Arc::new(InProcess::new(self.world.clone())), self.clock, Arc::new(Chance::seeded(11)))
    }

    fn site(&self, kind: Kind, preview: PreviewOf) -> Site {
        self.site_with(kind, preview, &Wanted::default())
    }

    fn site_with(&self, kind: Kind, preview: PreviewOf, wanted: &Wanted) -> Site {
        let token = SecretString::from(TOKEN);
        let cloudflare = || CloudflareEndpoints::from_lookup(|_| None).unwrap();
        match kind {
            Kind::Vercel => {
                let source = if wanted.commits { VercelSource::Git { branch: None } } else { VercelSource::Directory };
                let mut site = VercelSettings::new(name("web"), "front", Some(TEAM.to_owned()), source);
                site.bypass = wanted.bypass.map(SecretString::from);
                let settings = VercelPreviewSettings { site, preview, alias: wanted.subdomain.clone() };
                Site::Vercel(VercelPreview::new(settings, VercelEndpoints::from_lookup(|_| None).unwrap(), token, self.transport()))
            }
            Kind::Pages => {
                let mut site = PagesSettings::new(name("web"), "site", ACCOUNT);
                if wanted.commits {
                    site.source = PagesSource::Git;
                }
                let settings = PagesPreviewSettings { site, preview, subdomain: wanted.subdomain.clone() };
                Site::Pages(PagesPreview::new(settings, cloudflare(), token, self.transport()))
            }
            Kind::Worker => {
                let site = WorkerSettings::new(name("web"), "help", ACCOUNT);
                let subdomain = wanted.subdomain.clone().unwrap_or_else(|| "embedded".to_owned());
                let settings = WorkerPreviewSettings { site, preview, subdomain };
                Site::Worker(WorkerPreview::new(settings, cloudflare(), token, self.transport()))
            }
        }
    }

    fn ground(&self, kind: Kind) -> Ground {
        let token = SecretString::from(TOKEN);
        let cloudflare = || CloudflareEndpoints::from_lookup(|_| None).unwrap();
        match kind {
            Kind::Vercel => {
                let endpoints = VercelEndpoints::from_lookup(|_| None).unwrap();
                Ground::Vercel(VercelGround::new("front", Some(TEAM.to_owned()), endpoints, token, self.transport()))
            }
            Kind::Pages => Ground::Pages(PagesGround::new("site", ACCOUNT, cloudflare(), token, self.transport())),
            Kind::Worker => Ground::Worker(WorkersGround::new(ACCOUNT, cloudflare(), token, self.transport())),
        }
    }

    fn scope(&self, preview: &PreviewOf, commit: &str) -> PreviewScope {
        PreviewScope {
            preview: preview.clone(),
            environment: name("preview"),
            commit: commit.to_owned(),
            release: ReleaseId::from_text("r-20260102-030405-aaaaaa"),
            phase: Phase::Prepare,
            events: self.events.clone(),
            shutdown: Shutdown::default(),
        }
    }

    /// Shows one page at a pull request of the shop.
    async fn shows(&self, kind: Kind, preview: &PreviewOf, commit: &str, text: &str) -> Result<Shown, PlatformError> {
        let (_folder, artifact) = page(text);
        self.site(kind, preview.clone()).show(&self.scope(preview, commit), &artifact).await
    }

    /// Returns everything that stands on a platform: deployments, or workers; in order.
    fn standing(&self, kind: Kind) -> Vec<String> {
        match kind {
            Kind::Vercel => self.vercel.deployments("front").into_iter().map(|seen| seen.id).collect(),
            Kind::Pages => self.cloudflare.deployments("site").into_iter().map(|seen| seen.id).collect(),
            Kind::Worker => self.cloudflare.workers().into_iter().map(|seen| format!("{} {:?}", seen.name, seen.content)).collect(),
        }
    }

    /// Returns the answer of what users get of the release.
    async fn production(&self, kind: Kind) -> (u16, String) {
        let host = match kind {
            Kind::Vercel => "front.vercel.app",
            Kind::Pages => "site.pages.dev",
            Kind::Worker => "help.embedded.workers.dev",
        };
        self.get(host, "/").await
    }

    async fn get(&self, host: &str, path: &str) -> (u16, String) {
        let request = http::Request::builder().uri(format!("https://{host}{path}")).header("host", host);
        let answer = in_process::call(&self.world, request.body(bytes::Bytes::new()).unwrap()).await.unwrap();
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    }

    fn strike(&self, boundary: &str, effect: Effect, answer: Answer) {
        self.world.ground().faults.set(Rule::at(boundary, effect, answer).unwrap());
    }

    /// Returns every operation that a client asked for so far, in order, and whether it may change something.
    fn asked(&self) -> Vec<(String, bool)> {
        let entries = self.world.ground().tape.entries();
        entries.into_iter().filter(|entry| entry.hand == Hand::Client).map(|entry| (entry.operation, entry.write)).collect()
    }

    fn count(&self, operation: &str) -> usize {
        self.asked().iter().filter(|(asked, _)| asked == operation).count()
    }

    /// Returns the codes of the notices so far.
    fn notices(&mut self) -> Vec<&'static str> {
        let mut codes = Vec::new();
        while let Ok(event) = self.told.try_recv() {
            if let EventKind::Notice { code, .. } = event.kind {
                codes.push(code);
            }
        }
        codes
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_request_shows_at_one_address_and_is_updated_in_place() {
    for kind in KINDS {
        let scene = Scene::new();
        let before = scene.standing(kind);
        let preview = of(shop(), 7);
        let site = scene.site(kind, preview.clone());
        let host = kind.host(7);
        assert_eq!(site.address(), format!("https://{host}"), "known before anything is asked");
        assert!(scene.asked().is_empty());
        let scope = scene.scope(&preview, ONE);
        let problems = site.preflight(&scope).await.unwrap();
        assert!(problems.is_empty(), "{kind:?}: {problems:?}");
        assert_eq!(site.shown(&scope).await, None);
        assert!(scene.asked().iter().all(|(_, write)| !write), "a look changes nothing");

        let first = scene.shows(kind, &preview, ONE, "one").await.unwrap();
        assert_eq!(first.commit.as_deref(), Some(ONE));
        assert_eq!(scene.get(&host, "/").await, (200, "one".to_owned()), "{kind:?}");
        let (status, mark) = scene.get(&host, "/.well-known/cutover.json").await;
        assert!(status == 200 && mark.contains(first.revision.as_ref().unwrap().as_str()), "{mark}");
        assert_eq!(scene.site(kind, preview.clone()).shown(&scope).await.as_ref(), Some(&first), "another process sees the same");

        let second = scene.shows(kind, &preview, TWO, "two").await.unwrap();
        assert_eq!(second.commit.as_deref(), Some(TWO));
        assert_ne!(first.revision, second.revision);
        assert_eq!(scene.get(&host, "/").await, (200, "two".to_owned()), "{kind:?}");
        assert_eq!(scene.site(kind, preview.clone()).shown(&scope).await, Some(second));
        assert_eq!(scene.standing(kind).len(), before.len() + 1, "{kind:?}: what showed before is gone");

        let writes = || scene.asked().iter().filter(|(_, write)| *write).count();
        let written = writes();
        scene.shows(kind, &preview, TWO, "two").await.unwrap();
        assert_eq!(writes(), written, "{kind:?}: the same commit once more is there already: {:?}", scene.asked());
        scene.shows(kind, &preview, ONE, "one").await.unwrap();
        assert_eq!(scene.get(&host, "/").await, (200, "one".to_owned()), "{kind:?}: a push that takes the last one back");
        let standing = scene.standing(kind);
        assert!(before.iter().all(|earlier| standing.contains(earlier)) && standing.len() == before.len() + 1, "{standing:?}");
        assert_eq!(scene.production(kind).await, (200, "old".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_commit_with_the_same_files_is_shown_as_itself() {
    for kind in KINDS {
        let scene = Scene::new();
        let preview = of(shop(), 7);
        let first = scene.shows(kind, &preview, ONE, "same").await.unwrap();
        let second = scene.shows(kind, &preview, TWO, "same").await.unwrap();
        assert_eq!(first.revision, second.revision, "{kind:?}");
        let shown = scene.site(kind, preview.clone()).shown(&scene.scope(&preview, TWO)).await.unwrap();
        assert_eq!(shown.commit.as_deref(), Some(TWO), "{kind:?}");
    }
}

/// Everything that stands beside the shop's own previews: of another product, of another repository, of a person.
async fn strangers(scene: &Scene, kind: Kind) -> Vec<String> {
    let other_product = PreviewsOf { product: name("shop-pr"), repository: 42 };
    let other_repository = PreviewsOf { product: name("shop"), repository: 421 };
    scene.shows(kind, &of(other_product, 30), ONE, "other product").await.unwrap();
    scene.shows(kind, &of(other_repository, 31), ONE, "other repository").await.unwrap();
    match kind {
        Kind::Vercel => {
            let meta = BTreeMap::from([("cutoverPreview".to_owned(), "cutover-shop-42-pr-07".to_owned())]);
            scene.vercel.person_previews("front", &files("person"), meta).unwrap();
        }
        Kind::Pages => {
            scene.cloudflare.person_previews("site", "pr-32", "cutover preview of mine", &files("person")).unwrap();
        }
        Kind::Worker => {
            let tags = vec!["cutover-shop-42-pr-33".to_owned()];
            scene.cloudflare.seed_worker(WorkerSeed { tags, ..WorkerSeed::new(ACCOUNT, "named-otherwise") });
            scene.cloudflare.seed_worker(WorkerSeed::new(ACCOUNT, "help-pr-32"));
        }
    }
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    scene.standing(kind)
}

#[tokio::test(start_paused = true)]
async fn the_ground_lists_exactly_what_is_ours_and_removes_one_without_touching_another() {
    for kind in KINDS {
        let scene = Scene::new();
        let others = strangers(&scene, kind).await;
        let ground = scene.ground(kind);
        assert_eq!(ground.leftovers(&shop()).await.unwrap(), [], "{kind:?}");
        for (number, text) in [(1, "first"), (12, "twelfth"), (2, "second")] {
            scene.shows(kind, &of(shop(), number), ONE, text).await.unwrap();
        }
        let found = ground.leftovers(&shop()).await.unwrap();
        let mut numbers: Vec<u64> = found.iter().map(|leftover| leftover.pull_request).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 12], "{kind:?}: {found:?}");

        let first = found.iter().find(|leftover| leftover.pull_request == 1).unwrap();
        ground.remove(&shop(), first).await.unwrap();
        assert_ne!(scene.get(&kind.host(1), "/").await.0, 200, "{kind:?}");
        assert_eq!(scene.get(&kind.host(12), "/").await, (200, "twelfth".to_owned()), "{kind:?}: a longer number with the same beginning");
        ground.remove(&shop(), first).await.unwrap();
        for leftover in ground.leftovers(&shop()).await.unwrap() {
            ground.remove(&shop(), &leftover).await.unwrap();
        }
        assert_eq!(ground.leftovers(&shop()).await.unwrap(), []);
        assert_eq!(scene.standing(kind), others, "{kind:?}: nothing of ours is left, and nothing of anybody else's is gone");
        for number in [1, 2, 12] {
            assert_ne!(scene.get(&kind.host(number), "/").await.0, 200);
        }
        assert_eq!(scene.production(kind).await, (200, "old".to_owned()));
        let of_others = scene.ground(kind).leftovers(&PreviewsOf { product: name("shop"), repository: 421 }).await.unwrap();
        assert_eq!(of_others.iter().map(|leftover| leftover.pull_request).collect::<Vec<_>>(), [31]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_stays_even_where_a_leftover_names_it() {
    for kind in KINDS {
        let scene = Scene::new();
        scene.shows(kind, &of(shop(), 12), ONE, "twelfth").await.unwrap();
        let others = strangers(&scene, kind).await;
        let ids = match kind {
            Kind::Worker => scene.cloudflare.workers().into_iter().map(|seen| seen.name).collect(),
            _ => others.clone(),
        };
        let mut ids: Vec<String> = ids;
        ids.extend((kind == Kind::Vercel).then(|| kind.host(12)));
        ids.extend((kind == Kind::Vercel).then(|| "front.vercel.app".to_owned()));
        let platform = if kind == Kind::Vercel { cutover::http::Platform::Vercel } else { cutover::http::Platform::Cloudflare };
        let forged = Leftover { platform, pull_request: 1, thing: "everything".to_owned(), ids };
        scene.ground(kind).remove(&shop(), &forged).await.unwrap();
        assert_eq!(scene.standing(kind), others, "{kind:?}");
        assert_eq!(scene.get(&kind.host(12), "/").await, (200, "twelfth".to_owned()));
        assert_eq!(scene.production(kind).await, (200, "old".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_read_to_its_last_page() {
    let scene = Scene::new();
    let count = 230;
    for nth in 0..count {
        let number = 1 + nth % 3;
        let meta = [("cutoverPreview", format!("cutover-shop-42-pr-{number}")), ("cutoverPreviews", "cutover-shop-42-pr-".to_owned())];
        let meta = meta.map(|(key, value)| (key.to_owned(), value)).into();
        scene.vercel.person_previews("front", &files("one of many"), meta).unwrap();
    }
    let message = r#"cutover preview {"m":"cutover-shop-42-pr-3","v":"00"}"#;
    for _ in 0..60 {
        scene.cloudflare.person_previews("site", "pr-3", message, &files("one of many")).unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let found = scene.ground(Kind::Vercel).leftovers(&shop()).await.unwrap();
    assert_eq!(found.iter().map(|leftover| leftover.ids.len()).sum::<usize>(), count);
    let made: Vec<String> = scene.vercel.deployments("front").into_iter().skip(1).step_by(3).map(|seen| seen.id).collect();
    assert_eq!(found[0].ids, made, "the oldest first");
    let ground = scene.ground(Kind::Pages);
    let found = ground.leftovers(&shop()).await.unwrap();
    assert_eq!(found.iter().map(|leftover| leftover.ids.len()).collect::<Vec<_>>(), [60]);
    ground.remove(&shop(), &found[0]).await.unwrap();
    assert_eq!(scene.standing(Kind::Pages).len(), 1);
}
