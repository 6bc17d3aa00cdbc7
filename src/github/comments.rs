//! Comments of a pull request (<https://docs.github.com/rest/issues/comments>).

use http::Method;
use serde::{Deserialize, Serialize};

use super::{GitHub, GitHubError};

/// The longest comment that GitHub takes, in characters; a longer one is refused with 422.
pub const MAX_COMMENT_CHARACTERS: usize = 65_536;

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its id; smaller means earlier.
    pub id: u64,
    /// Its text as written.
    pub body: String,
    /// Who wrote it; `None` when that account is gone.
    pub author: Option<String>,
    /// Its page.
    pub url: Option<String>,
}

#[derive(Deserialize)]
struct CommentAnswer {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    user: Option<Account>,
    #[serde(default)]
    html_url: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    login: String,
}

#[derive(Serialize)]
struct CommentBody<'a> {
    body: &'a str,
}

impl From<CommentAnswer> for Comment {
    fn from(answer: CommentAnswer) -> Self {
        Self { id: answer.id, body: answer.body.unwrap_or_default(), author: answer.user.map(|user| user.login), url: answer.html_url }
    }
}

impl GitHub {
    /// Returns all comments of a pull request, earliest first.
    pub async fn comments(&self, pull_request: u64) -> Result<Vec<Comment>, GitHubError> {
        let route = format!("/issues/{pull_request}/comments?per_page=100");
        self.get_all("list_comments", &route, |page: Vec<CommentAnswer>| page.into_iter().map(Comment::from).collect()).await
    }

    /// Writes a new comment. It is not repeated: after a lost answer the caller looks for it.
    ///
    /// Needs `pull-requests: write`.
    pub async fn create_comment(&self, pull_request: u64, body: &str) -> Result<Comment, GitHubError> {
        let route = format!("/issues/{pull_request}/comments");
        let page = self.change("create_comment", Method::POST, &route, Some(&CommentBody { body })).await?;
        page.decode::<CommentAnswer>().map(Comment::from)
    }

    /// Replaces a comment's text. Sent twice it has no further effect.
    pub async fn update_comment(&self, id: u64, body: &str) -> Result<(), GitHubError> {
        let route = format!("/issues/comments/{id}");
        match self.change("update_comment", Method::PATCH, &route, Some(&CommentBody { body })).await {
            Err(error) if error.may_have_happened() => {
                self.change("update_comment", Method::PATCH, &route, Some(&CommentBody { body })).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Removes a comment; gone already is done.
    pub async fn delete_comment(&self, id: u64) -> Result<(), GitHubError> {
        let route = format!("/issues/comments/{id}");
        match self.change("delete_comment", Method::DELETE, &route, None::<&()>).await {
            Ok(_) | Err(GitHubError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the account that a person's token belongs to.
    pub(super) async fn login(&self) -> Result<String, GitHubError> {
        self.get_global::<Account>("get_user", "/user").await.map(|account| account.login)
    }
}
