//! Every message of previews is one that the vendors' documents know, to the last field.

use std::collections::BTreeSet;

use super::{KINDS, ONE, Scene, TWO, of, shop};
use crate::support::openapi::Document;

/// What the documents lack or have otherwise, each with its source.
const PINNED: [&str; 5] = [
    // What was deleted is not found (cloudflare.md 7.5); the document has no refusals at all.
    "GET /accounts/{account_id}/pages/projects/{project_name}/deployments/{deployment_id}: status 404 is not in the document",
    // The filter by metadata of the vendor's command line (`ls --meta`).
    "GET /v6/deployments?meta-cutoverPreview: unknown parameter",
    "GET /v6/deployments?meta-cutoverPreviews: unknown parameter",
    "GET /v6/deployments?meta-cutoverRevision: unknown parameter",
    // In the answer to a creation, as the vendor's client reads it (cloudflare.md 4).
    "POST /accounts/{account_id}/pages/projects/{project_name}/deployments 200.result.production_branch: unknown field",
];

#[tokio::test(start_paused = true)]
async fn previews_are_made_shown_and_removed_in_the_vendors_words() {
    let documents = (Document::find("vercel-openapi.json", ""), Document::find("cloudflare-pages-openapi.json", "/client/v4"));
    let (Some(vercel), Some(pages)) = documents else { return };
    let scene = Scene::new();
    let preview = of(shop(), 7);
    for kind in KINDS {
        scene.site(kind, preview.clone()).preflight(&scene.scope(&preview, ONE)).await.unwrap();
        scene.shows(kind, &preview, ONE, "one").await.unwrap();
        scene.shows(kind, &preview, TWO, "two").await.unwrap();
        let ground = scene.ground(kind);
        for leftover in ground.leftovers(&shop()).await.unwrap() {
            ground.remove(&shop(), &leftover).await.unwrap();
        }
    }
    let mut faults = BTreeSet::new();
    let mut judged = BTreeSet::new();
    for entry in scene.world.ground().tape.entries() {
        let document = match entry.platform.as_str() {
            "vercel" => &vercel,
            // Workers have no document here.
            "cloudflare" if entry.path.contains("/pages/") => &pages,
            _ => continue,
        };
        let Some(status) = entry.status else { continue };
        judged.insert(entry.operation);
        faults.extend(document.judge(&entry.method, &entry.path, entry.request.json(), status, entry.response.json()));
    }
    for operation in ["assign_alias", "get_alias", "delete_alias", "create_deployment", "list_deployments", "delete_deployment"] {
        assert!(judged.contains(operation), "{operation} was not asked for");
    }
    let faults: Vec<_> = faults.into_iter().collect();
    assert_eq!(faults, PINNED.map(str::to_owned), "{faults:#?}");
}
