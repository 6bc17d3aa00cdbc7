//! Pages of listings, with their `Link` header (vendor's documentation of pagination).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::LINK;
use serde::Deserialize;
use serde_json::Value;

/// The most elements of a page.
const LARGEST: usize = 100;

/// Which page is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    per_page: Option<usize>,
    page: Option<usize>,
}

/// One page.
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    pub(super) total: usize,
    links: String,
}

impl Wanted {
    /// Cuts the page out of `items`; `base` and `target` (path and query as asked) make the addresses of its neighbours.
    pub(super) fn cut(&self, items: Vec<Value>, base: &str, target: &http::Uri) -> Page {
        let size = self.per_page.unwrap_or(30).clamp(1, LARGEST);
        let (page, total) = (self.page.unwrap_or(1).max(1), items.len());
        let last = total.div_ceil(size).max(1);
        let mut links = Vec::new();
        let mut link = |number: usize, relation: &str| links.push(format!("<{base}{}>; rel=\"{relation}\"", addressed(target, number)));
        if page > 1 {
            link((page - 1).min(last), "prev");
        }
        if page < last {
            link(page + 1, "next");
            link(last, "last");
        }
        if page > 1 {
            link(1, "first");
        }
        let items = items.into_iter().skip((page - 1) * size).take(size).collect();
        Page { items, total, links: links.join(", ") }
    }
}

impl Page {
    /// Returns the page as the body of an answer, through `body`.
    pub(super) fn answer(self, body: impl FnOnce(Vec<Value>, usize) -> Value) -> Response {
        let mut response = Json(body(self.items, self.total)).into_response();
        if let Some(value) = HeaderValue::from_str(&self.links).ok().filter(|_| !self.links.is_empty()) {
            response.headers_mut().insert(LINK, value);
        }
        response
    }

    /// Returns the page as a bare array.
    pub(super) fn array(self) -> Response {
        self.answer(|items, _| Value::from(items))
    }
}

fn addressed(target: &http::Uri, page: usize) -> String {
    let query = target.query().unwrap_or_default();
    let kept = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "page");
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).append_pair("page", &page.to_string()).finish();
    format!("{}?{query}", target.path())
}
