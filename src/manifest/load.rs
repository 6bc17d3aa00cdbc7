//! Finds and reads a manifest.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::fault::{Code, Fault, Faults, Source};
use super::files::Surroundings;
use super::shape::Manifest;
use super::{tree, whole};

/// The manifest's name where a directory is given.
pub const FILE_NAME: &str = "cutover.yml";
/// The largest manifest, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// A manifest without faults.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub manifest: Manifest,
    /// Its text, and where it came from.
    pub source: Source,
    /// The directory that its paths are relative to.
    pub root: PathBuf,
    /// What is only odd.
    pub warnings: Vec<Fault>,
}

/// Returns the manifest at `path`, a file or a directory with a [`FILE_NAME`], checked against the files beside it.
///
/// Every fault is found in one pass, but for those that hide all others: a file that cannot be read, is no YAML or has an unknown version.
pub fn load(path: &Path) -> Result<Loaded, Faults> {
    let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
    let root = file.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    let bytes = read_limited(&file).map_err(|fault| alone(&file, fault))?;
    let text = String::from_utf8(bytes).map_err(|error| alone(&file, not_utf8(error.as_bytes(), error.utf8_error().valid_up_to())))?;
    parse(&text, &file, Some(&root))
}

/// Returns the manifest in `text`, which is called `file` in faults.
///
/// With a `root`, files that the manifest names must exist below it, and link files there are read. Without one (a manifest of another
/// commit), a Vercel target must name its project.
pub fn parse(text: &str, file: &Path, root: Option<&Path>) -> Result<Loaded, Faults> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source { path: file.to_owned(), text: text.to_owned() };
    if text.len() as u64 > MAX_BYTES {
        return Err(alone(file, too_large()));
    }
    let surroundings = Surroundings { root: root.map(Path::to_owned) };
    let mut faults = Vec::new();
    let tree = tree::parse(text, &mut faults);
    let read = tree.map(|tree| whole::read(&tree, &surroundings));
    let (manifest, found, warnings) = read.map_or((None, Vec::new(), Vec::new()), |read| (read.manifest, read.faults, read.warnings));
    faults.extend(found);
    match manifest {
        Some(manifest) if faults.is_empty() => {
            let root = root.map_or_else(PathBuf::new, Path::to_owned);
            Ok(Loaded { manifest, source, root, warnings: in_order(warnings) })
        }
        _ => Err(Faults { source, faults: in_order(faults), warnings: in_order(warnings) }),
    }
}

/// Returns the faults in the order of the file, each once: what an override repeats of its target was reported there.
fn in_order(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by(|a, b| (a.span.start, a.code, &a.message).cmp(&(b.span.start, b.code, &b.message)));
    faults.dedup_by(|a, b| a.span == b.span && a.code == b.code && a.message == b.message);
    faults
}

fn read_limited(file: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > MAX_BYTES => Err(too_large()),
        Ok(_) => Ok(bytes),
        Err(error) => {
            let fault = Fault::new(Code::Unreadable, &(0..0), format!("the manifest cannot be read: {error}"));
            let other = file.with_extension("yaml");
            let hint = if fs::metadata(&other).is_ok() {
                format!("rename `{}` to `{FILE_NAME}`", other.display())
            } else {
                format!("write a `{FILE_NAME}` that begins with `version: 1`, or name another file")
            };
            Err(if error.kind() == std::io::ErrorKind::NotFound { fault.suggest(hint) } else { fault })
        }
    }
}

fn too_large() -> Fault {
    Fault::new(Code::TooLarge, &(0..0), "the manifest is larger than 1 MiB")
}

fn not_utf8(bytes: &[u8], good: usize) -> Fault {
    let line = bytes[..good].split(|byte| *byte == b'\n').count();
    Fault::new(Code::NotUtf8, &(0..0), format!("the manifest is not UTF-8: the first wrong byte is in line {line}"))
        .suggest("save the file as UTF-8")
}

/// Returns one fault of a file whose text is not known.
fn alone(file: &Path, fault: Fault) -> Faults {
    Faults { source: Source { path: file.to_owned(), text: String::new() }, faults: vec![fault], warnings: Vec::new() }
}
