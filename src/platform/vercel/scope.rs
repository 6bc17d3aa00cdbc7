//! In whose name a call is made: a team by id or slug, or the token's own account.

/// The scope of every call.
///
/// A call that names no team is answered in the token's default scope, with 403 for what belongs to another, even where the token reaches it
/// (vercel/vercel#11712). So every call carries the scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TeamScope {
    /// `teamId=`.
    Id(String),
    /// `slug=`.
    Slug(String),
    /// A personal account: nothing is sent.
    Personal,
}

impl TeamScope {
    /// Returns the scope that the text means.
    ///
    /// `team_…` is a team's id. `usr_…` and an opaque id, 24 letters and digits, are a personal account, for which nothing is sent (vercel.md 1).
    /// Anything else is a team's slug, which people write in the manifest.
    pub(super) fn parse(text: Option<&str>) -> Self {
        let text = text.map(str::trim).unwrap_or_default();
        let opaque = text.len() >= 20 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if text.starts_with("team_") {
            Self::Id(text.to_owned())
        } else if text.is_empty() || text.starts_with("usr_") || opaque {
            Self::Personal
        } else {
            Self::Slug(text.to_owned())
        }
    }

    /// Returns the member of the query that names it.
    pub(super) fn query(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Id(id) => Some(("teamId", id)),
            Self::Slug(slug) => Some(("slug", slug)),
            Self::Personal => None,
        }
    }
}

impl std::fmt::Display for TeamScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(name) | Self::Slug(name) => write!(f, "the team {name}"),
            Self::Personal => f.write_str("the token's own account"),
        }
    }
}
