//! Shapes that many answers share: accounts, repositories, times, links.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::state::Repository;

/// The account of an Actions job's token (vendor's documentation: id 41898282).
pub(super) const ACTIONS_BOT: &str = "github-actions[bot]";

/// Returns milliseconds since 1970 as the API writes times.
pub(super) fn moment(ms: i64) -> String {
    jiff::Timestamp::from_second(ms.div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Returns an opaque identity for GraphQL.
pub(super) fn node(kind: &str, id: impl std::fmt::Display) -> String {
    STANDARD.encode(format!("0:{kind}:{id}")).trim_end_matches('=').to_owned()
}

/// Returns an account.
pub(super) fn user(base: &str, login: &str) -> Value {
    let bot = login.ends_with("[bot]");
    let id = if login == ACTIONS_BOT {
        41_898_282
    } else {
        10_000_000 + login.bytes().fold(0, |sum: i64, byte| (sum * 31 + i64::from(byte)) % 1_000_000)
    };
    let url = format!("{base}/users/{}", login.replace('[', "%5B").replace(']', "%5D"));
    let mut body = json!({
        "login": login,
        "id": id,
        "node_id": node("User", id),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}"),
        "gravatar_id": "",
        "url": url,
        "html_url": format!("https://github.com/{}", if bot { "apps/github-actions" } else { login }),
        "type": if bot { "Bot" } else { "User" },
        "site_admin": false,
    });
    let below = [
        ("followers_url", "followers"),
        ("following_url", "following{/other_user}"),
        ("gists_url", "gists{/gist_id}"),
        ("starred_url", "starred{/owner}{/repo}"),
        ("subscriptions_url", "subscriptions"),
        ("organizations_url", "orgs"),
        ("repos_url", "repos"),
        ("events_url", "events{/privacy}"),
        ("received_events_url", "received_events"),
    ];
    for (name, tail) in below {
        body[name] = format!("{url}/{tail}").into();
    }
    body
}

/// Returns the API's address of a repository.
pub(super) fn address(base: &str, repository: &Repository) -> String {
    format!("{base}/repos/{}", repository.full_name())
}

/// Returns the page of a repository.
pub(super) fn page(repository: &Repository) -> String {
    format!("https://github.com/{}", repository.full_name())
}

/// Returns a repository as other answers embed it.
pub(super) fn minimal(base: &str, repository: &Repository) -> Value {
    let url = address(base, repository);
    let mut body = json!({
        "id": repository.id,
        "node_id": node("Repository", repository.id),
        "name": repository.name,
        "full_name": repository.full_name(),
        "owner": user(base, &repository.owner),
        "private": repository.private,
        "html_url": page(repository),
        "description": null,
        "fork": false,
        "url": url,
    });
    let below = [
        ("archive_url", "{archive_format}{/ref}"),
        ("assignees_url", "assignees{/user}"),
        ("blobs_url", "git/blobs{/sha}"),
        ("branches_url", "branches{/branch}"),
        ("collaborators_url", "collaborators{/collaborator}"),
        ("comments_url", "comments{/number}"),
        ("commits_url", "commits{/sha}"),
        ("compare_url", "compare/{base}...{head}"),
        ("contents_url", "contents/{+path}"),
        ("contributors_url", "contributors"),
        ("deployments_url", "deployments"),
        ("downloads_url", "downloads"),
        ("events_url", "events"),
        ("forks_url", "forks"),
        ("git_commits_url", "git/commits{/sha}"),
        ("git_refs_url", "git/refs{/sha}"),
        ("git_tags_url", "git/tags{/sha}"),
        ("hooks_url", "hooks"),
        ("issue_comment_url", "issues/comments{/number}"),
        ("issue_events_url", "issues/events{/number}"),
        ("issues_url", "issues{/number}"),
        ("keys_url", "keys{/key_id}"),
        ("labels_url", "labels{/name}"),
        ("languages_url", "languages"),
        ("merges_url", "merges"),
        ("milestones_url", "milestones{/number}"),
        ("notifications_url", "notifications{?since,all,participating}"),
        ("pulls_url", "pulls{/number}"),
        ("releases_url", "releases{/id}"),
        ("stargazers_url", "stargazers"),
        ("statuses_url", "statuses/{sha}"),
        ("subscribers_url", "subscribers"),
        ("subscription_url", "subscription"),
        ("tags_url", "tags"),
        ("teams_url", "teams"),
        ("trees_url", "git/trees{/sha}"),
    ];
    for (name, tail) in below {
        body[name] = format!("{url}/{tail}").into();
    }
    body
}

/// Returns a repository as pull requests embed it.
pub(super) fn ordinary(base: &str, repository: &Repository) -> Value {
    let mut body = minimal(base, repository);
    let page = page(repository);
    let more = json!({
        "default_branch": repository.default_branch,
        "clone_url": format!("{page}.git"),
        "git_url": format!("git://github.com/{}.git", repository.full_name()),
        "ssh_url": format!("git@github.com:{}.git", repository.full_name()),
        "svn_url": page,
        "mirror_url": null,
        "homepage": null,
        "language": null,
        "license": null,
        "forks": 0,
        "forks_count": 0,
        "open_issues": 0,
        "open_issues_count": 0,
        "stargazers_count": 0,
        "watchers": 0,
        "watchers_count": 0,
        "size": 0,
        "has_issues": true,
        "has_projects": false,
        "has_wiki": false,
        "has_pages": false,
        "has_downloads": true,
        "has_discussions": false,
        "archived": false,
        "disabled": false,
        "visibility": if repository.private { "private" } else { "public" },
        "created_at": moment(repository.created),
        "updated_at": moment(repository.created),
        "pushed_at": moment(repository.created),
    });
    extend(&mut body, more);
    body
}

/// Returns what a fork of a repository has of its own.
pub(super) fn fork(base: &str, repository: &Repository, owner: &str) -> Value {
    let name = format!("{owner}/{}", repository.name);
    json!({ "id": repository.id + 1, "full_name": name, "owner": user(base, owner), "fork": true })
}

/// Returns a repository as its own answer shows it.
pub(super) fn full(base: &str, repository: &Repository) -> Value {
    let mut body = ordinary(base, repository);
    extend(&mut body, json!({ "network_count": 0, "subscribers_count": 0 }));
    body
}

/// Adds the members of `more` to `body`.
pub(super) fn extend(body: &mut Value, more: Value) {
    if let (Value::Object(members), Value::Object(more)) = (body, more) {
        members.extend(more);
    }
}

/// Returns an app as check runs embed it.
pub(super) fn actions_app(base: &str) -> Value {
    let permissions: Map<String, Value> =
        [("checks", "write"), ("contents", "read")].map(|(name, level)| (name.to_owned(), level.into())).into_iter().collect();
    json!({
        "id": 15368,
        "slug": "github-actions",
        "node_id": node("App", 15368),
        "owner": user(base, "github"),
        "name": "GitHub Actions",
        "description": "Automate your workflow from idea to production",
        "external_url": "https://help.github.com/en/actions",
        "html_url": "https://github.com/apps/github-actions",
        "created_at": "2018-07-30T09:30:17Z",
        "updated_at": "2019-12-10T19:04:12Z",
        "permissions": permissions,
        "events": [],
    })
}
