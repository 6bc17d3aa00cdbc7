//! A version's public face: at its own hostname, and at the worker's, where a header may choose another version of the deployment.

use std::sync::{Arc, Weak};

use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::LOCATION;
use http::{Method, Request, Response, StatusCode};

use super::state::{Version, Worker, WorkerFate};
use crate::embedded::cloudflare::front::{file, set, text};
use crate::embedded::cloudflare::site::{Outcome, Site};
use crate::embedded::cloudflare::{Cloudflare, Shared};
use crate::embedded::edge::public_host;
use crate::embedded::traffic::Backend;

/// The header by which a request chooses a version (vendor's documentation of version overrides).
const OVERRIDES: &str = "cloudflare-workers-version-overrides";
/// What stands where the site of a worker has no page for what is not there.
const NOTHING: &str = "nothing";

/// A version as the edges know it.
pub(super) struct Front {
    shared: Weak<Shared>,
    account: String,
    worker: String,
    id: String,
    /// Whether this is the version's own hostname.
    preview: bool,
}

impl Front {
    pub(super) fn new(cloudflare: &Cloudflare, (account, worker): (&str, &str), id: &str, preview: bool) -> Self {
        Self {
            shared: Arc::downgrade(&cloudflare.shared),
            account: account.to_owned(),
            worker: worker.to_owned(),
            id: id.to_owned(),
            preview,
        }
    }

    fn respond(&self, request: &Request<Body>) -> Response<Body> {
        let Some(shared) = self.shared.upgrade() else { return text(StatusCode::BAD_GATEWAY, "The embedded Cloudflare has ended.\n") };
        let cloudflare = Cloudflare { shared };
        let version = {
            let state = cloudflare.state();
            let Ok(worker) = state.worker(&self.account, &self.worker) else { return text(StatusCode::NOT_FOUND, "error code: 1042\n") };
            let chosen = self.chosen(worker, request);
            let Some(version) = worker.version(&chosen) else { return text(StatusCode::NOT_FOUND, "error code: 1042\n") };
            version.clone()
        };
        let chosen_by_header = version.id != self.id;
        let badly = match version.fate {
            WorkerFate::Fine => false,
            WorkerFate::AnswersBadly => true,
            WorkerFate::AnswersUsersBadly => !self.preview && !chosen_by_header,
        };
        if badly {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "error code: 1101\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        let mut response = answer(&cloudflare, &version, request);
        if request.method() == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        set(&mut response, "server", "cloudflare");
        response
    }

    /// Returns the version that answers: one of the deployment where the request chooses it, else this one.
    fn chosen(&self, worker: &Worker, request: &Request<Body>) -> String {
        let wanted = request.headers().get(OVERRIDES).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let wanted = wanted.split(',').find_map(|one| one.trim().strip_prefix(&self.worker)?.strip_prefix('='));
        let wanted = wanted.map(|id| id.trim_matches('"'));
        let deployed = |id: &&str| worker.in_force().is_some_and(|in_force| in_force.shares.iter().any(|(known, _)| known == id));
        wanted.filter(|_| !self.preview).filter(deployed).unwrap_or(&self.id).to_owned()
    }
}

fn answer(cloudflare: &Cloudflare, version: &Version, request: &Request<Body>) -> Response<Body> {
    let host = public_host(request);
    let site = with_page_for_nothing(version);
    match site.answer(request.uri().path(), request.uri().query()) {
        Outcome::Redirect(status, to) => {
            // The canonical address of a page is led to by 307 here, and by 308 on Pages (vendor's documentation of HTML handling).
            let status = if status == 308 { 307 } else { status };
            let mut response = text(StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND), "");
            set(&mut response, LOCATION.as_str(), &to);
            response
        }
        Outcome::File(_, key) if key == NOTHING => match (version.not_found.as_str(), site.manifest.get("/index.html")) {
            ("single-page-application", Some(index)) => file(cloudflare, &site, 200, index, &host, request),
            _ => text(StatusCode::NOT_FOUND, ""),
        },
        Outcome::Nothing => text(StatusCode::NOT_FOUND, ""),
        Outcome::File(status, key) => file(cloudflare, &site, status, &key, &host, request),
    }
}

/// Returns the version's site with something that stands for "nothing is there" at its top, where its own page does not: without one, a site of
/// Pages counts as an application of one page, and a worker's does not.
fn with_page_for_nothing(version: &Version) -> Site {
    let mut site = (*version.site).clone();
    let page = "/404.html".to_owned();
    if version.not_found != "404-page" || !site.manifest.contains_key(&page) {
        site.manifest.insert(page, NOTHING.to_owned());
    }
    site
}

impl Backend for Front {
    fn name(&self) -> String {
        self.id.clone()
    }

    fn alive(&self) -> bool {
        let Some(shared) = self.shared.upgrade() else { return false };
        let cloudflare = Cloudflare { shared };
        let state = cloudflare.state();
        state.worker(&self.account, &self.worker).is_ok_and(|worker| worker.version(&self.id).is_some())
    }

    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let response = self.respond(&request);
        async move { response }.boxed()
    }
}
