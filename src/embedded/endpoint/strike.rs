//! What becomes of a struck request: its effect, and what its caller is told.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{Work, lost, status};
use crate::embedded::fault::{Answer, Effect, strange, truncated};
use crate::embedded::ground::in_part;
use crate::embedded::past::Copy;

/// What a broken proxy in front of an API answers.
const HTML: &str = "<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>";

impl Work {
    pub(super) async fn struck(mut self, effect: Effect, answer: Answer) -> Response {
        // Worked out before the effect, which would change it.
        let forged = match answer {
            Answer::DoneWhenNot => self.as_if_done().await,
            Answer::Stale if !self.write => self.as_before().await,
            _ => None,
        };
        let (platform, ground, sequence) = (self.platform.clone(), self.ground.clone(), self.sequence);
        let in_vain = || ground.tape.amend(sequence, |entry| entry.fault = entry.fault.take().map(|fault| format!("{fault} in vain")));
        let truth = self.carried_out(effect).await;
        let unavailable = || status(StatusCode::SERVICE_UNAVAILABLE, "", &[]);
        match answer {
            Answer::True => truth.unwrap_or_else(unavailable),
            Answer::Slow(by) => {
                tokio::time::sleep(by).await;
                truth.unwrap_or_else(unavailable)
            }
            Answer::Lost => lost(),
            Answer::Html => status(StatusCode::BAD_GATEWAY, HTML, &[]),
            Answer::Status { code, body, headers } => {
                status(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body, &headers)
            }
            Answer::Truncated => match truth {
                Some(response) => truncated(response).await,
                None => lost(),
            },
            Answer::Unknown => {
                let Some(response) = truth else { return unavailable() };
                let (response, altered) = strange(&platform, response).await;
                if !altered {
                    in_vain();
                }
                response
            }
            // What was really done is told as it is: a copy would give it another id.
            Answer::DoneWhenNot => truth.or(forged).unwrap_or_else(|| {
                in_vain();
                unavailable()
            }),
            Answer::Stale => {
                if forged.is_none() {
                    in_vain();
                }
                forged.or(truth).unwrap_or_else(unavailable)
            }
        }
    }

    /// Has its effect; returns the platform's own answer where it comes before the caller is answered.
    async fn carried_out(mut self, effect: Effect) -> Option<Response> {
        match effect {
            Effect::None => None,
            Effect::Once => Some(self.run().await),
            Effect::Partial => Some(in_part(self.run()).await),
            Effect::Twice => {
                let (second, next) = (self.again().await, self.next.clone());
                let first = self.run().await;
                next.run(second).await;
                Some(first)
            }
            Effect::Late(after) => {
                let ground = self.ground.clone();
                ground.spawn_after(after, async move {
                    self.run().await;
                });
                None
            }
        }
    }

    /// Returns the request once more, as it arrived.
    async fn again(&mut self) -> Request {
        let whole = std::mem::take(self.request.body_mut()).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        *self.request.body_mut() = Body::from(whole.clone());
        let mut again = Request::new(Body::from(whole));
        *again.method_mut() = self.request.method().clone();
        *again.uri_mut() = self.request.uri().clone();
        *again.headers_mut() = self.request.headers().clone();
        *again.extensions_mut() = self.request.extensions().clone();
        again
    }

    /// Returns what the request would be answered if it were carried out now.
    async fn as_if_done(&mut self) -> Option<Response> {
        let copy = self.ground.past.present(&self.authority)?;
        Some(asked(&copy, self.again().await).await)
    }

    /// Returns what the request would have been answered before the latest change that makes a difference to it.
    async fn as_before(&mut self) -> Option<Response> {
        let present = self.ground.past.present(&self.authority)?;
        let now = told(asked(&present, self.again().await).await).await;
        for copy in self.ground.past.earlier(&self.authority) {
            let (parts, body) = told(asked(&copy, self.again().await).await).await;
            if (parts.status, &body) != (now.0.status, &now.1) {
                return Some(Response::from_parts(parts, Body::from(body)));
            }
        }
        None
    }
}

/// Asks a copy of the platform.
pub(super) async fn asked(copy: &Copy, mut request: Request) -> Response {
    // What the world's own router has found out about the request would be found out a second time.
    request.extensions_mut().clear();
    copy().oneshot(request).await.unwrap_or_else(|never| match never {})
}

async fn told(response: Response) -> (http::response::Parts, axum::body::Bytes) {
    let (parts, body) = response.into_parts();
    (parts, body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default())
}
