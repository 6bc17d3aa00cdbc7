//! Who calls, and in whose name: the token and the team that a request names.

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use super::refusal::Refusal;
use super::state::{Deployment, Project, State, Token};
use super::{ProjectSeed, Vercel};

/// A known caller and the scope that it acts in.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) user: String,
    /// The id of the team, or of the user for a personal account.
    pub(super) scope: String,
    token: Token,
}

impl FromRequestParts<Vercel> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, vercel: &Vercel) -> Result<Self, Refusal> {
        vercel.make_room(parts);
        let state = vercel.state();
        let token = known(&state, &parts.headers)?;
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        // An empty value is what clients send for "none".
        let asked = |name: &str| {
            url::form_urlencoded::parse(query).find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.into_owned())
        };
        let Some(team) = asked("teamId").or_else(|| asked("slug")) else {
            return Ok(Self { user: token.user.clone(), scope: token.user.clone(), token });
        };
        // A user's own id in the place of a team means the personal account.
        if team == token.user {
            return Ok(Self { user: token.user.clone(), scope: token.user.clone(), token });
        }
        let scope = state.team(&team).map(|team| team.id.clone()).filter(|id| token.teams.contains(id));
        let scope = scope.ok_or_else(|| Refusal::forbidden(format!("Not authorized: Trying to access resource under scope \"{team}\". You must re-authenticate to this scope or use a token with access to this scope.")))?;
        Ok(Self { user: token.user.clone(), scope, token })
    }
}

impl Vercel {
    /// In an open world: makes the token, the team and the project that a request names exist.
    fn make_room(&self, parts: &Parts) {
        if !self.state().switches.open_to_anyone {
            return;
        }
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(text) = header.and_then(|value| value.strip_prefix("Bearer ")).filter(|text| !text.is_empty()) else { return };
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let asked = url::form_urlencoded::parse(query).find(|(key, value)| (key == "teamId" || key == "slug") && !value.is_empty());
        let team = asked.map(|(_, value)| value.into_owned()).filter(|team| !team.starts_with("usr_"));
        if let Some(team) = &team
            && self.state().team(team).is_none()
        {
            self.seed_team(team, team.trim_start_matches("team_"));
        }
        let teams: Vec<String> = self.state().teams.keys().cloned().collect();
        let user = format!("usr_{}", "sandbox");
        self.seed_token(text, &user, &teams.iter().map(String::as_str).collect::<Vec<_>>(), None);
        let mut segments = parts.uri.path().split('/').skip_while(|part| *part != "projects").skip(1);
        if let Some(project) = segments.next().filter(|project| !project.is_empty())
            && self.state().project(project).is_none()
        {
            let scope = team.as_ref().and_then(|team| self.state().team(team).map(|team| team.id.clone())).unwrap_or(user);
            self.seed_project(ProjectSeed::new(project.trim_start_matches("prj_"), project, &scope));
        }
    }
}

fn known(state: &State, headers: &HeaderMap) -> Result<Token, Refusal> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(text) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "forbidden", "The request is missing an authentication token")
            .with("missingToken", true));
    };
    state.tokens.get(text).cloned().ok_or_else(|| {
        let status = StatusCode::from_u16(state.switches.unknown_token_status).unwrap_or(StatusCode::FORBIDDEN);
        Refusal::new(status, "forbidden", "Not authorized").with("invalidToken", true)
    })
}

impl Caller {
    /// Returns the project called `text`, where this caller may see it in the scope it named.
    ///
    /// A project of another scope is 403, even where the token reaches that scope: the request has to name it (vercel/vercel#11712).
    pub(super) fn project<'a>(&self, state: &'a State, text: &str) -> Result<&'a Project, Refusal> {
        let in_scope = state.projects.values().find(|project| project.scope == self.scope && (project.id == text || project.name == text));
        let project = in_scope.or_else(|| state.projects.get(text));
        let project = project.ok_or_else(|| Refusal::not_found("Project not found."))?;
        self.admit(state, &project.scope, &project.id)?;
        Ok(project)
    }

    /// Returns the deployment called `text` (id, own hostname or alias), under the same rule.
    pub(super) fn deployment<'a>(&self, state: &'a State, text: &str) -> Result<&'a Deployment, Refusal> {
        let missing = || Refusal::not_found(format!("Can't find the deployment \"{text}\" under the context \"{}\"", self.scope));
        let deployment = state.deployment(text).ok_or_else(missing)?;
        self.admit(state, &deployment.scope, &deployment.project)?;
        Ok(deployment)
    }

    /// Refuses a project token: some account routes are closed to it.
    pub(super) fn whole_account(&self) -> Result<(), Refusal> {
        if self.token.project.is_some() { Err(Refusal::forbidden("Not authorized")) } else { Ok(()) }
    }

    /// Returns whether the token reaches `team`.
    pub(super) fn reaches(&self, team: &str) -> bool {
        self.token.teams.contains(team)
    }

    fn admit(&self, state: &State, scope: &str, project: &str) -> Result<(), Refusal> {
        if self.token.project.as_deref().is_some_and(|only| only != project) {
            return Err(Refusal::forbidden("You don't have permission to access this project."));
        }
        if scope != self.scope {
            let name = state.team(scope).map_or(scope, |team| team.slug.as_str());
            return Err(Refusal::forbidden(format!(
                "Not authorized: Trying to access resource under scope \"{name}\". You must re-authenticate to this scope or use a token with access to this scope."
            )));
        }
        Ok(())
    }
}
