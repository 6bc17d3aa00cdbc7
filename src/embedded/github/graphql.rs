//! The two things that only GraphQL can do here: folding a comment away, and asking who one is.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::caller::Caller;
use super::refusal::{Refusal, parse};
use super::shape::node;

const CLASSIFIERS: [&str; 6] = ["SPAM", "ABUSE", "OFF_TOPIC", "OUTDATED", "DUPLICATE", "RESOLVED"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    query: String,
    variables: Value,
}

/// `POST /graphql`: `viewer`, `minimizeComment`, `unminimizeComment`; other queries are answered with an error, status 200.
pub(super) async fn query(State(github): State<GitHub>, caller: Caller, body: Bytes) -> Result<Json<Value>, Refusal> {
    let asked: Asked = parse(&body)?;
    let undo = asked.query.contains("unminimizeComment");
    if undo || asked.query.contains("minimizeComment") {
        return Ok(Json(github.minimize(&asked, undo)));
    }
    if asked.query.contains("viewer") {
        return Ok(Json(json!({ "data": { "viewer": { "login": caller.login() } } })));
    }
    Ok(Json(failed("UNSUPPORTED", "The embedded GitHub does not understand this query.")))
}

impl GitHub {
    fn minimize(&self, asked: &Asked, undo: bool) -> Value {
        let known = self.minimizable(asked);
        let Some((repository, id)) = known else {
            return failed("NOT_FOUND", "Could not resolve to a node with the given global id.");
        };
        let classifier = CLASSIFIERS.iter().find(|name| {
            let named = asked.variables.as_object().is_some_and(|variables| variables.values().any(|value| value == **name));
            named || asked.query.contains(*name)
        });
        let Some(classifier) = classifier.copied().or_else(|| undo.then_some("OUTDATED")) else {
            return failed("INVALID", "classifier is not one of the known ones.");
        };
        let mut state = self.state();
        let comment = state.repositories.get_mut(&repository).and_then(|repository| repository.comments.get_mut(&id));
        if let Some(comment) = comment {
            comment.minimized = (!undo).then(|| classifier.to_lowercase());
        }
        let (field, result) = if undo { ("unminimizeComment", "unminimizedComment") } else { ("minimizeComment", "minimizedComment") };
        json!({ "data": { field: { result: { "isMinimized": !undo, "minimizedReason": (!undo).then(|| classifier.to_lowercase()) } } } })
    }

    /// Returns the comment whose identity stands in the variables or in the query itself.
    fn minimizable(&self, asked: &Asked) -> Option<(String, i64)> {
        let state = self.state();
        let named = |identity: &str| {
            let variables = asked.variables.as_object();
            asked.query.contains(identity) || variables.is_some_and(|variables| variables.values().any(|value| value == identity))
        };
        state.repositories.iter().find_map(|(name, repository)| {
            let id = repository.comments.keys().find(|id| named(&node("IssueComment", id)))?;
            Some((name.clone(), *id))
        })
    }
}

fn failed(kind: &str, message: &str) -> Value {
    json!({ "data": null, "errors": [{ "type": kind, "message": message }] })
}
