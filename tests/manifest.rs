//! The manifest: what is read, what is refused and where, what editors are told.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover::cli::{Format, check};
use cutover::id::Name;
use cutover::manifest::{
    self, Check, CheckRequest, Equals, ExpectedStatus, FlyStrategy, Manifest, Run, TargetPlatform, Variable, VercelSource, VercelTarget,
};

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifests").join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    files
}

fn good(file: &str) -> Manifest {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifests/good").join(file);
    manifest::load(&path).unwrap_or_else(|faults| panic!("{faults}")).manifest
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// What a bad fixture says of itself in its first lines: `# expect: CODE LINE:COLUMN`, the place being `?` where it does not matter.
fn expected(text: &str) -> Vec<(String, String)> {
    let expectations = text.lines().filter_map(|line| line.strip_prefix("# expect: "));
    expectations.map(|line| line.split_once(' ').map(|(code, place)| (code.to_owned(), place.to_owned())).unwrap()).collect()
}

#[test]
fn every_good_manifest_loads_without_a_warning() {
    assert!(fixtures("good").len() >= 8);
    for file in fixtures("good") {
        let loaded = manifest::load(&file).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(loaded.warnings.is_empty(), "{}: {:?}", file.display(), loaded.warnings);
    }
}

#[test]
fn every_bad_manifest_is_refused_with_its_codes_at_their_places() {
    let files = fixtures("bad");
    assert!(files.len() >= 40);
    let mut wrong = Vec::new();
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        let found: Vec<(String, String)> = match manifest::load(&file) {
            Ok(_) => Vec::new(),
            Err(faults) => {
                let place = |at| faults.source.position(at);
                let one = |fault: &manifest::Fault| {
                    let (line, column) = place(fault.span.start);
                    (fault.code.to_string(), format!("{line}:{column}"))
                };
                faults.faults.iter().map(one).collect()
            }
        };
        let mut left = expected(&text);
        let mut extra = Vec::new();
        for fault in &found {
            match left.iter().position(|(code, place)| *code == fault.0 && (place == "?" || *place == fault.1)) {
                Some(at) => drop(left.remove(at)),
                None => extra.push(fault.clone()),
            }
        }
        // A bomb gives one fault per alias; its expectation stands for all of them.
        extra.retain(|fault| !(file.ends_with("bomb.yml") && (fault.0 == "manifest::alias" || fault.0 == "manifest::unknown-key")));
        if !left.is_empty() || !extra.is_empty() || found.is_empty() {
            wrong.push(format!("{}: missing {left:?}, found besides {extra:?}", file.file_name().unwrap().display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn show() {
    for file in fixtures("bad") {
        if let Err(faults) = manifest::load(&file) {
            println!("=== {}", file.file_name().unwrap().display());
            let mut stream = anstream::StripStream::new(Vec::new());
            use std::io::Write;
            write!(stream, "{}", manifest::diagnostics::text(&faults.source, &faults.faults, &faults.warnings)).unwrap();
            println!("{}", String::from_utf8(stream.into_inner()).unwrap());
        }
    }
}
