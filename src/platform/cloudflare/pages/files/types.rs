//! Content types by file name, as the vendor's client gives them.

/// The `mime` package's table, version 3: an extension and its type a line, sorted by extension (cloudflare.md 3.8).
const TABLE: &str = include_str!("types.txt");

/// What an unknown extension is.
const UNKNOWN: &str = "application/octet-stream";

/// Content types by extension; made once for a site, since the table is text.
#[derive(Debug)]
pub struct Types(Vec<(&'static str, &'static str)>);

impl Types {
    /// Reads the table.
    pub fn new() -> Self {
        Self(TABLE.lines().filter_map(|line| line.split_once(' ')).collect())
    }

    /// Returns the type of the file at `path`, without a charset.
    ///
    /// By what follows the last dot of the last segment, in lower case. Two quirks of the vendor's client are kept, since a type is part of what
    /// is uploaded: a name whose only dot comes first has none, and a top-level name without a dot is looked up whole.
    pub fn of(&self, path: &str) -> &'static str {
        let path = path.trim_start_matches('/');
        let base = path.rsplit('/').next().unwrap_or(path).to_lowercase();
        let extension = match base.rfind('.') {
            Some(0) => return UNKNOWN,
            Some(dot) => &base[dot + 1..],
            None if path.contains('/') => return UNKNOWN,
            None => &base,
        };
        self.0.binary_search_by(|(known, _)| known.as_bytes().cmp(extension.as_bytes())).map_or(UNKNOWN, |at| self.0[at].1)
    }
}

impl Default for Types {
    fn default() -> Self {
        Self::new()
    }
}
