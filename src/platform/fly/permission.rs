//! What the token can and cannot do, said before any gate runs: by what Fly answers about it, and by what it says of itself.

use super::FlyTarget;
use super::macaroon::{Actions, Said};
use super::wire::{CurrentTokens, TokenInfo};
use crate::platform::Problem;

/// How long before its end a token is warned about, in seconds: a week, so that no release is the first to tell.
const ENDING_SOON_SECONDS: i64 = 7 * 86_400;

/// Returns what tokens are for, by Fly's word: their apps, else their organisations; `None` where it does not say.
pub(super) fn reach_of(who: &CurrentTokens) -> Option<String> {
    let named = |word: &str, names: Vec<&str>| (!names.is_empty()).then(|| format!("{word} {}", names.join(", ")));
    let apps = who.tokens.iter().flat_map(|token| token.apps.iter().map(String::as_str)).collect();
    let organisations = who.tokens.iter().map(|token| token.org_slug.as_str()).filter(|slug| !slug.is_empty()).collect();
    named("app", apps).or_else(|| named("organisation", organisations))
}

impl FlyTarget {
    /// Returns what the token cannot do, so that it is known before the first write is refused. What Fly answers and what the token says of itself
    /// are both sure where they forbid something; where neither does, Fly may still refuse.
    pub(super) fn token_problems(&self, who: Option<&CurrentTokens>) -> Vec<Problem> {
        let of_fly = who.and_then(|who| self.misplaced(who));
        let said = self.client.token_said();
        of_fly.into_iter().chain(said.iter().flat_map(|said| [self.forbidden(*said), self.ending(*said)].into_iter().flatten())).collect()
    }

    /// Returns what the token is good for, in a line of the plan.
    pub(super) fn token_line(&self) -> String {
        match self.client.token_said() {
            None => "says nothing of what it may do: its first write shows it".to_owned(),
            Some(said) if said.actions.lacking() == Actions::NONE => format!("forbids itself nothing that a release does{}", until(said)),
            Some(said) => format!("may {} and not {}{}", said.actions.words(), said.actions.lacking().words(), until(said)),
        }
    }

    /// Returns where the token cannot be used, where every one of several says so.
    fn misplaced(&self, who: &CurrentTokens) -> Option<Problem> {
        let app = &self.settings.app;
        let machine = |token: &TokenInfo| !token.restricted_to_machine.is_empty();
        let other = |token: &TokenInfo| !token.apps.is_empty() && !token.apps.contains(app);
        if who.tokens.is_empty() || !who.tokens.iter().all(|token| machine(token) || other(token)) {
            return None;
        }
        let text = match who.tokens.iter().find(|token| machine(token)) {
            Some(token) => {
                format!("the token may only be used from machine {}, so it cannot release {app} from here.", token.restricted_to_machine)
            }
            None => format!("the token is for {}, so it can see {app} and not change it.", reach_of(who).unwrap_or_default()),
        };
        Some(self.problem(true, "fly::token", text, Some(self.other_token())))
    }

    /// Returns what the token forbids itself. Without the right to write nothing can be released; what else is lacking may be needed or not, by what the
    /// strategy does.
    fn forbidden(&self, said: Said) -> Option<Problem> {
        let app = &self.settings.app;
        let lacking = said.actions.lacking();
        if lacking == Actions::NONE {
            return None;
        }
        let (can, cannot) = (said.actions.words(), lacking.words());
        if !said.actions.contains(Actions::WRITE) {
            let text = format!("the token says of itself that it may {can} and not {cannot}: it cannot release {app}.");
            return Some(self.problem(true, "fly::token-cannot-write", text, Some(self.other_token())));
        }
        let text = format!(
            "the token says of itself that it may {can} and not {cannot}: a release of {app} is refused where it makes, starts, stops or removes machines."
        );
        Some(self.problem(false, "fly::token-limited", text, Some(self.other_token())))
    }

    /// Returns that the token has ended, or is about to.
    fn ending(&self, said: Said) -> Option<Problem> {
        let left = said.ends? - self.client.now().as_second();
        if left > ENDING_SOON_SECONDS {
            return None;
        }
        let end = at(said.ends?);
        if left <= 0 {
            let text = format!("the token says of itself that it ended at {end}.");
            return Some(self.problem(true, "fly::token-over", text, Some(self.other_token())));
        }
        let text = format!("the token ends at {end}; a release that is under way then cannot go on, and cannot go back.");
        Some(self.problem(false, "fly::token-ends", text, Some(self.other_token())))
    }

    fn other_token(&self) -> String {
        format!("fly tokens create deploy -a {}, and set FLY_API_TOKEN to all that it prints", self.settings.app)
    }
}

fn until(said: Said) -> String {
    said.ends.map(|end| format!(", until {}", at(end))).unwrap_or_default()
}

fn at(second: i64) -> String {
    jiff::Timestamp::from_second(second)
        .map_or_else(|_| format!("{second} s after 1970"), |end| end.strftime("%Y-%m-%d %H:%M UTC").to_string())
}
