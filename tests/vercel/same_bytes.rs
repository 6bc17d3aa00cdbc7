//! Fetched back from the public address, a site is the same bytes in every form in which it can be sent.

use std::collections::BTreeMap;
use std::path::Path;

use cutover::embedded::in_process;
use cutover::event::Phase;
use cutover::id::Chance;
use cutover::platform::{Artifact, Target};

use super::{Scene, wanted, write};

/// How many files are asked for again.
const ASKED: usize = 200;

/// A site of 700 files: pages of a few bytes and of 200 KB, empty ones, names with spaces, letters of the world and signs, seven levels deep.
fn generated(chance: &Chance) -> BTreeMap<String, Vec<u8>> {
    let parts = [
        "docs",
        "a folder",
        "größe",
        "日本語",
        "emoji 🚀",
        "it's",
        "50% off",
        "a+b&c",
        "q?x#y",
        "plain",
        "UPPER",
        "semi;colon",
        "~tilde",
        "[slug]",
    ];
    let one = || parts[chance.below(parts.len() as u64) as usize];
    let mut files = BTreeMap::new();
    for number in 0..700 {
        let depth = chance.below(7);
        let folder: String = (0..depth).map(|_| format!("{}/", one())).collect();
        let size = [0, 1, chance.below(60), 4_096, chance.below(200_000)][chance.below(5) as usize];
        let content: Vec<u8> = (0..size).map(|_| chance.below(256) as u8).collect();
        files.insert(format!("{folder}{} {number}.{}", one(), ["txt", "bin", "css", "JPG"][number % 4]), content);
    }
    files
}

fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

async fn fetched(scene: &Scene, name: &str) -> (u16, Vec<u8>) {
    let request = http::Request::builder().uri(format!("https://example.com/{}", encoded(name))).header("host", "example.com");
    let answer = in_process::call(&scene.world, request.body(bytes::Bytes::new()).unwrap()).await.unwrap();
    (answer.status().as_u16(), answer.body().to_vec())
}

fn laid_out(root: &Path, below: &str, files: &BTreeMap<String, Vec<u8>>) {
    for (name, content) in files {
        let path = root.join(below).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_site_comes_back_as_it_was_sent_in_every_form() {
    for (form, archive_above, prebuilt) in
        [("files", 15_000, false), ("archive", 0, false), ("files of a built tree", 15_000, true), ("archive of a built tree", 0, true)]
    {
        let chance = Chance::seeded(20_261);
        let files = generated(&chance);
        let folder = tempfile::tempdir().unwrap();
        laid_out(folder.path(), if prebuilt { ".vercel/output/static" } else { "" }, &files);
        if prebuilt {
            write(folder.path(), &[(".vercel/output/config.json", r#"{"version": 3}"#)]);
        }
        let mut wanted = wanted();
        wanted.settings.archive_above = archive_above;
        let scene = wanted.scene();
        let artifact = Artifact::Directory { path: folder.path().to_owned(), digest: format!("sha256:{form}") };
        let after = scene.prepared(&artifact).await;
        let uploads = scene.count("upload_file");
        assert!(if archive_above == 0 { uploads == 1 } else { uploads > 300 }, "{form}: {uploads} uploads");
        scene.target.serve(&scene.scope(Phase::CutOver), &after).await.unwrap();
        let names: Vec<&String> = files.keys().collect();
        let mut asked = std::collections::BTreeSet::new();
        while asked.len() < ASKED {
            asked.insert(names[chance.below(names.len() as u64) as usize].as_str());
        }
        for name in asked {
            let (status, body) = fetched(&scene, name).await;
            assert_eq!(status, 200, "{form}: {name}");
            assert!(body == files[name], "{form}: {name} came back as other bytes");
        }
    }
}
