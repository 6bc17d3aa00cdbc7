//! A sandbox without a product: what a request names comes to exist.

use http::Uri;

use super::GitHub;
use super::caller::{Level, Token};
use super::seed::{CommitSeed, PullSeed, RepositorySeed};

/// What a job's token may have at most.
const MOST: [(&str, Level); 7] = [
    ("contents", Level::Write),
    ("deployments", Level::Write),
    ("pull_requests", Level::Write),
    ("issues", Level::Write),
    ("checks", Level::Write),
    ("statuses", Level::Write),
    ("actions", Level::Write),
];

impl GitHub {
    /// In an open world: makes the token, the repository with a first commit, and the commit and pull request that the path names.
    pub(super) fn make_room(&self, token: &str, uri: &Uri) {
        if !self.state().switches.open_to_anyone {
            return;
        }
        self.state().tokens.entry(token.to_owned()).or_insert_with(|| Token::of_job(&MOST));
        let mut parts = uri.path().strip_prefix("/repos/").unwrap_or_default().split('/');
        let (Some(owner), Some(name)) = (parts.next(), parts.next()) else { return };
        let repository = format!("{owner}/{name}");
        if !self.state().repositories.contains_key(&repository) {
            self.seed_repository(&RepositorySeed::new(&repository));
            self.seed_commit(&repository, "main", CommitSeed { message: "first".to_owned(), ..CommitSeed::default() });
        }
        let (kind, what) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match (kind, what.parse()) {
            ("issues" | "pulls", Ok(number)) => self.make_pull(&repository, number),
            ("commits" | "statuses", _) => self.make_commit(&repository, what),
            _ => {}
        }
    }

    /// In an open world: makes the commit that a body names.
    pub(super) fn make_commit(&self, repository: &str, sha: &str) {
        let open = self.state().switches.open_to_anyone;
        let named = sha.len() == 40 && sha.bytes().all(|byte| byte.is_ascii_hexdigit());
        let unknown = self.state().repositories.get(repository).is_some_and(|known| known.git.commit(sha).is_none());
        if open && named && unknown {
            let seed = CommitSeed { sha: Some(sha.to_owned()), message: "made by a sandbox".to_owned(), ..CommitSeed::default() };
            self.seed_commit(repository, "sandbox", seed);
        }
    }

    fn make_pull(&self, repository: &str, number: i64) {
        let unknown = self.state().repositories.get(repository).is_some_and(|known| !known.pulls.contains_key(&number));
        if unknown {
            let seed = PullSeed {
                title: format!("Pull request {number}"),
                author: "sandbox".to_owned(),
                head_branch: "main".to_owned(),
                number: Some(number),
                ..PullSeed::default()
            };
            self.seed_pull(repository, seed);
        }
    }
}
