//! A token as people paste it: schemes, commas, macaroons.

use secrecy::{ExposeSecret, SecretString};

use super::macaroon::{Said, said};

/// One or more Fly tokens, sorted into macaroons and user tokens; never shown.
#[derive(Debug, Clone)]
pub struct FlyToken {
    macaroons: Vec<SecretString>,
    users: Vec<SecretString>,
}

impl FlyToken {
    /// Reads a token string: leading schemes (`FlyV1`, `Bearer`, any case, repeated) are dropped, commas separate pieces. A piece is a macaroon
    /// when what stands before its first `_` is `fm1r`, `fm1a` or `fm2`. `None` when nothing is left.
    pub fn parse(text: &SecretString) -> Option<Self> {
        let mut rest = unquoted(text.expose_secret());
        while let Some((scheme, tail)) = rest.split_once(char::is_whitespace)
            && ["flyv1", "bearer"].contains(&scheme.to_ascii_lowercase().as_str())
        {
            rest = tail.trim_start();
        }
        let pieces = rest.split(',').map(unquoted).filter(|piece| !piece.is_empty());
        let (macaroons, users): (Vec<&str>, Vec<&str>) = pieces.partition(|piece| is_macaroon(piece));
        let secret = |pieces: Vec<&str>| pieces.into_iter().map(|piece| SecretString::from(piece.to_owned())).collect();
        let token = Self { macaroons: secret(macaroons), users: secret(users) };
        (!token.macaroons.is_empty() || !token.users.is_empty()).then_some(token)
    }

    /// Returns every piece for the masker, and the pieces joined as they are sent.
    pub fn pieces(&self) -> Vec<SecretString> {
        let mut pieces: Vec<SecretString> = self.macaroons.iter().chain(&self.users).cloned().collect();
        for joined in [self.joined_macaroons(), self.all()] {
            if pieces.iter().all(|piece| piece.expose_secret() != joined) && !joined.is_empty() {
                pieces.push(joined.into());
            }
        }
        pieces
    }

    /// Returns the `Authorization` of the Machines API and the logs: macaroons alone if there is one, otherwise the user token.
    pub(super) fn machines_header(&self) -> String {
        if self.macaroons.is_empty() { format!("Bearer {}", join(&self.users)) } else { format!("FlyV1 {}", self.joined_macaroons()) }
    }

    /// Returns the `Authorization` of GraphQL: everything, macaroons first.
    pub(super) fn graphql_header(&self) -> String {
        let scheme = if self.macaroons.is_empty() { "Bearer" } else { "FlyV1" };
        format!("{scheme} {}", self.all())
    }

    /// Returns the `Authorization` of the REST on api.fly.io: always `Bearer`, everything.
    pub(super) fn rest_header(&self) -> String {
        format!("Bearer {}", self.all())
    }

    /// Returns the password for the image registry, whose user name is `x`.
    pub fn registry_password(&self) -> SecretString {
        if self.macaroons.is_empty() { join(&self.users).into() } else { self.joined_macaroons().into() }
    }

    /// Returns what the token says of itself; `None` for a user's token, which says nothing, and where a macaroon cannot be read.
    pub fn said(&self) -> Option<Said> {
        said(self.macaroons.iter().map(ExposeSecret::expose_secret))
    }

    fn joined_macaroons(&self) -> String {
        join(&self.macaroons)
    }

    fn all(&self) -> String {
        let all: Vec<SecretString> = self.macaroons.iter().chain(&self.users).cloned().collect();
        join(&all)
    }
}

/// Returns a text without the white space and the quotes around it, which people paste along.
fn unquoted(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'')
}

fn join(pieces: &[SecretString]) -> String {
    pieces.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>().join(",")
}

fn is_macaroon(piece: &str) -> bool {
    piece.split_once('_').is_some_and(|(prefix, _)| ["fm1r", "fm1a", "fm2"].contains(&prefix))
}
