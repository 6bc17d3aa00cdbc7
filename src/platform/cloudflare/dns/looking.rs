//! Verified: zone, record, proxy, platform's side, TLS; whatever is wrong is told with what is there now and what must be there.

use futures_util::future::join_all;
use http::Method;
use url::Url;

use super::standing::{Standing, in_words, standing};
use super::zone::hinted;
use super::{Hostnames, TargetHostnames};
use crate::http::{Call, Platform, Repeat, Via};
use crate::platform::{AnyTarget, Attached, Leading, PlatformError, Problem, Scope, Target};

/// The statuses by which Cloudflare's edge says that it has no certificate or no origin for a hostname (cloudflare.md 4.2).
const UNREACHABLE: [u16; 4] = [522, 525, 526, 530];

/// One hostname of a target that is looked at.
struct Look<'a> {
    target: &'a AnyTarget,
    of: &'a TargetHostnames,
    host: &'a str,
}

impl Hostnames {
    /// Returns what is wrong with the hostnames of a target. Changes nothing; what cannot be looked at is wrong, too, but for a cancelled run, which
    /// is an error.
    pub async fn problems(&self, _: &Scope, target: &AnyTarget) -> Result<Vec<Problem>, PlatformError> {
        let Some(of) = self.of(target.name()) else { return Ok(Vec::new()) };
        let looks = of.hosts.iter().map(async |host| {
            let look = Look { target, of, host };
            match self.look(&look).await {
                Ok(problems) => Ok(problems),
                Err(error) if error.cancelled() => Err(error),
                Err(error) => {
                    let hint = error.hints.join("; ");
                    Ok(vec![look.problem(true, "dns::unseen", format!("{host} could not be verified: {error}."), hint)])
                }
            }
        });
        let found: Result<Vec<Vec<Problem>>, PlatformError> = join_all(looks).await.into_iter().collect();
        Ok(found?.into_iter().flatten().collect())
    }

    async fn look(&self, look: &Look<'_>) -> Result<Vec<Problem>, PlatformError> {
        let client = self.client()?;
        let zone = self.zone(look.host).await?;
        let records = client.records(&zone, look.host).await.map_err(hinted)?;
        let Some(leading) = look.target.leading(look.host).await? else {
            let text = format!("{} says of no hostname where it must lead, so {} was not verified.", look.target.platform(), look.host);
            return Ok(vec![look.problem(false, "dns::unknown", text, String::new())]);
        };
        let standing = standing(&records, &leading);
        let mut problems: Vec<Problem> = look.not_attached(&leading).into_iter().collect();
        let leads = matches!(standing, Standing::Right | Standing::Proxying(_));
        problems.extend(look.record_problem(&standing, &leading));
        // What leads elsewhere, or is not attached, says nothing of this platform's certificate.
        if leads && leading.attached == Attached::Yes {
            problems.extend(self.unreachable(look).await);
        }
        Ok(problems)
    }

    /// Asks the hostname by HTTPS; whatever answers has a certificate.
    async fn unreachable(&self, look: &Look<'_>) -> Option<Problem> {
        let client = self.client.as_ref()?;
        let url = Url::parse(&format!("https://{}/", look.host)).ok()?;
        let mut call = Call::new(Platform::Public, "ask_hostname", Method::HEAD, url);
        call.via = Via::Public { edge: 0 };
        // Whatever answers has a certificate; asking again would only make people wait.
        call.repeat = Repeat::Never;
        let why = match client.transport.send(call).await {
            Ok(answer) if UNREACHABLE.contains(&answer.status.as_u16()) => format!("it answers {}", answer.status.as_u16()),
            Ok(_) => return None,
            Err(error) => error.to_string(),
        };
        let text = format!("https://{}/ is not reachable: {why}.", look.host);
        let hint = "a certificate takes minutes to be issued; a CAA record, an Access policy or a redirect before /.well-known/acme-challenge \
                    keeps it from being issued";
        Some(look.problem(false, "dns::not-reachable", text, hint.to_owned()))
    }
}

impl Look<'_> {
    fn problem(&self, fatal: bool, code: &'static str, text: String, hint: String) -> Problem {
        Problem { target: self.target.name().clone(), fatal, code, text, hint: (!hint.is_empty()).then_some(hint) }
    }

    /// Returns what to do about a record: the release does it where it may.
    fn remedy(&self, what: &str) -> String {
        if self.of.manage { String::new() } else { format!("{what}, or write `manage: true` at `dns` of {}", self.target.name()) }
    }

    fn not_attached(&self, leading: &Leading) -> Option<Problem> {
        let (host, thing) = (self.host, self.target.thing());
        match &leading.attached {
            Attached::Yes => None,
            Attached::UnderWay(status) => {
                let text = format!("{thing} does not answer for {host} yet: it is {status}.");
                Some(self.problem(false, "dns::not-active", text, leading.attach_hint.clone()))
            }
            Attached::No if self.of.manage && self.target.attaches() => None,
            Attached::No => {
                let text = format!("{thing} does not know {host}, so nothing answers there whatever the DNS says.");
                Some(self.problem(true, "dns::not-attached", text, leading.attach_hint.clone()))
            }
        }
    }

    fn record_problem(&self, standing: &Standing, leading: &Leading) -> Option<Problem> {
        let (host, wanted) = (self.host, leading.wanted());
        let told = |now: &str| format!("{host} must be `{wanted}`; it is {now}.");
        match standing {
            Standing::Right => None,
            Standing::Missing if self.of.manage => None,
            Standing::Missing => {
                let text = format!("{host} has no record; it must be `{wanted}`.");
                Some(self.problem(true, "dns::missing", text, self.remedy("make it in the zone's DNS")))
            }
            Standing::Elsewhere(_) if self.of.manage => None,
            Standing::Elsewhere(record) => {
                let text = told(&format!("`{}`, which leads elsewhere", record.in_words()));
                Some(self.problem(true, "dns::elsewhere", text, self.remedy("change it in the zone's DNS")))
            }
            Standing::InTheWay(records) => {
                let text = told(&format!("`{}`, which leads elsewhere", in_words(records)));
                let hint = "remove these records in the zone's DNS once nothing needs them; cutover never removes an address".to_owned();
                Some(self.problem(true, "dns::in-the-way", text, hint))
            }
            Standing::Proxying(_) if self.of.manage => None,
            Standing::Proxying(records) => {
                let text = told(&format!("`{}`", in_words(records)));
                Some(self.problem(false, "dns::proxied", text, self.remedy("change its proxy status in the zone's DNS")))
            }
        }
    }
}
