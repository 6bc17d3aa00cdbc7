//! An upload that is interrupted goes on where it was, because the platform keeps what has arrived.

use cutover::event::Phase;
use cutover::platform::{Artifact, Target};
use cutover::shutdown::Level;

use super::{Scene, wanted, write};

fn site_of(count: usize) -> (tempfile::TempDir, Artifact) {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..count {
        write(folder.path(), &[(format!("section-{}/page-{number}.html", number % 9).as_str(), format!("page {number}").as_str())]);
    }
    let artifact = Artifact::Directory { path: folder.path().to_owned(), digest: "sha256:resumed".to_owned() };
    (folder, artifact)
}

/// Returns how many contents the last create call was told to be missing.
fn missing(scene: &Scene) -> usize {
    let entries = scene.world.ground().tape.entries();
    let last = entries.iter().rev().find_map(|entry| entry.response.json()?["error"]["missing"].as_array().map(Vec::len));
    last.unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_second_run_uploads_only_what_the_interrupted_one_did_not() {
    let scene = wanted().scene();
    let (_folder, artifact) = site_of(400);
    let before = scene.observe().await;
    let scope = scene.scope(Phase::Prepare);
    let interrupted = {
        let run = scene.target.prepare(&scope, &artifact, &before, &[]);
        let interrupt = async {
            while scene.count("upload_file") < 120 {
                tokio::task::yield_now().await;
            }
            scope.shutdown.raise(Level::Drain);
        };
        tokio::join!(run, interrupt).0
    };
    let error = interrupted.unwrap_err();
    assert!(error.cancelled(), "{error}");
    let (first, wanted) = (scene.count("upload_file"), missing(&scene));
    assert_eq!(wanted, 402, "every page, the configuration and the mark");
    assert!((120..wanted - 100).contains(&first), "{first} uploads before it ended: nothing new was begun");

    scene.world.ground().tape.clear();
    let scope = scene.scope_of("r-20260102-040506-bbbbbb", Phase::Prepare);
    scene.target.prepare(&scope, &artifact, &before, &[]).await.unwrap();
    let second = scene.count("upload_file");
    assert_eq!(second, missing(&scene), "what is missing, and nothing else");
    assert_eq!(first + second, wanted, "nothing twice");
}
