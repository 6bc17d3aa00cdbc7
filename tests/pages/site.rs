//! Whole sites: what is fetched back, and an upload that is interrupted.

use std::path::Path;
use std::time::Duration;

use cutover::embedded::fault::{Answer, Effect};
use cutover::event::Phase;
use cutover::id::Chance;
use cutover::platform::{Artifact, PlatformErrorKind, Target};
use cutover::shutdown::{Level, Shutdown};
use tempfile::TempDir;

use super::{HOST, Scene, scene};

/// Names that are not plain, in turn.
const NAMES: [&str; 6] = ["page-{}.txt", "sp ace {}.css", "ünï/cödé-{}.js", "deep/er/{}/data.json", "100%-{}.bin", "q?{}#x.svg"];

/// Writes `count` files with seeded contents of at most 4 KiB, some of them empty and some equal; returns the directory and each path with its content.
fn generated(count: u64) -> (TempDir, Artifact, Vec<(String, Vec<u8>)>) {
    let chance = Chance::seeded(5);
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for number in 0..count {
        let name = NAMES[chance.below(NAMES.len() as u64) as usize].replace("{}", &number.to_string());
        let content = match number % 50 {
            0 => Vec::new(),
            1 => b"the same in several files".to_vec(),
            _ => (0..chance.below(4096)).map(|_| chance.below(256) as u8).collect(),
        };
        let path = folder.path().join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &content).unwrap();
        files.push((name, content));
    }
    let artifact = Artifact::Directory { path: folder.path().to_owned(), digest: format!("sha256:{count:064x}") };
    (folder, artifact, files)
}

/// Returns a path as a browser asks for it.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn uploaded(scene: &Scene) -> usize {
    scene.cloudflare.contents()
}

#[tokio::test(start_paused = true)]
async fn what_is_fetched_back_is_what_was_uploaded() {
    let scene = scene();
    let (_folder, artifact, files) = generated(1000);
    let revision = scene.prepared(&artifact).await;
    scene.serves(&revision).await;
    let chance = Chance::seeded(9);
    for _ in 0..200 {
        let (name, content) = &files[chance.below(files.len() as u64) as usize];
        let answer = scene.ask(HOST, &format!("/{}", encoded(name))).await;
        assert_eq!(answer.status(), 200, "{name}");
        assert!(answer.body().as_ref() == content.as_slice(), "{name}: {} bytes instead of {}", answer.body().len(), content.len());
    }
}

/// Adds a large file, so that the site does not fit into one bucket.
fn large(folder: &Path, name: &str, seed: u64) {
    let chance = Chance::seeded(seed);
    let content: Vec<u8> = (0..(22_u64 * 1024 * 1024 / 8)).flat_map(|_| chance.next().to_le_bytes()).collect();
    std::fs::write(folder.join(name), content).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_was_interrupted_goes_on_where_it_was() {
    let scene = scene();
    let (folder, artifact, _) = generated(10);
    for number in 0..8 {
        large(folder.path(), &format!("large-{number}.bin"), number);
    }
    let before = scene.observe().await;
    let there = uploaded(&scene);
    // The runner is told to end while the first three buckets of eight are on their way.
    for number in 1..=3 {
        scene.strike(&format!("cloudflare.upload_assets#{number}"), Effect::Once, Answer::Slow(Duration::from_secs(5)));
    }
    let shutdown = Shutdown::default();
    let scope = cutover::platform::Scope { shutdown: shutdown.clone(), ..scene.scope(Phase::Prepare) };
    let told = async {
        while scene.count("upload_assets") < 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        shutdown.raise(Level::Drain);
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        ended = scene.target.prepare(&scope, &artifact, &before, &[]) => ended.unwrap_err(),
        () = told => unreachable!(),
    };
    assert!(matches!(error.kind, PlatformErrorKind::Cancelled), "{error}");
    let kept = uploaded(&scene);
    assert!(kept > there, "something was stored before the end");
    let sent = scene.count("upload_assets");
    scene.prepared(&artifact).await;
    let again = scene.count("upload_assets") - sent;
    assert_eq!((sent, again), (3, 5));
}
