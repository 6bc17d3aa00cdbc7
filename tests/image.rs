//! Images and directories: builders' command lines, archives, stand-ins, and the push to a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use cutover::clock::Clock;
use cutover::event::{EventKind, Events};
use cutover::gate::gate_environment;
use cutover::http::{Network, Transport};
use cutover::id::{Chance, Name};
use cutover::image::{
    ArchiveError, BuildContext, BuildError, BuildFiles, BuildPlan, Builder, Digest, DirectoryArtifact, DirectoryError, Found, ImageArchive,
    Login, NoBuilder, Registry, RegistryError, STAND_IN_LABEL, build, choose, detect, normalise, stand_in,
};
use cutover::manifest;
use cutover::mask::{Masker, Secret};
use cutover::shutdown::{Level, Shutdown};
use flate2::read::GzDecoder;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

// ---------------------------------------------------------------------------------------------------------------------------- directories

#[test]
fn a_directory_is_named_by_its_files_their_modes_and_their_names() {
    let make = |extra: &dyn Fn(&Path)| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::create_dir_all(path.join("a b/ünï")).unwrap();
        std::fs::create_dir_all(path.join(".git")).unwrap();
        std::fs::write(path.join(".git/HEAD"), path.to_str().unwrap()).unwrap();
        std::fs::write(path.join("a b/ünï/ß.txt"), "one").unwrap();
        std::fs::write(path.join("run.sh"), "two").unwrap();
        std::os::unix::fs::symlink("a b/ünï/ß.txt", path.join("link")).unwrap();
        extra(path);
        DirectoryArtifact::read(path).unwrap()
    };
    let plain = make(&|_| {});
    assert_eq!(
        plain.files.iter().map(|file| (file.path.as_str(), file.kind.mode())).collect::<Vec<_>>(),
        [("a b/ünï/ß.txt", "100644"), ("link", "120000"), ("run.sh", "100644"),]
    );
    assert_eq!(plain.digest, make(&|path| std::fs::create_dir(path.join("empty")).unwrap()).digest);
    let executable = make(&|path| std::fs::set_permissions(path.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap());
    let renamed = make(&|path| std::fs::rename(path.join("run.sh"), path.join("ran.sh")).unwrap());
    let changed = make(&|path| std::fs::write(path.join("run.sh"), "TWO").unwrap());
    let hidden = make(&|path| std::fs::write(path.join(".hidden"), "").unwrap());
    let digests: BTreeSet<_> = [&plain, &executable, &renamed, &changed, &hidden].map(|one| one.digest.clone()).into();
    assert_eq!(digests.len(), 5);
}

#[test]
fn what_would_ship_something_else_than_it_shows_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused = || DirectoryArtifact::read(directory.path()).unwrap_err();
    assert!(matches!(DirectoryArtifact::read(&directory.path().join("no")), Err(DirectoryError::Missing(_))));
    assert!(matches!(refused(), DirectoryError::Empty(_)));
    let link = directory.path().join("link");
    for target in ["/etc/passwd", "../outside", "nowhere", "sub/../../x"] {
        std::os::unix::fs::symlink(target, &link).unwrap();
        assert!(matches!(refused(), DirectoryError::Escapes { .. }), "{target}");
        std::fs::remove_file(&link).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(&link).unwrap();
    assert!(matches!(refused(), DirectoryError::Special(_)));
}

// ------------------------------------------------------------------------------------------------------------------------------- builders

fn plan(context: &Path) -> BuildPlan {
    let image = manifest::Image {
        context: ".".into(),
        dockerfile: Some("docker/web.Dockerfile".into()),
        target: Some("final".to_owned()),
        args: [("MODE".to_owned(), "a b".to_owned())].into_iter().collect(),
        secrets: vec!["NPM_TOKEN".to_owned()],
        max_size: None,
        needs: Vec::new(),
    };
    let secret = |_: &str| Some(Secret::new("npm-s3cret"));
    BuildPlan::new(&name("web"), &image, context, "0123abc", Some("https://example.com/a/b"), secret).unwrap()
}

const SAME_FOR_ALL: &str = "--file|/src/docker/web.Dockerfile|--target|final|--build-arg|MODE=a b|--secret|id=NPM_TOKEN,env=NPM_TOKEN|\
                            --label|org.opencontainers.image.revision=0123abc|\
                            --label|org.opencontainers.image.source=https://example.com/a/b|/src/.";

#[test]
fn builders_are_given_words_never_secrets() {
    let files = BuildFiles { archive: "/out/built.tar".into(), id: "/out/id".into() };
    let builders = [Builder::BuildxArchive, Builder::BuildxLoad, Builder::EngineBuildKit, Builder::EngineLegacy, Builder::Buildah];
    let mut shown = String::new();
    for builder in builders {
        for words in [Some(builder.build(&plan(Path::new("/src")), &files)), builder.save("sha256:1", &files)].into_iter().flatten() {
            let variables: Vec<_> = words.variables.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let line = format!("{} {} {}\n", variables.join(" "), words.program, words.words.join("|"));
            shown.push_str(line.replace(SAME_FOR_ALL, "[SAME FOR ALL]").trim_start());
        }
    }
    assert!(!shown.contains("npm-s3cret"));
    insta::assert_snapshot!(shown, @r"
    docker buildx|build|--progress=plain|--provenance=false|--platform=linux/amd64|--output=type=oci,dest=/out/built.tar|[SAME FOR ALL]
    docker buildx|build|--progress=plain|--provenance=false|--platform=linux/amd64|--load|--iidfile=/out/id|[SAME FOR ALL]
    docker save|--output|/out/built.tar|sha256:1
    DOCKER_BUILDKIT=1 docker build|--progress=plain|--platform=linux/amd64|--iidfile=/out/id|[SAME FOR ALL]
    docker save|--output|/out/built.tar|sha256:1
    DOCKER_BUILDKIT=0 docker build|--force-rm|--iidfile=/out/id|[SAME FOR ALL]
    docker save|--output|/out/built.tar|sha256:1
    buildah build|--layers|--format=oci|--platform=linux/amd64|--iidfile=/out/id|[SAME FOR ALL]
    buildah push|sha256:1|oci-archive:/out/built.tar
    ");
}

#[test]
fn a_build_secret_that_is_not_set_is_named() {
    let image = manifest::Image {
        context: ".".into(),
        dockerfile: None,
        target: None,
        args: indexmap::IndexMap::new(),
        secrets: vec!["NPM_TOKEN".to_owned()],
        max_size: None,
        needs: Vec::new(),
    };
    for value in [None, Some("")] {
        let missing = BuildPlan::new(&name("web"), &image, Path::new("/src"), "0", None, |_| value.map(Secret::new)).unwrap_err();
        assert_eq!(missing.to_string(), "the build secret NPM_TOKEN of the image web is not set");
    }
}

#[test]
fn the_builder_is_the_best_that_is_there() {
    let found = |buildx: Option<&str>, engine, client, containerd_store, buildah| Found {
        buildx_driver: buildx.map(str::to_owned),
        engine,
        client_major: client,
        containerd_store,
        buildah,
    };
    let cases = [
        (found(Some("docker"), true, Some(28), true, true), false, Ok(Builder::BuildxArchive)),
        (found(Some("docker"), true, Some(28), false, true), true, Ok(Builder::BuildxLoad)),
        (found(Some("docker-container"), true, Some(28), false, false), false, Ok(Builder::BuildxArchive)),
        (found(Some("remote"), false, Some(28), false, false), false, Ok(Builder::BuildxArchive)),
        (found(Some("docker"), false, Some(28), false, true), false, Ok(Builder::Buildah)),
        (found(None, true, Some(20), false, true), true, Ok(Builder::EngineBuildKit)),
        (found(None, true, Some(28), false, true), false, Ok(Builder::EngineLegacy)),
        (found(None, true, Some(28), false, true), true, Ok(Builder::Buildah)),
        (found(None, true, Some(28), false, false), true, Err(NoBuilder::NoSecrets)),
        (found(None, false, None, false, false), false, Err(NoBuilder::None)),
    ];
    for (found, secrets, expected) in cases {
        assert_eq!(choose(&found, secrets), expected, "{found:?}");
    }
}

/// A directory with a stand-in for the Docker client in it, which answers as `script` says.
fn client(script: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker");
    std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn context(client: &Path) -> (BuildContext, tokio::sync::mpsc::UnboundedReceiver<cutover::event::Event>) {
    let (events, receiver) = Events::channel(Clock::system());
    let path = format!("{}:/usr/bin:/bin", client.display());
    let environment = gate_environment([("PATH".into(), path.into())], &BTreeSet::new());
    (BuildContext { events, shutdown: Shutdown::default(), masker: Masker::new(), environment }, receiver)
}

#[tokio::test]
async fn what_is_there_is_asked_of_the_clients() {
    let client = client(
        r#"case "$*" in
          version*) echo "28.2.2 26.1.5" ;;
          "buildx inspect") printf 'Name:   default\nDriver: docker\n' ;;
          info*) echo 'overlayfs [["driver-type","io.containerd.snapshotter.v1"]]' ;;
        esac"#,
    );
    let (context, _receiver) = context(client.path());
    let found = detect(&context.environment, &context.masker, &context.shutdown).await;
    assert_eq!(found.buildx_driver.as_deref(), Some("docker"));
    assert_eq!((found.engine, found.client_major, found.containerd_store), (true, Some(28), true));
    let none = tempfile::tempdir().unwrap();
    let (context, _receiver) = self::context(none.path());
    let environment = context.environment.with("PATH", none.path());
    assert_eq!(detect(&environment, &context.masker, &context.shutdown).await, Found::default());
}

#[tokio::test]
async fn a_build_is_told_line_by_line_and_leaves_one_archive() {
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir(source.path().join("docker")).unwrap();
    std::fs::write(source.path().join("docker/web.Dockerfile"), "FROM scratch\n").unwrap();
    saved(&source.path().join("engine.tar"), b"layer one");
    let client = client(
        r#"case "$1" in
          buildx) echo "token is $NPM_TOKEN"; for word in "$@"; do case "$word" in --iidfile=*) echo sha256:abc > "${word#*=}";; esac; done ;;
          save) [ "$4" = sha256:abc ] && cp engine.tar "$3" ;;
        esac"#,
    );
    let (context, mut events) = context(client.path());
    let out = tempfile::tempdir().unwrap();
    let destination = out.path().join("images/web.tar");
    let artifact = build(&plan(source.path()), Some(Builder::BuildxLoad), &destination, &context).await.unwrap();
    assert_eq!(ImageArchive::open(&destination).unwrap(), artifact.archive);
    assert_eq!(std::fs::read_dir(destination.parent().unwrap()).unwrap().count(), 1);
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        told.push(match event.kind {
            EventKind::BuildStarted { image, builder } => format!("{image} {builder}"),
            EventKind::BuildLine { line, .. } => line,
            EventKind::BuildFinished { result, size, .. } => {
                assert_eq!(result.as_deref(), Ok(artifact.archive.digest.as_str()));
                format!("{}", size.unwrap() == artifact.archive.size())
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(told, ["web buildx", "token is ***", "true"]);

    let small = BuildPlan { max_size: Some(10), ..plan(source.path()) };
    let second = out.path().join("small.tar");
    assert!(matches!(build(&small, Some(Builder::BuildxLoad), &second, &context).await, Err(BuildError::TooLarge { limit: 10, .. })));
    assert!(!second.exists());
}

#[tokio::test]
async fn a_build_that_fails_says_how_and_leaves_nothing() {
    let source = tempfile::tempdir().unwrap();
    let client = client("echo 'ERROR: failed to solve: exit code: 3' >&2; exit 1");
    let (context, _events) = context(client.path());
    let out = tempfile::tempdir().unwrap();
    let destination = out.path().join("web.tar");
    let missing = build(&plan(source.path()), Some(Builder::BuildxArchive), &destination, &context).await.unwrap_err();
    assert!(matches!(missing, BuildError::Missing { what: "the Dockerfile", .. }));
    std::fs::create_dir(source.path().join("docker")).unwrap();
    std::fs::write(source.path().join("docker/web.Dockerfile"), "FROM scratch\n").unwrap();
    let failed = build(&plan(source.path()), Some(Builder::BuildxArchive), &destination, &context).await.unwrap_err();
    assert_eq!(failed.to_string(), "buildx failed with exit code 1: ERROR: failed to solve: exit code: 3");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn with_a_real_engine_an_image_is_built() {
    if std::env::var_os("CUTOVER_TEST_ENGINE").is_none() {
        // Loud in the output of `cargo test -- --nocapture`; the check that has an engine sets the variable.
        let _ = writeln!(std::io::stderr(), "SKIPPED with_a_real_engine_an_image_is_built: CUTOVER_TEST_ENGINE is not set");
        return;
    }
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("Dockerfile"), "FROM scratch\nCOPY file /file\n").unwrap();
    std::fs::write(source.path().join("file"), "content").unwrap();
    let (events, _receiver) = Events::channel(Clock::system());
    let environment = gate_environment(std::env::vars_os(), &BTreeSet::new());
    let context = BuildContext { events, shutdown: Shutdown::default(), masker: Masker::new(), environment };
    let found = detect(&context.environment, &context.masker, &context.shutdown).await;
    let builder = choose(&found, false).unwrap();
    let plan = BuildPlan { dockerfile: None, target: None, secrets: BTreeMap::new(), ..plan(source.path()) };
    let artifact = build(&plan, Some(builder), &source.path().join("out.tar"), &context).await.unwrap();
    assert_eq!(artifact.archive.labels["org.opencontainers.image.revision"], "0123abc");
    assert!(!artifact.archive.layers.is_empty());
}

// ------------------------------------------------------------------------------------------------------------------------------- archives

/// Writes a tar of these files; a content of `->x` is a symbolic link to `x`.
fn tar_of(path: &Path, files: &[(&str, &[u8])]) {
    let mut tar = tar::Builder::new(std::fs::File::create(path).unwrap());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_mtime(1_700_000_000);
        if let Some(target) = content.strip_prefix(b"->") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, name, std::str::from_utf8(target).unwrap()).unwrap();
        } else {
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, *content).unwrap();
        }
    }
    tar.finish().unwrap();
}

const CONFIGURATION: &str =
    r#"{"architecture":"amd64","os":"linux","config":{"Labels":{"a":"b"}},"rootfs":{"type":"layers","diff_ids":[]}}"#;

/// Writes what `docker save` of an engine before 25 writes: two layers, of which the second links to the first.
fn saved(path: &Path, layer: &[u8]) {
    let config = format!("{}.json", Digest::of(CONFIGURATION.as_bytes()).hex());
    let manifest = json!([{ "Config": config, "RepoTags": null, "Layers": ["aa/layer.tar", "bb/layer.tar"] }]).to_string();
    tar_of(
        path,
        &[
            ("aa/layer.tar", layer),
            ("bb/layer.tar", b"->../aa/layer.tar"),
            (&config, CONFIGURATION.as_bytes()),
            ("manifest.json", manifest.as_bytes()),
        ],
    );
}

/// The files of an OCI layout with one layer, an index inside the index, and an attestation beside the image.
pub(crate) fn layout(layer: &[u8], layer_type: &str) -> (Vec<(String, Vec<u8>)>, String) {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(CONFIGURATION.as_bytes()), "size": CONFIGURATION.len() },
        "layers": [{ "mediaType": layer_type, "digest": digest(layer), "size": layer.len() }],
    })
    .to_string();
    let descriptor = |digest: String, size: usize, os: &str| {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        json!({ "mediaType": media_type, "digest": digest, "size": size, "platform": { "os": os, "architecture": if os == "linux" { "amd64" } else { "unknown" } } })
    };
    let attestation = b"{}".to_vec();
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor(digest(manifest.as_bytes()), manifest.len(), "linux"), descriptor(digest(&attestation), 2, "unknown")] })
        .to_string();
    let outer = json!({ "schemaVersion": 2, "manifests": [{ "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest(index.as_bytes()), "size": index.len() }] })
        .to_string();
    let mut files: Vec<(String, Vec<u8>)> =
        [CONFIGURATION.into(), layer.to_vec(), manifest.clone().into_bytes(), index.into_bytes(), attestation]
            .into_iter()
            .map(|content: Vec<u8>| (format!("blobs/sha256/{}", Digest::of(&content).hex()), content))
            .collect();
    files.push(("index.json".to_owned(), outer.into_bytes()));
    files.push(("oci-layout".to_owned(), b"{}".to_vec()));
    (files, digest(manifest.as_bytes()))
}

pub(crate) fn write_layout(path: &Path, files: &[(String, Vec<u8>)]) {
    tar_of(path, &files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect::<Vec<_>>());
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

fn content_of(archive: &ImageArchive, blob: &cutover::image::Blob) -> Vec<u8> {
    let bytes = std::fs::read(&archive.path).unwrap();
    bytes[blob.offset as usize..][..blob.size as usize].to_vec()
}

#[test]
fn a_saved_image_gets_one_manifest_and_always_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let at = |file: &str| directory.path().join(file);
    let layer: Vec<u8> = (0..60_000_u32).flat_map(u32::to_le_bytes).collect();
    saved(&at("saved.tar"), &layer);
    let first = normalise(&at("saved.tar"), &at("first.tar")).unwrap();
    let second = normalise(&at("saved.tar"), &at("second.tar")).unwrap();
    assert_eq!(first.digest, second.digest);
    assert_eq!(std::fs::read(at("first.tar")).unwrap(), std::fs::read(at("second.tar")).unwrap());
    assert_eq!(first.labels, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    assert_eq!((first.layers.len(), first.blobs().len()), (2, 2));
    assert_eq!(content_of(&first, &first.config), CONFIGURATION.as_bytes());
    let packed = content_of(&first, &first.layers[0]);
    assert_eq!(Digest::of(&packed), first.layers[0].digest);
    let mut plain = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut plain).unwrap();
    assert_eq!(plain, layer);
    assert_eq!(first.size(), first.layers.iter().map(|layer| layer.size).sum::<u64>() + CONFIGURATION.len() as u64);
    // Our own form is a form that is known.
    assert_eq!(normalise(&at("first.tar"), &at("again.tar")).unwrap().digest, first.digest);
}

#[test]
fn an_oci_layout_keeps_its_manifest_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let at = |file: &str| directory.path().join(file);
    let (files, expected) = layout(&gzip(b"layer"), "application/vnd.oci.image.layer.v1.tar+gzip");
    write_layout(&at("oci.tar"), &files);
    assert_eq!(normalise(&at("oci.tar"), &at("out.tar")).unwrap().digest.as_str(), expected);

    // What `docker save` of engine 25 and later writes from the classic store: a layout with plain layers.
    let (files, plain) = layout(b"layer", "application/vnd.oci.image.layer.v1.tar");
    write_layout(&at("plain.tar"), &files);
    let archive = normalise(&at("plain.tar"), &at("out.tar")).unwrap();
    assert_ne!(archive.digest.as_str(), plain);
    assert_eq!(archive.layers[0].media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
}

#[test]
fn a_damaged_archive_is_refused_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from.tar"), directory.path().join("out/to.tar"));
    let (mut files, _) = layout(&gzip(b"layer"), "application/vnd.oci.image.layer.v1.tar+gzip");
    files[1].1[9] ^= 1;
    write_layout(&from, &files);
    assert!(matches!(normalise(&from, &to), Err(ArchiveError::Damaged { .. })));
    files.remove(1);
    write_layout(&from, &files);
    insta::with_settings!({filters => vec![(directory.path().to_str().unwrap(), "[DIR]"), ("[0-9a-f]{64}", "[HEX]")]}, {
        insta::assert_snapshot!(normalise(&from, &to).unwrap_err(), @"[DIR]/from.tar is no image archive: blobs/sha256/[HEX] is missing");
    });
    tar_of(&from, &[("readme", b"hello")]);
    assert!(matches!(normalise(&from, &to), Err(ArchiveError::NotAnImage { .. })));
    std::fs::write(&from, b"no tar at all, but long enough to be looked at".repeat(40)).unwrap();
    assert!(matches!(normalise(&from, &to), Err(ArchiveError::NotAnImage { .. })));
    assert!(matches!(normalise(Path::new("/no/file"), &to), Err(ArchiveError::Io { .. })));
    assert!(!to.exists());
}

#[test]
fn a_stand_in_says_that_it_is_one_and_follows_the_content() {
    let source = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| std::fs::write(source.path().join(file), text).unwrap();
    std::fs::create_dir(source.path().join("skipped")).unwrap();
    write("main.rs", "fn main() {}");
    write(".dockerignore", "# no\nskipped\n**/*.log\n!keep.log\n");
    let out = tempfile::tempdir().unwrap();
    let made = || stand_in(&plan(source.path()), &out.path().join("image.tar")).unwrap();
    let first = made();
    assert!(first.is_stand_in() && first.labels.contains_key(STAND_IN_LABEL));
    assert_eq!(first.labels["org.opencontainers.image.revision"], "0123abc");
    write("skipped/file", "x");
    write("noise.log", "x");
    assert_eq!(made().digest, first.digest);
    write("keep.log", "x");
    let second = made();
    assert_ne!(second.digest, first.digest);
    write("main.rs", "fn main() { }");
    assert_ne!(made().digest, second.digest);
}

// ------------------------------------------------------------------------------------------------------------------------------- registry

/// A registry as a state machine: what it holds, what it was asked, how it misbehaves.
#[derive(Default)]
struct State_ {
    blobs: BTreeMap<String, Bytes>,
    manifests: BTreeMap<String, (Bytes, String)>,
    uploads: u32,
    asked: Vec<String>,
    /// `basic`, `bearer` or nothing.
    auth: &'static str,
    /// Answers to blob uploads that are lost after the effect.
    lose_answers: u32,
    /// Uploads that break off before the effect.
    break_uploads: u32,
    /// How often a manifest that is there is not seen.
    hide_manifest: u32,
    /// Confirms this digest instead of the real one.
    lie: Option<String>,
    /// Answers every upload so.
    refuse: Option<(u16, &'static str)>,
}

type Held = Arc<Mutex<State_>>;

struct TestRegistry {
    host: String,
    state: Held,
    serving: tokio::task::JoinHandle<()>,
}

impl TestRegistry {
    async fn start(state: State_) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(state));
        let app = axum::Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state((Arc::clone(&state), host.clone()));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { host, state, serving }
    }

    fn client(&self) -> Registry {
        let transport = Transport::new(Arc::new(Network::new(Vec::new()).unwrap()), Clock::system(), Arc::new(Chance::seeded(1)));
        let login = Login { user: "x".to_owned(), secret: Secret::new("s3cret") };
        Registry::new(transport, &self.host, Some(login)).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State((state, host)): State<(Held, String)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let mut state = state.lock().unwrap();
    let kind = path.strip_prefix("/v2/team/app/").unwrap_or(&path).split('/').next().unwrap_or_default().to_owned();
    state.asked.push(format!("{} {kind}", parts.method));
    if let Some(refusal) = unauthorized(&state, &parts.headers, &path, &host) {
        return refusal;
    }
    if path == "/token" {
        assert_eq!(query["scope"], "repository:team/app:pull,push");
        return axum::Json(json!({ "access_token": "t0ken", "expires_in": 60 })).into_response();
    }
    if let Some((status, code)) = state.refuse.filter(|_| parts.method == Method::POST) {
        let body = json!({ "errors": [{ "code": code, "message": "no" }] });
        return (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response();
    }
    let rest = path.strip_prefix("/v2/team/app/").unwrap_or_default().to_owned();
    match (parts.method.as_str(), rest.split_once('/').unwrap_or_default()) {
        ("HEAD", ("blobs", digest)) => found(state.blobs.contains_key(digest)),
        ("POST", ("blobs", "uploads/")) => {
            state.uploads += 1;
            let place = format!("/v2/team/app/blobs/uploads/{}?state=x", state.uploads);
            (StatusCode::ACCEPTED, [("location", place)]).into_response()
        }
        ("PUT", ("blobs", _)) => put_blob(&mut state, &query, body),
        ("PUT", ("manifests", tag)) => put_manifest(&mut state, tag, &parts.headers, body),
        ("HEAD", ("manifests", reference)) => {
            assert!(parts.headers["accept"].to_str().unwrap().contains("application/vnd.oci.image.index.v1+json"));
            let known = state.manifests.contains_key(reference);
            if known && state.hide_manifest > 0 {
                state.hide_manifest -= 1;
                return found(false);
            }
            let shown = state.lie.clone().unwrap_or_else(|| reference.to_owned());
            if known { ([("docker-content-digest", shown)]).into_response() } else { found(false) }
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn unauthorized(state: &State_, headers: &HeaderMap, path: &str, host: &str) -> Option<Response> {
    let basic = "Basic eDpzM2NyZXQ=";
    let (wanted, challenge) = match (state.auth, path) {
        ("basic", _) | ("bearer", "/token") => (basic, "Basic realm=\"test\"".to_owned()),
        ("bearer", _) => ("Bearer t0ken", format!("Bearer realm=\"http://{host}/token\",service=\"test, of course\",scope=\"x:y:z\"")),
        _ => return None,
    };
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    (given != Some(wanted)).then(|| (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response())
}

fn put_blob(state: &mut State_, query: &BTreeMap<String, String>, body: Bytes) -> Response {
    assert_eq!(query["state"], "x");
    if state.break_uploads > 0 {
        state.break_uploads -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    assert_eq!(query["digest"], digest(&body));
    state.blobs.insert(query["digest"].clone(), body);
    if state.lose_answers > 0 {
        state.lose_answers -= 1;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    StatusCode::CREATED.into_response()
}

fn put_manifest(state: &mut State_, tag: &str, headers: &HeaderMap, body: Bytes) -> Response {
    let document: Value = serde_json::from_slice(&body).unwrap();
    let needed = document["layers"].as_array().unwrap().iter().chain([&document["config"]]);
    assert!(needed.into_iter().all(|blob| state.blobs.contains_key(blob["digest"].as_str().unwrap())));
    let digest = digest(&body);
    let media_type = headers["content-type"].to_str().unwrap().to_owned();
    assert_eq!(document["mediaType"], media_type);
    state.manifests.insert(tag.to_owned(), (body.clone(), media_type.clone()));
    state.manifests.insert(digest.clone(), (body, media_type));
    (StatusCode::CREATED, [("docker-content-digest", state.lie.clone().unwrap_or(digest))]).into_response()
}

fn found(is: bool) -> Response {
    if is { StatusCode::OK } else { StatusCode::NOT_FOUND }.into_response()
}

fn archive() -> (tempfile::TempDir, ImageArchive) {
    let directory = tempfile::tempdir().unwrap();
    let layer: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    saved(&directory.path().join("saved.tar"), &layer);
    let archive = normalise(&directory.path().join("saved.tar"), &directory.path().join("image.tar")).unwrap();
    (directory, archive)
}

async fn push(registry: &TestRegistry, archive: &ImageArchive) -> Result<cutover::image::Pushed, RegistryError> {
    registry.client().push("team/app", "r-1", archive, &Shutdown::default(), &|_| {}).await
}

#[tokio::test]
async fn an_image_is_pushed_blob_by_blob_and_confirmed() {
    let (_directory, archive) = archive();
    for auth in ["", "basic", "bearer"] {
        let registry = TestRegistry::start(State_ { auth, ..State_::default() }).await;
        let pushed = push(&registry, &archive).await.unwrap();
        assert_eq!(pushed.reference, format!("{}/team/app@{}", registry.host, archive.digest));
        assert_eq!(pushed.sent, archive.layers[0].size + archive.config.size);
        {
            let state = registry.state.lock().unwrap();
            assert_eq!(state.manifests["r-1"].0, archive.manifest);
            assert_eq!(state.blobs.len(), 2);
        }
        registry.asked();
        // Again: nothing is sent but the manifest, under its tag.
        assert_eq!(push(&registry, &archive).await.unwrap().sent, 0);
        assert!(registry.asked().iter().all(|asked| !asked.contains("blobs")));
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_looked_up_and_begun_anew() {
    let (_directory, archive) = archive();
    let registry = TestRegistry::start(State_ { lose_answers: 1, break_uploads: 1, hide_manifest: 1, ..State_::default() }).await;
    let pushed = push(&registry, &archive).await.unwrap();
    assert_eq!(pushed.digest, archive.digest);
    let puts = registry.asked().iter().filter(|asked| *asked == "PUT blobs").count();
    assert_eq!(puts, 3, "two blobs, and one of them a second time; an answer that was lost repeats nothing");
    let registry = TestRegistry::start(State_ { break_uploads: 100, ..State_::default() }).await;
    assert!(matches!(push(&registry, &archive).await, Err(RegistryError::Unexpected { operation: "put_blob", status: 503, .. })));
}

#[tokio::test]
async fn what_a_registry_refuses_has_a_name() {
    let (_directory, archive) = archive();
    let refused = async |status, code| {
        let registry = TestRegistry::start(State_ { refuse: Some((status, code)), ..State_::default() }).await;
        push(&registry, &archive).await.unwrap_err()
    };
    assert!(matches!(refused(403, "DENIED").await, RegistryError::Denied { .. }));
    assert!(matches!(refused(404, "NAME_UNKNOWN").await, RegistryError::NoRepository { .. }));
    assert!(matches!(refused(400, "TAG_INVALID").await, RegistryError::Unexpected { status: 400, .. }));

    let registry = TestRegistry::start(State_ { auth: "basic", ..State_::default() }).await;
    let transport = Transport::new(Arc::new(Network::new(Vec::new()).unwrap()), Clock::system(), Arc::new(Chance::seeded(1)));
    let wrong = Login { user: "me".to_owned(), secret: Secret::new("wr0ng") };
    for (login, expected) in [(None, ""), (Some(wrong), " of user me")] {
        let client = Registry::new(transport.clone(), &registry.host, login).unwrap();
        let error = client.push("team/app", "r-1", &archive, &Shutdown::default(), &|_| {}).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} does not accept the login{expected} for team/app", registry.host)), "{error}");
    }
}

#[tokio::test]
async fn another_digest_is_never_accepted() {
    let (_directory, archive) = archive();
    let registry = TestRegistry::start(State_ { lie: Some(digest(b"other")), ..State_::default() }).await;
    assert!(matches!(push(&registry, &archive).await, Err(RegistryError::Mismatch { .. })));
}

#[tokio::test]
async fn a_cancelled_push_puts_no_manifest() {
    let (_directory, archive) = archive();
    let registry = TestRegistry::start(State_::default()).await;
    let shutdown = Shutdown::default();
    shutdown.raise(Level::Drain);
    let cancelled = registry.client().push("team/app", "r-1", &archive, &shutdown, &|_| {}).await;
    assert!(matches!(cancelled, Err(RegistryError::Cancelled)));
    assert!(registry.state.lock().unwrap().manifests.is_empty());
}

#[test]
fn registries_are_named_as_in_references() {
    let transport = Transport::new(Arc::new(Network::new(Vec::new()).unwrap()), Clock::system(), Arc::new(Chance::seeded(1)));
    for (given, host) in
        [("registry.fly.io", "registry.fly.io"), ("127.0.0.1:5000", "127.0.0.1:5000"), ("http://localhost:1", "localhost:1")]
    {
        assert_eq!(Registry::new(transport.clone(), given, None).unwrap().host(), host);
    }
    assert!(Registry::new(transport, "not a host", None).is_err());
    assert_eq!(Login::fly(&Secret::new("FlyV1 fm2_a,fm2_b\n")).secret.expose(), "fm2_a,fm2_b");
}

#[tokio::test]
async fn an_image_is_pushed_to_the_embedded_registry_as_to_flys() {
    use cutover::embedded::registry::Registry as Embedded;
    use cutover::embedded::{World, fly};
    let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
    let world = World::in_process(clock, Chance::seeded(7));
    let embedded = Embedded::add_to(&world).unwrap();
    let fly = fly::Fly::add_to(&world, &embedded, fly::Switches::default());
    fly.seed_token("FlyV1 fm2_org", &fly::Scope::Org("acme".into()), "ci@example.com");
    fly.seed_app("autoswe", "acme", &[]);
    let transport = Transport::new(Arc::new(crate::support::wire::InProcess::new(world.clone())), clock, Arc::new(Chance::seeded(1)));
    let registry = Registry::new(transport, "registry.fly.io", Some(Login::fly(&Secret::new("FlyV1 fm2_org")))).unwrap();
    let (_directory, archive) = archive();
    let pushed = registry.push("autoswe", "r-1", &archive, &Shutdown::default(), &|_| {}).await.unwrap();
    assert_eq!(pushed.reference, format!("registry.fly.io/autoswe@{}", archive.digest));
    assert_eq!(embedded.find("autoswe", "r-1").as_deref(), Some(archive.digest.as_str()));
    assert_eq!(registry.push("autoswe", "r-1", &archive, &Shutdown::default(), &|_| {}).await.unwrap().sent, 0);
}

/// A registry that mounts nothing: what is asked to be mounted is begun as an upload.
#[derive(Debug)]
struct MountsNothing(crate::support::wire::InProcess);

impl cutover::http::Wire for MountsNothing {
    fn send<'a>(
        &'a self,
        call: &'a cutover::http::Call,
    ) -> futures_util::future::BoxFuture<'a, Result<cutover::http::Answer, cutover::http::WireError>> {
        Box::pin(async move {
            let mut call = call.clone();
            if call.operation == "mount_blob" {
                call.url.set_query(None);
            }
            cutover::http::Wire::send(&self.0, &call).await
        })
    }
}

#[tokio::test]
async fn an_image_is_copied_to_another_app_by_its_digest() {
    use cutover::embedded::registry::Registry as Embedded;
    use cutover::embedded::{World, fly};
    for mounts in [true, false] {
        let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let world = World::in_process(clock, Chance::seeded(7));
        let embedded = Embedded::add_to(&world).unwrap();
        let fly = fly::Fly::add_to(&world, &embedded, fly::Switches::default());
        fly.seed_token("FlyV1 fm2_org", &fly::Scope::Org("acme".into()), "ci@example.com");
        fly.seed_app("staging", "acme", &[]);
        fly.seed_app("live", "acme", &[]);
        let wire = crate::support::wire::InProcess::new(world.clone());
        let wire: Arc<dyn cutover::http::Wire> = if mounts { Arc::new(wire) } else { Arc::new(MountsNothing(wire)) };
        let transport = Transport::new(wire, clock, Arc::new(Chance::seeded(1)));
        let registry = Registry::new(transport, "registry.fly.io", Some(Login::fly(&Secret::new("FlyV1 fm2_org")))).unwrap();
        let (_directory, archive) = archive();
        registry.push("staging", "r-1", &archive, &Shutdown::default(), &|_| {}).await.unwrap();
        let shutdown = Shutdown::default();
        let copy = || registry.copy("staging", "live", &archive.digest, "r-1", &shutdown);
        assert!(copy().await.unwrap(), "mounts: {mounts}");
        assert_eq!(embedded.find("live", "r-1").as_deref(), Some(archive.digest.as_str()));
        assert!(!copy().await.unwrap(), "what is there is not copied again");
        let gone = registry.copy("live", "staging", &Digest::of(b"never pushed"), "r-1", &shutdown).await;
        assert!(matches!(gone, Err(RegistryError::Gone { .. })), "{gone:?}");
    }
}
