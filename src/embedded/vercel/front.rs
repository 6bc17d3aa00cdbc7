//! A deployment's public face: answers requests for its own hostname and for the aliases that lead to it.

use std::sync::{Arc, Weak};

use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, SET_COOKIE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use super::site::Outcome;
use super::state::{Deployment, Project, State};
use super::switch::Answers;
use super::{Shared, Vercel};
use crate::embedded::edge::public_host;
use crate::embedded::traffic::Backend;

/// The header, query member and cookie that lead past Deployment Protection (vendor's documentation).
const BYPASS: &str = "x-vercel-protection-bypass";

/// A deployment as the edges know it.
pub(super) struct Front {
    shared: Weak<Shared>,
    id: String,
    url: String,
}

impl Front {
    pub(super) fn new(vercel: &Vercel, id: &str, url: &str) -> Self {
        Self { shared: Arc::downgrade(&vercel.shared), id: id.to_owned(), url: url.to_owned() }
    }

    fn respond(&self, request: &Request<Body>) -> Response<Body> {
        let Some(shared) = self.shared.upgrade() else { return text(StatusCode::BAD_GATEWAY, "The embedded Vercel has ended.\n") };
        let vercel = Vercel { shared };
        let host = public_host(request);
        let (site, answers) = {
            let state = vercel.state();
            let Some(deployment) = state.deployments.get(&self.id) else { return not_found() };
            if let Some(project) = state.projects.get(&deployment.project)
                && is_protected(&state, project, deployment, &host)
                && !bypassed(project, request)
            {
                return protected();
            }
            (deployment.site.clone(), deployment.fate.answers)
        };
        let broken = answers == Answers::Badly || answers == Answers::BadlyInProduction && host != self.url;
        if broken {
            let mut response = text(StatusCode::INTERNAL_SERVER_ERROR, "A server error has occurred\n\nFUNCTION_INVOCATION_FAILED\n");
            response.headers_mut().insert("x-vercel-error", HeaderValue::from_static("FUNCTION_INVOCATION_FAILED"));
            return response;
        }
        let Some(site) = site else { return unready() };
        if !matches!(*request.method(), Method::GET | Method::HEAD) && site.is_static() {
            return text(StatusCode::METHOD_NOT_ALLOWED, "INVALID_REQUEST_METHOD\n");
        }
        let outcome = site.answer(request.method(), request.uri().path());
        self.rendered(&vercel, outcome, request)
    }

    fn rendered(&self, vercel: &Vercel, outcome: Outcome, request: &Request<Body>) -> Response<Body> {
        if let Some(function) = outcome.function {
            return text(StatusCode::NOT_IMPLEMENTED, &format!("The embedded Vercel runs no functions: /{function}\n"));
        }
        let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match outcome.file {
            None if status == StatusCode::NOT_FOUND => text(status, "The page could not be found\n\nNOT_FOUND\n"),
            None => text(status, ""),
            Some(file) => {
                let tag = format!("\"{}\"", file.content.sha);
                let known = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
                let mut response = if known == Some(tag.as_str()) && status == StatusCode::OK {
                    text(StatusCode::NOT_MODIFIED, "")
                } else {
                    let Ok(content) = vercel.store().read(&file.content.sha) else {
                        return text(StatusCode::INTERNAL_SERVER_ERROR, "The embedded file store lost a file.\n");
                    };
                    let mut response = Response::new(Body::from(content));
                    *response.status_mut() = status;
                    response
                };
                set(&mut response, CONTENT_TYPE.as_str(), &file.content_type);
                set(&mut response, ETAG.as_str(), &tag);
                set(&mut response, CACHE_CONTROL.as_str(), "public, max-age=0, must-revalidate");
                response
            }
        };
        for (name, value) in outcome.headers {
            set(&mut response, &name, &value);
        }
        if request.method() == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        set(&mut response, "server", "Vercel");
        set(&mut response, "x-vercel-id", &format!("embedded::{}", self.id));
        response
    }
}

impl Backend for Front {
    fn name(&self) -> String {
        self.id.clone()
    }

    fn alive(&self) -> bool {
        self.shared.upgrade().is_some_and(|shared| Vercel { shared }.state().deployments.contains_key(&self.id))
    }

    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let response = self.respond(&request);
        async move { response }.boxed()
    }
}

/// Returns whether Deployment Protection covers `host` (vendor's documentation of `ssoProtection.deploymentType`).
fn is_protected(state: &State, project: &Project, deployment: &Deployment, host: &str) -> bool {
    let own = host == deployment.url || !state.aliases.contains_key(host);
    let custom = !own && !host.ends_with(".vercel.app");
    match project.protection.as_deref() {
        None => false,
        Some("all") => true,
        Some("all_except_custom_domains") => !custom,
        Some("preview") => !deployment.production,
        Some(_) => own || !deployment.production,
    }
}

fn bypassed(project: &Project, request: &Request<Body>) -> bool {
    let known = |secret: &str| project.bypass.contains_key(secret);
    let header = request.headers().get(BYPASS).and_then(|value| value.to_str().ok()).is_some_and(known);
    let query = request.uri().query().unwrap_or_default();
    header || url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == BYPASS && known(&value))
}

fn protected() -> Response<Body> {
    let mut response = text(StatusCode::UNAUTHORIZED, "<!doctype html><title>Authentication Required</title>\n");
    set(&mut response, CONTENT_TYPE.as_str(), "text/html; charset=utf-8");
    set(&mut response, SET_COOKIE.as_str(), "_vercel_sso_nonce=embedded; Path=/; HttpOnly");
    response
}

fn not_found() -> Response<Body> {
    let mut response = text(StatusCode::NOT_FOUND, "The deployment could not be found on Vercel.\n\nDEPLOYMENT_NOT_FOUND\n");
    set(&mut response, "x-vercel-error", "DEPLOYMENT_NOT_FOUND");
    response
}

/// What a hostname answers whose deployment is still being built, or never became READY (guess: the vendor shows a page of its own).
fn unready() -> Response<Body> {
    let mut response = text(StatusCode::NOT_FOUND, "The deployment is not ready.\n\nDEPLOYMENT_NOT_READY\n");
    set(&mut response, "x-vercel-error", "DEPLOYMENT_NOT_READY");
    response
}

fn text(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE.as_str(), "text/plain; charset=utf-8");
    response
}

fn set(response: &mut Response<Body>, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        response.headers_mut().insert(name, value);
    }
}
