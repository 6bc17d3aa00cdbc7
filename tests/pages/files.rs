//! What of a directory is published, by which keys, within which limits.

use std::fs;
use std::path::Path;

use cutover::platform::RevisionDigest;
use cutover::platform::cloudflare::pages::files::{
    Asset, FilesError, LARGEST_FILE, MARK, MOST_CONTENTS, ReadSite, Site, Types, Worker, key_of, pack,
};
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        put(folder.path(), name, content.as_bytes());
    }
    folder
}

fn put(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn read_with(folder: &TempDir, dotfiles: &[&str]) -> Result<Site, FilesError> {
    Site::read_now(&ReadSite {
        directory: folder.path().to_owned(),
        revision: RevisionDigest::from_text("sha256:abc"),
        dotfiles: dotfiles.iter().map(|&one| one.to_owned()).collect(),
    })
}

fn read(folder: &TempDir) -> Result<Site, FilesError> {
    read_with(folder, &[])
}

fn paths(site: &Site) -> Vec<&str> {
    site.assets.iter().map(|asset| asset.path.as_str()).collect()
}

/// Source: the vendor's client's own manifests (cloudflare.md 3.4).
#[test]
fn keys_are_the_vendors() {
    let big: Vec<u8> = (0..4096_u32).map(|at| (at % 251) as u8).collect();
    let cases: [(&str, &[u8], &str); 9] = [
        ("index.html", b"<h1>hello</h1>\n", "f17fd9f85e7289b774b95ae8215bee61"),
        ("Index2.HTML", b"<h1>hello</h1>\n", "fbdaf6d90be0545e93727cb4f38e5c06"),
        ("empty.txt", b"", "f9bc91770fa5e997cbd47fba833629fc"),
        ("README", b"cutover", "ccf5569757daf8f67f2a5a05f56d53f5"),
        ("sub/a.tar.gz", &[0, 1, 2, 0xfd, 0xfe, 0xff], "df19128b28972d3886503de30e6547bc"),
        (".htaccess", b"x", "c89c27f28e24f706b72c408fe1d6537a"),
        ("dot.", b"x", "c89c27f28e24f706b72c408fe1d6537a"),
        (".x.js", b"x", "ea9e7fc45f9fdd08f40eb6325b2502a1"),
        ("big.bin", &big, "195ac2069d48b47f4324d47a4f761975"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, content, key) in cases {
        assert_eq!(key_of(content, name), key, "{name}");
        put(folder.path(), name, content);
    }
    let site = read_with(&folder, &[".htaccess", ".x.js"]).unwrap();
    for (name, _, key) in cases {
        let read = site.assets.iter().find(|asset| asset.path == format!("/{name}")).unwrap();
        assert_eq!(read.key, key, "{name} from the disk");
    }
}

#[test]
fn a_file_that_is_longer_than_a_piece_has_the_key_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..200_001_u32).map(|at| (at % 253) as u8).collect();
    put(folder.path(), "long.bin", &content);
    let site = read(&folder).unwrap();
    let long = site.assets.iter().find(|asset| asset.path == "/long.bin").unwrap();
    assert_eq!((long.key.as_str(), long.size), (key_of(&content, "long.bin").as_str(), 200_001));
}

#[test]
fn what_configures_the_site_and_what_tools_leave_is_not_published_and_no_dotfile_unless_asked() {
    let files = [
        ("index.html", "x"),
        ("_headers", "/*\n  X-A: b\n"),
        ("_redirects", "/a /b 301\n"),
        ("_routes.json", r#"{"version":1,"include":["/*"]}"#),
        ("sub/_headers", "published as it is"),
        ("node_modules/a.js", "x"),
        ("sub/node_modules/a.js", "x"),
        (".git/config", "x"),
        (".env", "TOKEN=secret"),
        (".env.local", "TOKEN=secret"),
        ("sub/.htaccess", "x"),
        (".hidden/page.html", "x"),
        (".well-known/security.txt", "x"),
        ("sp ace.txt", "x"),
    ];
    let site = read(&folder(&files)).unwrap();
    assert_eq!(paths(&site), ["/.well-known/cutover.json", "/.well-known/security.txt", "/index.html", "/sp ace.txt", "/sub/_headers"]);
    assert_eq!(site.headers.as_deref(), Some("/*\n  X-A: b\n"));
    assert_eq!(site.redirects.as_deref(), Some("/a /b 301\n"));
    assert_eq!(site.worker, Worker::None);
    assert!(site.notes.iter().any(|note| note.contains("/.env") && note.contains("dotfiles")), "{:?}", site.notes);
    let asked = read_with(&folder(&files), &[".htaccess"]).unwrap();
    assert!(paths(&asked).contains(&"/sub/.htaccess") && !paths(&asked).contains(&"/.env"), "{:?}", paths(&asked));
}

#[test]
fn the_mark_shows_the_revision_and_replaces_the_sites_own() {
    let site = read(&folder(&[(".well-known/cutover.json", "{}"), ("a.txt", "a")])).unwrap();
    let mark = site.assets.iter().filter(|asset| asset.path == MARK).collect::<Vec<_>>();
    assert_eq!(mark.len(), 1);
    assert_eq!(mark[0].key, key_of(br#"{"revision":"sha256:abc"}"#, MARK));
}

#[test]
fn equal_contents_under_equal_extensions_travel_once() {
    let site = read(&folder(&[("a.txt", "same"), ("b.txt", "same"), ("c.css", "same")])).unwrap();
    let keys: Vec<String> = site.assets.iter().map(|asset| asset.key.clone()).collect();
    assert_eq!(site.assets.len(), 4);
    assert_eq!(site.unique(&keys).len(), 3);
}

#[test]
fn limits_name_the_file() {
    let large = tempfile::tempdir().unwrap();
    put(large.path(), "movie.mp4", b"");
    fs::File::options().write(true).open(large.path().join("movie.mp4")).unwrap().set_len(LARGEST_FILE + 1).unwrap();
    let error = read(&large).unwrap_err().to_string();
    assert!(error.contains("/movie.mp4") && error.contains("25 MiB"), "{error}");
    let site = read(&folder(&[("a.txt", "a"), ("b.txt", "b")])).unwrap();
    assert!(site.within(3).is_ok());
    let error = site.within(2).unwrap_err().to_string();
    assert!(error.contains("3 files") && error.contains("/b.txt"), "{error}");
}

#[test]
fn rules_that_pages_would_ignore_or_not_read_are_refused_with_their_line() {
    let cases = [
        ("_headers", "/a\n  X: y\nhttps://:my-host.pages.dev/*\n  X: y\n", "line 3"),
        ("_headers", "  X: y\n", "before the first path"),
        ("_redirects", "/a /b\n/c /d 418\n", "line 2"),
        ("_redirects", "/a https://example.com/ 200\n", "same site"),
        ("_redirects", "/*/* /b\n", "at most one"),
        ("_routes.json", r#"{"version":2,"include":["/*"]}"#, "version is 2"),
        ("_routes.json", r#"{"version":1,"include":["/api/*","/api/users"]}"#, "covered by /api/*"),
    ];
    for (name, text, expected) in cases {
        let error = read(&folder(&[("index.html", "x"), (name, text)])).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(expected), "{name}: {error}");
    }
    let many: String = (0..101).map(|at| format!("/{at}\n  X: y\n")).collect();
    let error = read(&folder(&[("index.html", "x"), ("_headers", &many)])).unwrap_err().to_string();
    assert!(error.contains("rule 101"), "{error}");
}

#[test]
fn functions_that_nobody_bundled_are_refused_and_a_worker_is_no_file_of_the_site() {
    let error = read(&folder(&[("index.html", "x"), ("functions/a.js", "x")])).unwrap_err();
    assert!(matches!(error, FilesError::Unbundled(_)), "{error}");
    let site = read(&folder(&[("index.html", "x"), ("_worker.js", "export default {}")])).unwrap();
    assert!(matches!(site.worker, Worker::Script(_)));
    assert!(!paths(&site).contains(&"/_worker.js"));
}

#[cfg(unix)]
#[test]
fn links_are_followed_within_the_directory_only() {
    use std::os::unix::fs::symlink;
    let site = folder(&[("pages/a.html", "a")]);
    symlink("pages/a.html", site.path().join("index.html")).unwrap();
    symlink("nowhere", site.path().join("gone.html")).unwrap();
    let read_site = read(&site).unwrap();
    assert_eq!(paths(&read_site), ["/.well-known/cutover.json", "/index.html", "/pages/a.html"]);
    assert!(read_site.notes.iter().any(|note| note.contains("/gone.html")));
    symlink("/etc/hosts", site.path().join("hosts.txt")).unwrap();
    assert!(matches!(read(&site).unwrap_err(), FilesError::LinkLeavesTree { .. }));
}

/// Source: runs of the vendor's client (cloudflare.md 3.6).
#[test]
fn buckets_are_never_more_than_the_vendors_clients() {
    let site = |count: usize, size: u64| -> Vec<Asset> {
        let one = |at: usize| Asset { size, ..Asset::ours(format!("/{at}.txt"), at.to_string().into_bytes()) };
        (0..count).map(one).collect()
    };
    for (count, size, most) in [(100, 4096, 3), (5_000, 4096, 3), (20_000, 4096, 10), (200, 1024 * 1024, 5)] {
        let assets = site(count, size);
        let buckets = pack(assets.iter().collect());
        assert!(buckets.len() <= most, "{count} files: {} buckets", buckets.len());
        assert_eq!(buckets.iter().map(Vec::len).sum::<usize>(), count);
        assert!(buckets.iter().all(|bucket| bucket.len() <= MOST_CONTENTS));
    }
    assert!(pack(Vec::new()).is_empty());
}

#[test]
fn content_types_are_the_vendors() {
    let types = Types::new();
    let cases = [
        ("/a.js", "application/javascript"),
        ("/a.MJS", "application/javascript"),
        ("/favicon.ico", "image/vnd.microsoft.icon"),
        ("/a.map", "application/json"),
        ("/a.ts", "video/mp2t"),
        ("/a.woff2", "font/woff2"),
        ("/a/.htaccess", "application/octet-stream"),
        ("/README", "application/octet-stream"),
        ("/txt", "text/plain"),
        ("/sub/txt", "application/octet-stream"),
    ];
    for (path, kind) in cases {
        assert_eq!(types.of(path), kind, "{path}");
    }
}
