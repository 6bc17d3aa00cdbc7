//! What is uploaded of a directory.

use std::path::Path;

use cutover::platform::RevisionDigest;
use cutover::platform::vercel::files::{Content, FilesError, Form, ReadDirectory, Upload};

use super::write;

fn read(directory: &Path, root: Option<&str>) -> Result<Upload, FilesError> {
    Upload::read_now(&ReadDirectory {
        directory: directory.to_owned(),
        root: root.map(str::to_owned),
        revision: RevisionDigest::from_text("sha256:abc"),
        archive_above: 500,
        rules: None,
    })
}

/// One line per entry: mode, name, content where it is in memory, the beginning of the digest.
fn lines(upload: &Upload) -> String {
    let line = |entry: &cutover::platform::vercel::files::Entry| {
        let memory = match &entry.content {
            Content::Memory(bytes) => format!(" = {}", String::from_utf8_lossy(bytes)),
            _ => String::new(),
        };
        format!("{:o} {} {} {}{memory}\n", entry.mode, entry.file, entry.size, entry.sha.as_deref().map_or("-", |sha| &sha[..7]))
    };
    upload.entries.iter().map(line).collect()
}

#[cfg(unix)]
#[test]
fn a_plain_site_is_wrapped_ignored_files_stay_out_and_links_are_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(
        root,
        &[
            ("index.html", "hello"),
            ("empty.txt", ""),
            ("ein Ordner/größe.txt", "ü"),
            (".env", "SECRET=1"),
            (".env.local", "SECRET=1"),
            (".git/config", ""),
            ("node_modules/x/index.js", ""),
            ("drafts/one.html", ""),
            ("drafts/keep.html", "kept"),
            (".vercelignore", "./drafts/*\n!/drafts/keep.html\n"),
            (".well-known/cutover.json", "theirs"),
            (".well-known/security.txt", "Contact: us"),
            ("run.sh", "#!"),
            ("vercel.json", r#"{"git": {"deploymentEnabled": false}, "rewrites": [], "newWord": 1}"#),
        ],
    );
    std::fs::set_permissions(root.join("run.sh"), std::fs::Permissions::from_mode(0o700)).unwrap();
    symlink("ein Ordner", root.join("alias")).unwrap();
    symlink("index.html", root.join("home.html")).unwrap();
    let upload = read(root, None).unwrap();
    assert_eq!(upload.form, Form::Static);
    insta::assert_snapshot!(lines(&upload), @r#"
    100644 .vercel/output/config.json 13 15ce20d = {"version":3}
    100644 .vercel/output/static/.well-known/cutover.json 25 3581ea9 = {"revision":"sha256:abc"}
    100644 .vercel/output/static/.well-known/security.txt 11 b608846
    100644 .vercel/output/static/alias/größe.txt 2 94a759f
    100644 .vercel/output/static/drafts/keep.html 4 1e61fe1
    100644 .vercel/output/static/ein Ordner/größe.txt 2 94a759f
    100644 .vercel/output/static/empty.txt 0 da39a3e
    100644 .vercel/output/static/home.html 5 aaf4c61
    100644 .vercel/output/static/index.html 5 aaf4c61
    100755 .vercel/output/static/run.sh 2 2d46bc4
    "#);
    insta::assert_snapshot!(upload.notes.join("\n").replace(root.to_str().unwrap(), "[SITE]"), @"
    [SITE]/vercel.json says what is not known here and not applied: newWord.
    The site's own /.well-known/cutover.json is replaced: it shows the revision.
    ");
}

#[cfg(unix)]
#[test]
fn a_built_output_is_sent_as_it_is_below_the_projects_root() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let ui = folder.path().join("ui/v1");
    write(
        &ui,
        &[
            (
                ".vercel/output/config.json",
                r#"{"version": 3, "routes": [{"handle": "filesystem"}, {"src": "/(.*)", "dest": "/index.html"}]}"#,
            ),
            (".vercel/output/builds.json", r#"{"target": "production"}"#),
            (".vercel/output/static/index.html", "hello"),
            (".vercel/output/functions/api.func/.vc-config.json", r#"{"filePathMap": {"lib.js": "node_modules/lib/index.js"}}"#),
            (".vercel/output/functions/api.func/index.js", "code"),
            (".vercel/output/functions/page.prerender-config.json", r#"{"expiration": 60, "fallback": "page.prerender-fallback.html"}"#),
            (".vercel/output/functions/page.prerender-fallback.html", "fallback"),
            ("source.ts", "never sent"),
        ],
    );
    write(folder.path(), &[("node_modules/lib/index.js", "library")]);
    write(&ui, &[(".vercel/routes.json", "[]"), (".vercel/project.json", "{}")]);
    symlink("api.func", ui.join(".vercel/output/functions/also.func")).unwrap();
    let upload = read(&ui, Some("ui/v1")).unwrap();
    assert_eq!(upload.form, Form::Prebuilt);
    insta::assert_snapshot!(lines(&upload), @r#"
    100644 node_modules/lib/index.js 7 00299a4
    100644 ui/v1/.vercel/output/builds.json 24 e695ff6
    100644 ui/v1/.vercel/output/config.json 93 a974fad
    120777 ui/v1/.vercel/output/functions/also.func 8 c9fc342 = api.func
    100644 ui/v1/.vercel/output/functions/api.func/.vc-config.json 56 3c70ef9
    100644 ui/v1/.vercel/output/functions/api.func/index.js 4 e6fb062
    100644 ui/v1/.vercel/output/functions/page.prerender-config.json 62 ee7abf7
    100644 ui/v1/.vercel/output/functions/page.prerender-fallback.html 8 5d288ad
    100644 ui/v1/.vercel/output/static/.well-known/cutover.json 25 3581ea9 = {"revision":"sha256:abc"}
    100644 ui/v1/.vercel/output/static/index.html 5 aaf4c61
    100644 ui/v1/.vercel/routes.json 2 97d170e
    "#);
    let inside = read(&ui.join(".vercel/output"), Some("ui/v1")).unwrap();
    assert_eq!(lines(&inside), lines(&upload));
    write(folder.path(), &[(".vercelignore", "node_modules/lib")]);
    let without = read(&ui, Some("ui/v1")).unwrap();
    assert!(
        !lines(&without).contains("node_modules") && without.notes[0].contains("which .vercelignore leaves out"),
        "{:?}",
        without.notes
    );
    std::fs::remove_file(folder.path().join(".vercelignore")).unwrap();
    std::fs::remove_dir_all(folder.path().join("node_modules")).unwrap();
    let missing = read(&ui, Some("ui/v1")).unwrap_err();
    assert!(matches!(&missing, FilesError::MissingFile { file, .. } if file == "node_modules/lib/index.js"), "{missing}");
}

#[test]
fn the_mark_is_served_before_routes_that_would_swallow_it() {
    let config = |routes: &str| {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(r#"{{"version": 3, "routes": {routes}}}"#);
        write(folder.path(), &[("config.json", &text), ("static/index.html", "")]);
        let upload = read(folder.path(), None).unwrap();
        let entry = upload.entries.iter().find(|entry| entry.file.ends_with("output/config.json")).unwrap();
        match &entry.content {
            Content::Memory(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => "as it was".to_owned(),
        }
    };
    for swallows in [
        r#"[{"src": "/(.*)", "dest": "/index.html"}]"#,
        r#"[{"src": "^(?:/(.*))$", "status": 308, "headers": {"Location": "/x/$1"}}]"#,
        r#"[{"src": "/api|/.*", "dest": "/x"}]"#,
        r#"[{"src": "/\\.well-known/.*", "dest": "/x"}]"#,
        r#"[{"src": "/.*", "continue": true, "middlewarePath": "middleware"}]"#,
    ] {
        assert!(
            config(swallows).contains(r#""routes":[{"src":"^/\\.well-known/cutover\\.json$","dest":"/.well-known/cutover.json"}"#),
            "{swallows}"
        );
    }
    for harmless in [
        r#"[{"handle": "filesystem"}, {"src": "/(.*)", "dest": "/index.html"}]"#,
        r#"[{"src": "/(.*)", "headers": {"x": "y"}, "continue": true}]"#,
        r#"[{"src": "^/old$", "status": 308, "headers": {"Location": "/new"}}]"#,
        r#"[{"src": "/api/(.*)", "dest": "/api"}]"#,
    ] {
        assert_eq!(config(harmless), "as it was", "{harmless}");
    }
}

#[test]
fn what_cannot_be_uploaded_is_refused_by_name() {
    let refused = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), files);
        let text = read(folder.path(), None).unwrap_err().to_string();
        text.replace(folder.path().to_str().unwrap(), "[SITE]")
    };
    let built = ("config.json", r#"{"version": 3}"#);
    let said = [
        refused(&[(".gitignore", "")]),
        refused(&[(".vercelignore", ""), (".nowignore", ""), ("a", "")]),
        refused(&[built, ("static/a", ""), ("builds.json", r#"{"error": {"message": "exit code 1"}}"#)]),
        refused(&[built, ("static/a", ""), ("builds.json", r#"{"target": "preview"}"#)]),
        refused(&[(".vercel/output/config.json", r#"{"version": 2}"#)]),
        refused(&[built, ("functions/a.func/.vc-config.json", "{")]),
    ];
    insta::assert_snapshot!(said.join("\n"), @"
    [SITE] holds no file to serve
    [SITE] has both .vercelignore and .nowignore: remove one of them
    [SITE]/builds.json says that the build failed: exit code 1
    [SITE]/builds.json was built for preview, not for production: build it with `vercel build --prod`
    [SITE]/.vercel/output/config.json is not valid: its version is not 3
    [SITE]/functions/a.func/.vc-config.json is not valid: EOF while parsing an object at line 1 column 1
    ");
    let nowhere = read(Path::new("/nowhere/at/all"), None).unwrap_err();
    assert!(matches!(nowhere, FilesError::Unreadable { .. }), "{nowhere}");
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), &[("secret", "s")]);
    for (built, link) in [(false, outside.path().join("secret")), (true, "../../../secret".into()), (true, outside.path().join("secret"))] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("static/index.html", "")]);
        if built {
            write(folder.path(), &[("config.json", r#"{"version": 3}"#)]);
        }
        symlink(&link, folder.path().join("static/out")).unwrap();
        let error = read(folder.path(), None).unwrap_err();
        assert!(matches!(error, FilesError::LinkLeavesTree { .. }), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("index.html", "")]);
    symlink(".", folder.path().join("again")).unwrap();
    assert!(matches!(read(folder.path(), None).unwrap_err(), FilesError::LinkLeavesTree { .. }));
}
