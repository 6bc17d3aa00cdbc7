//! Every message that is exchanged with Cloudflare is one that the vendor's document knows, to the last field.

use cutover::embedded::cloudflare::{Fate, ProjectSeed};
use cutover::event::Phase;
use cutover::platform::Target;

use super::{ACCOUNT, Scene, scene_of, site};
use crate::support::openapi::Document;

/// What the document lacks or has otherwise, each with its source.
const PINNED: [&str; 2] = [
    // What was deleted is not found (cloudflare.md 7.5); the document has no refusals at all.
    "GET /accounts/{account_id}/pages/projects/{project_name}/deployments/{deployment_id}: status 404 is not in the document",
    // In the answer to a creation, as the vendor's client reads it (cloudflare.md 4).
    "POST /accounts/{account_id}/pages/projects/{project_name}/deployments 200.result.production_branch: unknown field",
];

fn judge(scene: &Scene) {
    let Some(document) = Document::find("cloudflare-pages-openapi.json", "/client/v4") else { return };
    let mut faults = Vec::new();
    for entry in scene.world.ground().tape.entries() {
        if entry.platform != "cloudflare" {
            continue;
        }
        let Some(status) = entry.status else { continue };
        faults.extend(document.judge(&entry.method, &entry.path, entry.request.json(), status, entry.response.json()));
    }
    faults.sort();
    faults.dedup();
    assert_eq!(faults, PINNED);
}

#[tokio::test(start_paused = true)]
async fn a_release_its_way_back_and_a_failure_are_in_the_vendors_words() {
    let scene = scene_of(ProjectSeed {
        domains: vec!["www.example.com".to_owned()],
        repository: Some(("acme/site".to_owned(), false)),
        ..ProjectSeed::new(ACCOUNT, "site")
    });
    scene.target.preflight(&scene.scope(Phase::Preflight)).await.unwrap();
    let before = scene.observe().await;
    let (_folder, artifact) = site(&[("index.html", "new"), ("_headers", "/*\n  X-Side: new\n"), ("_redirects", "/old /new 301\n")]);
    let revision = scene.prepared(&artifact).await;
    scene.serves(&revision).await;
    scene.back(before.single().unwrap()).await;
    scene.target.prune(&scene.scope(Phase::RollBack), std::slice::from_ref(&revision)).await.unwrap();
    scene.cloudflare.next("site", false, Fate::FAILS);
    let (_other, broken) = site(&[("index.html", "broken"), ("x.html", "x")]);
    scene.target.prepare(&scene.scope(Phase::Prepare), &broken, &before, &[]).await.unwrap_err();
    for operation in [
        "get_project",
        "list_domains",
        "get_upload_token",
        "check_missing",
        "upload_assets",
        "upsert_hashes",
        "create_deployment",
        "get_deployment",
        "list_deployments",
        "roll_back",
        "delete_deployment",
        "get_log",
    ] {
        assert!(scene.count(operation) > 0, "{operation} was not asked for");
    }
    judge(&scene);
}
