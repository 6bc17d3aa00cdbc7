//! The vendor's own client, unchanged, against the embedded Cloudflare; and whether it names the same contents by the same keys as we do.

use std::collections::BTreeMap;
use std::path::Path;

use cutover::clock::Clock;
use cutover::embedded::World;
use cutover::embedded::cloudflare::{Cloudflare, ProjectSeed, Tree};
use cutover::id::Chance;
use cutover::platform::RevisionDigest;
use cutover::platform::cloudflare::pages::files::{MARK, ReadSite, Site};

use super::{ACCOUNT, TOKEN};

/// Everything that a listing can get wrong: names that are not plain, what configures the site and what only looks so, what tools leave behind.
const FILES: [(&str, &str); 24] = [
    ("index.html", "<h1>hello</h1>\n"),
    ("copy.html", "<h1>hello</h1>\n"),
    ("Index2.HTML", "<h1>hello</h1>\n"),
    ("empty.txt", ""),
    ("README", "cutover"),
    ("dot.", "x"),
    ("sp ace.txt", "space"),
    ("ünï/cödé 100%.txt", "unicode"),
    ("a#b?c.css", "a{}"),
    ("sub/a.tar.gz", "not really"),
    ("sub/_headers", "plain file"),
    ("sub/functions/x.js", "1"),
    ("app.mjs", "export {}"),
    ("img/logo.svg", "<svg/>"),
    ("feed.xml", "<a/>"),
    ("deep/er/and/deeper/index.html", "deep"),
    ("_headers", "/*\n  x-test: 1\n"),
    ("_redirects", "/old /new 301\n"),
    ("_routes.json", "{\"version\":1,\"include\":[\"/*\"],\"exclude\":[]}"),
    ("node_modules/left/over.js", "1"),
    ("sub/.DS_Store", "1"),
    (".git/config", "1"),
    (".well-known/security.txt", "mailto:nobody@example.com"),
    ("page.webmanifest", "{}"),
];

fn write_site(folder: &Path) {
    for (name, content) in FILES {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let many: Vec<u8> = (0..4096_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(folder.join("big.bin"), many).unwrap();
}

/// Needs `wrangler` 4.164.0 from npm (`WRANGLER_BIN`, or in the path) and a node of 22.12 or later before any other in the path.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs the vendor's client: .ci/steps/51-vendor-wrangler installs it"]
async fn the_vendors_client_deploys_and_names_every_content_as_we_do() {
    let clock = Clock::system();
    let world = World::in_process(clock, Chance::seeded(7));
    let cloudflare = Cloudflare::new(world.ground());
    cloudflare.add_to(&world);
    cloudflare.seed_token(TOKEN, &[ACCOUNT]);
    cloudflare.seed_project(ProjectSeed::new(ACCOUNT, "site"));
    let earlier = cloudflare.seed_earlier_deployment("site", &Tree::from([("index.html".to_owned(), b"old".to_vec())])).unwrap();
    let addresses = world.listen(&BTreeMap::new()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_site(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor/wrangler.sh");
    let output = tokio::process::Command::new(script)
        .arg(format!("{}/client/v4", addresses.base("api.cloudflare.com").unwrap().trim_end_matches('/')))
        .arg(folder.path())
        .envs([("CLOUDFLARE_API_TOKEN", TOKEN), ("CLOUDFLARE_ACCOUNT_ID", ACCOUNT), ("PROJECT", "site")])
        .output()
        .await
        .unwrap();
    let asked: Vec<String> = world
        .ground()
        .tape
        .entries()
        .iter()
        .map(|entry| format!("{:?} {} {} {}", entry.status, entry.operation, entry.method, entry.path))
        .collect();
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{asked:#?}");
    assert!(!asked.iter().any(|line| line.contains(" unknown ")), "the client asks for what is not there: {asked:#?}");

    let made = cloudflare.deployments("site");
    let production = cloudflare.production("site").unwrap();
    assert_ne!(production, earlier);
    let (staged, live) = (made.iter().find(|one| !one.production).unwrap(), made.iter().find(|one| one.id == production).unwrap());
    assert_eq!(staged.branch, "stage");
    assert_eq!(staged.manifest, live.manifest);
    let revision = RevisionDigest::of(b"any");
    let ours = Site::read(ReadSite { directory: folder.path().to_owned(), revision, dotfiles: Vec::new() }).await.unwrap();
    let mut ours = ours.manifest();
    assert!(ours.remove(MARK).is_some());
    assert_eq!(ours, live.manifest);
    world.end().await;
}
