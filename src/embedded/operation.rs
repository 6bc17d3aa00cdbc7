//! How a request gets its name: the table of operations that each platform supplies.

use std::cell::OnceCell;

use http::Method;
use serde_json::Value;

/// What there is to name a request by.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The route's template, such as `/v1/apps/{app}`; empty when no route matched.
    pub template: &'a str,
    /// The path as sent.
    pub path: &'a str,
    /// The query as sent, without `?`.
    pub query: &'a str,
    /// The body as sent, where it may be JSON; empty otherwise.
    pub raw: &'a [u8],
    /// The body once somebody has asked for it.
    pub read: OnceCell<Option<Value>>,
}

impl Asked<'_> {
    /// Returns the body, where it is JSON; it is read when it is first asked for.
    pub fn body(&self) -> Option<&Value> {
        let read = || if self.raw.is_empty() { None } else { serde_json::from_slice(self.raw).ok() };
        self.read.get_or_init(read).as_ref()
    }
}

/// A request's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The operation, such as `create_machine`.
    pub operation: String,
    /// The app, project or repository it is about.
    pub target: Option<String>,
    /// Whether it changes something.
    pub write: bool,
}

/// Names the requests of one platform.
pub trait Naming: Send + Sync + 'static {
    /// Returns the name of the request.
    fn name(&self, asked: &Asked<'_>) -> Named;
}

impl<F: Fn(&Asked<'_>) -> Named + Send + Sync + 'static> Naming for F {
    fn name(&self, asked: &Asked<'_>) -> Named {
        self(asked)
    }
}

/// Where a request says what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Nowhere.
    Nothing,
    /// In this segment of the route's template: `Path("app")` for `/v1/apps/{app}`.
    Path(&'static str),
    /// In this member of the query.
    Query(&'static str),
    /// In this top-level member of the JSON body.
    Body(&'static str),
}

/// One row of a platform's table: method and template → operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    method: &'static str,
    template: &'static str,
    name: &'static str,
    subject: Subject,
    write: bool,
}

impl Operation {
    /// Returns a row; GET and HEAD are reads, everything else writes.
    pub const fn new(method: &'static str, template: &'static str, name: &'static str, subject: Subject) -> Self {
        let write = !matches!(method.as_bytes(), b"GET" | b"HEAD");
        Self { method, template, name, subject, write }
    }

    /// Returns the row, marked as a read although its method is not one.
    #[must_use]
    pub const fn reads(mut self) -> Self {
        self.write = false;
        self
    }

    /// Returns the row, marked as a write although its method reads.
    #[must_use]
    pub const fn writes(mut self) -> Self {
        self.write = true;
        self
    }
}

impl Naming for &'static [Operation] {
    /// HEAD is looked up as GET where it has no row; what no row names is `unknown`, a write unless its method reads.
    fn name(&self, asked: &Asked<'_>) -> Named {
        let row = |method: &str| self.iter().find(|row| row.method == method && row.template == asked.template);
        let found = row(asked.method.as_str()).or_else(|| if asked.method == Method::HEAD { row("GET") } else { None });
        match found {
            Some(row) => Named { operation: row.name.to_owned(), target: subject(row.subject, asked), write: row.write },
            None => {
                Named { operation: "unknown".to_owned(), target: None, write: asked.method != Method::GET && asked.method != Method::HEAD }
            }
        }
    }
}

/// Returns what `asked` is about, by `subject`.
pub fn subject(subject: Subject, asked: &Asked<'_>) -> Option<String> {
    match subject {
        Subject::Nothing => None,
        Subject::Path(name) => segment(asked.template, asked.path, name),
        Subject::Query(name) => {
            url::form_urlencoded::parse(asked.query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        }
        Subject::Body(name) => asked.body()?.get(name)?.as_str().map(str::to_owned),
    }
}

/// Returns the value of a member of a query, decoded.
pub(super) fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    let mut members = url::form_urlencoded::parse(query?.as_bytes());
    members.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Returns the segment of `path` that stands where `{name}` stands in `template`.
fn segment(template: &str, path: &str, name: &str) -> Option<String> {
    template
        .split('/')
        .zip(path.split('/'))
        .find(|(pattern, _)| pattern.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) == Some(name))
        .map(|(_, segment)| segment.to_owned())
}
