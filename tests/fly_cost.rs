//! What an app costs a month, where people look: the plan, the log of a release, its receipt and the comment on the pull request.

use serde_json::Value;

use crate::support::binary::{code, cutover, output, told};
use crate::support::product::Product;

#[test]
fn the_log_the_receipt_and_the_comment_say_what_a_release_costs_a_month() {
    let product = Product::new();
    // What serves has 256 MB; the release gives its machine more.
    let folder = tempfile::tempdir().unwrap();
    let (receipt, tape) = (folder.path().join("receipt.json"), folder.path().join("tape.jsonl"));
    let mut command = cutover(&["rehearse", product.path().to_str().unwrap(), "--no-engine"]);
    command.arg("--receipt").arg(&receipt).arg("--tape").arg(&tape);
    let done = output(command);
    assert_eq!(code(&done), 0, "{}", told(&done));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(receipt).unwrap()).unwrap();
    let cost = document["targets"][0]["cost"].as_str().unwrap().to_owned();
    assert!(cost.starts_with('$') && cost.contains(" a month") && cost.ends_with("(prices of 2026-08)"), "{cost}");
    assert!(document["targets"][1]["cost"].is_null(), "nobody knows a price of Vercel's");
    assert!(told(&done).contains(&format!("costs {cost}")), "{}", told(&done));
    let tape = std::fs::read_to_string(tape).unwrap();
    let entries = tape.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let comments: Vec<String> = entries
        .filter(|entry| entry["operation"] == "create_comment" || entry["operation"] == "update_comment")
        .map(|entry| entry["request"].to_string())
        .collect();
    assert!(comments.iter().any(|comment| comment.contains("**Cost:**") && comment.contains("1.94 a month for api")), "{comments:?}");
}
