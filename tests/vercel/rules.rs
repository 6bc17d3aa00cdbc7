//! `vercel.json` of a plain site: what the vendor's client makes of it, what users get by it, what is refused.

use std::path::Path;

use cutover::platform::vercel::files::{Content, FilesError, ReadDirectory, Upload};
use cutover::platform::{Observed, RevisionDigest, Target};
use serde_json::Value;

use super::{site, wanted, write};

fn read(directory: &Path, above: Option<&Path>) -> Result<Upload, FilesError> {
    Upload::read_now(&ReadDirectory {
        directory: directory.to_owned(),
        root: None,
        revision: RevisionDigest::from_text("sha256:abc"),
        archive_above: 500,
        rules: above.map(Path::to_owned),
    })
}

fn config(upload: &Upload) -> Value {
    let entry = upload.entries.iter().find(|entry| entry.file == ".vercel/output/config.json").unwrap();
    let Content::Memory(text) = &entry.content else { panic!("config.json is ours") };
    serde_json::from_slice(text).unwrap()
}

/// The record is made, and compared in CI, by `tests/vendor/vercel-rules`.
#[test]
fn rules_become_what_the_vendors_client_makes_of_them() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../vendor/vercel-rules.json")).unwrap();
    let (mut equal, mut refused) = (0, 0);
    for case in &cases {
        let folder = tempfile::tempdir().unwrap();
        let rules = case["rules"].to_string();
        let names: Vec<&str> = case["files"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        write(folder.path(), &names.iter().map(|name| (*name, *name)).chain([("vercel.json", rules.as_str())]).collect::<Vec<_>>());
        let read = read(folder.path(), None);
        if case["built"].get("refused").is_some() {
            assert!(matches!(read, Err(FilesError::InvalidRules { .. })), "{rules}: {read:?}");
            refused += 1;
            continue;
        }
        let mut ours = config(&read.unwrap());
        let mut theirs = case["built"].clone();
        // The vendor's client writes an empty list where there is none.
        if theirs["crons"] == serde_json::json!([]) {
            theirs.as_object_mut().unwrap().remove("crons");
        }
        let routes = ours["routes"].as_array_mut().unwrap();
        routes.retain(|route| route["src"] != r"^/\.well-known/cutover\.json$");
        if rules == r#"{"cleanUrls":false}"# {
            // Nothing is said: the site is served as one without the file is.
            assert!(routes.iter().any(|route| route["dest"] == "/404.html"), "{routes:?}");
            continue;
        }
        assert_eq!(ours, theirs, "{rules}");
        equal += 1;
    }
    assert!(equal >= 14 && refused == 4, "{equal} {refused}");
}

#[test]
fn what_a_plain_site_cannot_have_is_refused_by_name_and_what_says_nothing_is_passed_over() {
    let told = |rules: &str| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("index.html", ""), ("vercel.json", rules)]);
        match read(folder.path(), None) {
            Ok(upload) => format!("{:?}", upload.notes).replace(folder.path().to_str().unwrap(), "[SITE]"),
            Err(error) => error.to_string().replace(folder.path().to_str().unwrap(), "[SITE]"),
        }
    };
    let said = [
        r#"{"functions": {"api/x.js": {"memory": 128}}}"#,
        r#"{"builds": [{"src": "*.js", "use": "@vercel/node"}]}"#,
        r#"{"outputDirectory": "public"}"#,
        r#"{"outputDirectory": ".", "buildCommand": "x", "framework": null, "functions": {}}"#,
        r#"{"rewrites": [{"source": "/a", "destination": {"service": "b"}}]}"#,
        r#"{"redirects": [{"source": "/:", "destination": "/"}]}"#,
        r#"{"headers": [{"source": "/{a", "headers": []}]}"#,
        r#"{"redirects": [{"source": "/((a))", "destination": "/"}]}"#,
        r#"{"somethingNew": 1, "cleanUrls": true}"#,
        "{",
    ]
    .map(told);
    insta::assert_snapshot!(said.join("\n"), @r#"
    [SITE]/vercel.json: a plain site cannot have `functions`: build it with `vercel build`, and ship `.vercel/output`
    [SITE]/vercel.json: a plain site cannot have `builds`: build it with `vercel build`, and ship `.vercel/output`
    [SITE]/vercel.json: `outputDirectory` is "public": ship that directory (`dir`), or build with `vercel build` and ship `.vercel/output`
    []
    [SITE]/vercel.json: `rewrites`: invalid type: map, expected a string
    [SITE]/vercel.json: redirects[0]: a colon has no name behind it
    [SITE]/vercel.json: headers[0]: a brace is not closed
    [SITE]/vercel.json: redirects[0]: a group in a pattern must not capture: write `(?:` after `(`
    ["[SITE]/vercel.json says what is not known here and not applied: somethingNew."]
    [SITE]/vercel.json: EOF while parsing an object at line 1 column 1
    "#);
}

#[tokio::test(start_paused = true)]
async fn users_get_the_rules_and_the_mark_stays_in_sight() {
    let scene = wanted().scene();
    let rules = r#"{
        "cleanUrls": true, "trailingSlash": false,
        "redirects": [{"source": "/old/:rest*", "destination": "/:rest*"}],
        "headers": [{"source": "/(.*)", "headers": [{"key": "x-frame-options", "value": "DENY"}]}],
        "rewrites": [{"source": "/app/:path*", "destination": "/about"}, {"source": "/(.*)", "destination": "/index"}]
    }"#;
    let (_folder, artifact) = site(&[("index.html", "home"), ("about.html", "about"), ("deep/page.html", "page"), ("vercel.json", rules)]);
    let after = scene.prepared(&artifact).await;
    scene.serves(&after).await;
    for (path, answer) in [
        ("/", (200, "home")),
        ("/about", (200, "about")),
        ("/deep/page", (200, "page")),
        ("/about.html", (308, "")),
        ("/about/", (308, "")),
        ("/old/a/b", (308, "")),
        ("/app/of/mine", (200, "about")),
        ("/anything", (200, "home")),
        // Not published: it is the rules, not a page.
        ("/vercel.json", (200, "home")),
    ] {
        assert_eq!(scene.get("example.com", path).await, (answer.0, answer.1.to_owned()), "{path}");
    }
    let shown = format!("{{\"revision\":\"{}\"}}", after.digest);
    assert_eq!(scene.get("example.com", "/.well-known/cutover.json").await, (200, shown));
}

#[tokio::test(start_paused = true)]
async fn rules_above_the_site_are_applied_told_and_part_of_its_identity() {
    let above = tempfile::tempdir().unwrap();
    let path = above.path().join("vercel.json");
    std::fs::write(&path, r#"{"rewrites": [{"source": "/(.*)", "destination": "/index.html"}]}"#).unwrap();
    let mut wanted = wanted();
    wanted.settings.rules = Some(path.clone());
    let mut scene = wanted.scene();
    let (_folder, artifact) = site(&[("index.html", "home")]);
    let ruled = scene.target.digest_of(&artifact, &Observed::default()).await.unwrap();
    let after = scene.prepared(&artifact).await;
    scene.serves(&after).await;
    assert_eq!(scene.get("example.com", "/anything").await, (200, "home".to_owned()));
    let told = scene.told();
    assert!(told.iter().any(|line| line.contains("are applied: the site has no vercel.json of its own")), "{told:?}");

    std::fs::write(&path, r#"{"git": {"deploymentEnabled": false}}"#).unwrap();
    assert_ne!(scene.target.digest_of(&artifact, &Observed::default()).await.unwrap(), ruled, "other rules are another revision");
    let (_own, with_own) = site(&[("index.html", "home"), ("vercel.json", r#"{"functions": {"a": {}}}"#)]);
    let error = scene.target.digest_of(&with_own, &Observed::default()).await.unwrap_err();
    assert!(error.to_string().contains("a plain site cannot have `functions`"), "{error}");
}
