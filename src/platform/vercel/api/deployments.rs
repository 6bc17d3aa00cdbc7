//! Deployments: create, read, list, cancel, delete, log.

use http::Method;
use serde_json::Value;

use crate::platform::vercel::client::{VercelClient, decode};
use crate::platform::vercel::wire::{CreateDeployment, Deployment, Deployments, ErrorBody};
use crate::platform::{PlatformError, PlatformErrorKind};

/// How long the create call may take: it carries up to 15,000 entries.
const CREATE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(120);
/// How many deployments a page has at most (published).
const PAGE: &str = "100";

/// How many pages a list has at most: of a preview there are a few deployments, and of a project as many as plans allow in a day.
const MOST_PAGES: usize = 200;

/// What became of a create call.
#[derive(Debug)]
pub(in crate::platform::vercel) enum Created {
    /// It exists.
    Deployment(Box<Deployment>),
    /// Nothing was made: the contents with these SHA-1 digests must be uploaded first.
    MissingFiles(Vec<String>),
}

/// Which deployments are listed; of the newest hundred.
#[derive(Debug, Clone, Default)]
pub(in crate::platform::vercel) struct ListQuery<'a> {
    /// Only those whose target is production.
    pub(in crate::platform::vercel) production: bool,
    /// Only those that carry these metadata. Not published (the vendor's client uses it): check what comes back.
    pub(in crate::platform::vercel) meta: &'a [(&'a str, &'a str)],
    /// Only those made since, in milliseconds since 1970.
    pub(in crate::platform::vercel) since_ms: Option<i64>,
}

impl VercelClient {
    /// Creates a deployment, `POST /v13/deployments`. Never repeated by the transport: after a lost answer it must be looked up.
    ///
    /// `prebuilt` says that the files are a Build Output tree. `forceNew=1` is always sent, so that an equal earlier deployment, which carries
    /// another release's stamp, is not given back.
    pub(in crate::platform::vercel) async fn create_deployment(
        &self,
        body: &CreateDeployment<'_>,
        prebuilt: bool,
        thing: &str,
    ) -> Result<Created, PlatformError> {
        let mut query = vec![("skipAutoDetectionConfirmation", "1"), ("forceNew", "1")];
        query.push(if prebuilt { ("prebuilt", "1") } else { ("withCache", "1") });
        let call = self.call("create_deployment", Method::POST, &["v13", "deployments"], &query).json(body).deadline(CREATE_DEADLINE);
        let answer = self.send(call, thing).await?;
        if answer.status.is_success() {
            return decode("create_deployment", thing, &answer).map(|deployment| Created::Deployment(Box::new(deployment)));
        }
        let refused = ErrorBody::of(&answer);
        if refused.code == "missing_files" && !refused.missing.is_empty() {
            return Ok(Created::MissingFiles(refused.missing));
        }
        Err(self.refusal("create_deployment", thing, &answer))
    }

    /// Returns a deployment by id or hostname; `None` when it is gone.
    pub(in crate::platform::vercel) async fn deployment(&self, id: &str) -> Result<Option<Deployment>, PlatformError> {
        let call = self.call("get_deployment", Method::GET, &["v13", "deployments", id], &[]);
        match self.read(call, &format!("deployment {id}")).await {
            Ok(deployment) => Ok(Some(deployment)),
            Err(PlatformError { kind: PlatformErrorKind::NotFound(_), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the newest deployments of a project that fit, newest first. Asks version 6 and, where that is gone, version 7 (vercel.md 4).
    pub(in crate::platform::vercel) async fn deployments(
        &self,
        project: &str,
        wanted: &ListQuery<'_>,
    ) -> Result<Vec<Deployment>, PlatformError> {
        self.page(project, wanted, None).await.map(|(found, _)| found)
    }

    /// Returns all deployments of a project that fit, newest first, page by page. Errors: there are more than [`MOST_PAGES`] pages.
    pub(in crate::platform::vercel) async fn all_deployments(
        &self,
        project: &str,
        wanted: &ListQuery<'_>,
    ) -> Result<Vec<Deployment>, PlatformError> {
        let mut all: Vec<Deployment> = Vec::new();
        let mut until = None;
        for _ in 0..MOST_PAGES {
            let (found, next) = self.page(project, wanted, until).await?;
            all.extend(found.into_iter().filter(|one| !one.id().is_empty()));
            match next {
                None => {
                    let mut seen = std::collections::BTreeSet::new();
                    all.retain(|one| seen.insert(one.id().to_owned()));
                    return Ok(all);
                }
                // A page that begins where the last one did would be asked for without end.
                Some(next) if until.is_some_and(|until| next >= until) => break,
                Some(next) => until = Some(next),
            }
        }
        let text = format!("the list of deployments has no end after {MOST_PAGES} pages");
        let kind = PlatformErrorKind::Unexpected(text);
        Err(PlatformError::new(crate::http::Platform::Vercel, "list_deployments", format!("deployments of {project}"), kind))
    }

    /// Returns one page, and until when what the next one has was made.
    async fn page(
        &self,
        project: &str,
        wanted: &ListQuery<'_>,
        until: Option<i64>,
    ) -> Result<(Vec<Deployment>, Option<i64>), PlatformError> {
        let since = wanted.since_ms.map(|at| at.to_string());
        let until = until.map(|at| at.to_string());
        let meta: Vec<(String, &str)> = wanted.meta.iter().map(|(key, value)| (format!("meta-{key}"), *value)).collect();
        let mut query = vec![("projectId", project), ("limit", PAGE)];
        query.extend(wanted.production.then_some(("target", "production")));
        query.extend(since.as_deref().map(|at| ("since", at)));
        query.extend(until.as_deref().map(|at| ("until", at)));
        query.extend(meta.iter().map(|(key, value)| (key.as_str(), *value)));
        let thing = format!("deployments of {project}");
        let page: Result<Deployments, _> =
            self.read(self.call("list_deployments", Method::GET, &["v6", "deployments"], &query), &thing).await;
        let page = match page {
            Err(PlatformError { kind: PlatformErrorKind::NotFound(_), .. }) => {
                self.read(self.call("list_deployments", Method::GET, &["v7", "deployments"], &query), &thing).await
            }
            answered => answered,
        };
        let fits = |deployment: &Deployment| wanted.meta.iter().all(|(key, value)| deployment.meta(key) == Some(*value));
        let next = |page: &Deployments| page.pagination.next.filter(|next| *next > 0.0).map(|next| next as i64);
        page.map(|page| (next(&page), page.deployments)).map(|(next, found)| (found.into_iter().filter(fits).collect(), next))
    }

    /// Deletes a deployment; done when it is gone already.
    pub(in crate::platform::vercel) async fn delete_deployment(&self, id: &str) -> Result<(), PlatformError> {
        let call = self.call("delete_deployment", Method::DELETE, &["v13", "deployments", id], &[]).repeatable();
        match self.ask(call, &format!("deployment {id}")).await {
            Ok(_) | Err(PlatformError { kind: PlatformErrorKind::NotFound(_), .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the last `count` lines of a deployment's log, oldest first. Both documented shapes of an event are read (vercel.md 5).
    pub(in crate::platform::vercel) async fn last_log_lines(&self, id: &str, count: usize) -> Result<Vec<String>, PlatformError> {
        let query = [("direction", "backward"), ("follow", "0"), ("limit", "100"), ("builds", "1")];
        let call = self.call("list_events", Method::GET, &["v3", "deployments", id, "events"], &query);
        let events: Vec<Value> = self.read(call, &format!("log of {id}")).await?;
        let text = |event: &Value| {
            let said =
                event.get("type").and_then(Value::as_str).is_none_or(|kind| matches!(kind, "command" | "stdout" | "stderr" | "fatal"));
            let text = event.get("text").or_else(|| event.get("payload")?.get("text"))?.as_str()?.trim_end();
            (said && !text.is_empty()).then(|| text.to_owned())
        };
        let moment = |event: &Value| event.get("created").or_else(|| event.get("date")).and_then(Value::as_i64).unwrap_or_default();
        let mut lines: Vec<(i64, String)> = events.iter().filter_map(|event| Some((moment(event), text(event)?))).collect();
        // Asked for backwards, they come newest first; where a server ignores that, their times still tell. The sort is stable.
        lines.reverse();
        lines.sort_by_key(|(at, _)| *at);
        let skip = lines.len().saturating_sub(count);
        Ok(lines.into_iter().skip(skip).map(|(_, line)| line).collect())
    }
}
