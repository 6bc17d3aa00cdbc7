//! A deployment's public face: answers requests for its own hostname, its branch's, and production's.

use std::sync::{Arc, Weak};

use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use super::site::{Outcome, Site};
use super::{Cloudflare, Shared};
use crate::embedded::edge::public_host;
use crate::embedded::traffic::Backend;

/// A deployment as the edges know it.
pub(super) struct Front {
    shared: Weak<Shared>,
    id: String,
}

impl Front {
    pub(super) fn new(cloudflare: &Cloudflare, id: &str) -> Self {
        Self { shared: Arc::downgrade(&cloudflare.shared), id: id.to_owned() }
    }

    fn respond(&self, request: &Request<Body>) -> Response<Body> {
        let Some(shared) = self.shared.upgrade() else { return text(StatusCode::BAD_GATEWAY, "The embedded Cloudflare has ended.\n") };
        let cloudflare = Cloudflare { shared };
        let host = public_host(request);
        let (site, badly, production) = {
            let state = cloudflare.state();
            let Some(deployment) = state.deployments.get(&self.id) else { return text(StatusCode::NOT_FOUND, "Deployment Not Found\n") };
            (Arc::clone(&deployment.site), deployment.fate.answers_badly, deployment.production)
        };
        if badly {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "error code: 1101\n");
        }
        if site.worker {
            return text(StatusCode::NOT_IMPLEMENTED, "The embedded Pages runs no workers.\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        let mut response = match site.answer(request.uri().path(), request.uri().query()) {
            Outcome::Redirect(status, to) => {
                let mut response = text(StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND), "");
                set(&mut response, LOCATION.as_str(), &to);
                response
            }
            Outcome::Nothing => text(StatusCode::NOT_FOUND, ""),
            Outcome::File(status, key) => file(&cloudflare, &site, status, &key, &host, request),
        };
        if !production {
            set(&mut response, "x-robots-tag", "noindex");
        }
        if request.method() == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        set(&mut response, "server", "cloudflare");
        set(&mut response, "cf-ray", &format!("{}-EMB", &self.id.replace('-', "").chars().take(16).collect::<String>()));
        response
    }
}

/// Answers with a file: the vendor's own headers first, then the site's.
pub(super) fn file(cloudflare: &Cloudflare, site: &Site, status: u16, key: &str, host: &str, request: &Request<Body>) -> Response<Body> {
    let tag = format!("\"{key}\"");
    let known = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if known == Some(tag.as_str()) && status == 200 {
        text(StatusCode::NOT_MODIFIED, "")
    } else {
        let Ok(content) = cloudflare.store().read(key) else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "The embedded store lost a content.\n");
        };
        let mut response = Response::new(Body::from(content));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        response
    };
    set(&mut response, CONTENT_TYPE.as_str(), &site.content_type(key));
    set(&mut response, ETAG.as_str(), &tag);
    set(&mut response, CACHE_CONTROL.as_str(), "public, max-age=0, must-revalidate");
    for (name, value) in site.headers.of(host, request.uri().path()) {
        match value {
            Some(value) => set(&mut response, &name, &value),
            None => {
                response.headers_mut().remove(&name);
            }
        }
    }
    response
}

impl Backend for Front {
    fn name(&self) -> String {
        self.id.clone()
    }

    fn alive(&self) -> bool {
        self.shared.upgrade().is_some_and(|shared| Cloudflare { shared }.state().deployments.contains_key(&self.id))
    }

    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let response = self.respond(&request);
        async move { response }.boxed()
    }
}

pub(super) fn text(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE.as_str(), "text/plain; charset=utf-8");
    response
}

pub(super) fn set(response: &mut Response<Body>, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        response.headers_mut().insert(name, value);
    }
}
