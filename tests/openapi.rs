//! Everything that a run says to the platforms, and what they answer, by the vendors' own documents with unknown fields refused.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::openapi::Document;
use crate::support::product::Product;

/// What the documents lack or have otherwise, each with its source.
const PINNED: [&str; 17] = [
    // flyctl's own name of `force`.
    "fly: DELETE /apps/{app_name}/machines/{machine_id}?kill: unknown parameter",
    // Machines have both on the wire, and flyctl reads them; they are missing from Machine in the document.
    "fly: GET /apps/{app_name}/machines 200[].cordoned: unknown field",
    "fly: GET /apps/{app_name}/machines 200[].version: unknown field",
    "fly: GET /apps/{app_name}/machines/{machine_id} 200.cordoned: unknown field",
    "fly: GET /apps/{app_name}/machines/{machine_id} 200.version: unknown field",
    "fly: POST /apps/{app_name}/machines 200.cordoned: unknown field",
    "fly: POST /apps/{app_name}/machines 200.version: unknown field",
    // What flyctl writes for a service.
    "fly: POST /apps/{app_name}/machines request.config.services[].autostop: false is not among the values",
    "fly: POST /apps/{app_name}/machines request.config.services[].autostop: is not string",
    "fly: POST /apps/{app_name}/machines request.config.services[].force_instance_key: null is not allowed",
    // The wrapper that arrives around a lease, which flyctl unwraps.
    "fly: POST /apps/{app_name}/machines/{machine_id}/lease 201.data: unknown field",
    "fly: POST /apps/{app_name}/machines/{machine_id}/lease 201.status: unknown field",
    // The filter by metadata of the vendor's command line (`ls --meta`).
    "vercel: GET /v6/deployments?meta-cutoverEnvironment: unknown parameter",
    "vercel: GET /v6/deployments?meta-cutoverProduct: unknown parameter",
    "vercel: GET /v6/deployments?meta-cutoverRelease: unknown parameter",
    "vercel: GET /v6/deployments?meta-cutoverRevision: unknown parameter",
    // A first promotion comes from nothing; the vendor's command line reads it as nullable.
    "vercel: GET /v9/projects/{idOrName} 200.lastAliasRequest.fromDeploymentId: null is not allowed",
];

#[test]
fn every_message_of_a_run_is_as_the_vendors_documents_say() {
    let documents = (
        Document::find("fly-machines-openapi.json", "/v1"),
        Document::find("vercel-openapi.json", ""),
        Document::find("github-openapi.json", ""),
    );
    let (Some(fly), Some(vercel), Some(github)) = documents else { return };
    let product = Product::new();
    let mut faults = BTreeSet::new();
    let mut judged = 0;
    for more in [&[][..], &["--first"], &["--fail", "web:cut-over"]] {
        let tape = product.path().join("tape.jsonl");
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command.arg("rehearse").arg(product.path()).args(["--no-engine", "--quiet", "--tape"]).arg(&tape).args(more);
        assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code().is_some());
        for line in std::fs::read_to_string(&tape).unwrap().lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            let text = |field: &str| entry[field].as_str().unwrap_or_default();
            let document = match text("platform") {
                // GraphQL has no such document.
                "fly" if text("path").starts_with("/v1/") => &fly,
                "vercel" => &vercel,
                "github" if text("path") != "/graphql" => &github,
                _ => continue,
            };
            judged += 1;
            let status = u16::try_from(entry["status"].as_u64().unwrap_or_default()).unwrap();
            let (request, response) = (entry["request"].get("json"), entry["response"].get("json"));
            let own = document.judge(text("method"), text("path"), request, status, response);
            faults.extend(own.into_iter().map(|fault| format!("{}: {fault}", text("platform"))));
        }
    }
    assert!(judged > 100, "{judged}");
    let faults: Vec<_> = faults.into_iter().collect();
    assert_eq!(faults, PINNED.map(str::to_owned), "{faults:#?}");
}
