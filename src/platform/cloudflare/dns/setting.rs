//! Set right: attached first, then the record (cloudflare.md 7.6: a record without the platform's side answers an error).

use std::collections::BTreeMap;

use super::Hostnames;
use super::standing::{Standing, in_words, standing};
use super::wire::{Record, Zone};
use super::zone::hinted;
use crate::event::Level;
use crate::http::Platform;
use crate::platform::cloudflare::envelope::code;
use crate::platform::{AnyTarget, Attached, Leading, PlatformError, PlatformErrorKind, Scope, Target};
use crate::shutdown;

/// How often a record is made or changed before that is given up: lost answers use up tries.
const TRIES: usize = 3;

impl Hostnames {
    /// Returns what the managed hostnames of a target are now, by names for the journal: what a person goes back to by hand. Changes nothing.
    pub async fn as_they_are(&self, target: &AnyTarget) -> Result<BTreeMap<String, String>, PlatformError> {
        let mut facts = BTreeMap::new();
        let Some(of) = self.of(target.name()).filter(|of| of.manage) else { return Ok(facts) };
        for host in &of.hosts {
            let zone = self.zone(host).await?;
            let records = self.client()?.records(&zone, host).await.map_err(hinted)?;
            let said = if records.is_empty() { "no record".to_owned() } else { whole(&records) };
            facts.insert(format!("dns {host}"), said);
        }
        Ok(facts)
    }

    /// Makes every managed hostname of a target lead there; what is right is left alone. Called again it finds its own work.
    ///
    /// It does not wait until the platform answers: see [`Hostnames::under_way`]. Errors: a record that cannot be made, or an address in the
    /// way, which only a person may remove.
    pub async fn set_right(&self, scope: &Scope, target: &AnyTarget) -> Result<(), PlatformError> {
        let Some(of) = self.of(target.name()).filter(|of| of.manage) else { return Ok(()) };
        for host in &of.hosts {
            self.set_one(scope, target, host).await?;
        }
        Ok(())
    }

    /// Returns the first managed hostname of a target that its platform does not answer for yet although its record is right, and where that is.
    pub async fn under_way(&self, target: &AnyTarget) -> Result<Option<(String, String)>, PlatformError> {
        for host in self.of(target.name()).filter(|of| of.manage).iter().flat_map(|of| &of.hosts) {
            if let Some(Leading { attached: Attached::UnderWay(status), .. }) = target.leading(host).await? {
                return Ok(Some((host.clone(), status)));
            }
        }
        Ok(None)
    }

    async fn set_one(&self, scope: &Scope, target: &AnyTarget, host: &str) -> Result<(), PlatformError> {
        let Some(mut leading) = target.leading(host).await? else { return Ok(()) };
        if leading.attached == Attached::No {
            if !target.attaches() {
                let text = format!("{} does not know {host}", target.thing());
                return Err(refused(host, PlatformErrorKind::Impossible(text)).hint(leading.attach_hint));
            }
            scope.step(target.name(), format!("attaches {host} to {}", target.thing()));
            target.attach(scope, host).await?;
            leading = target.leading(host).await?.unwrap_or(leading);
        }
        let zone = self.zone(host).await?;
        let mut last = None;
        for _ in 0..TRIES {
            if scope.shutdown.level() >= shutdown::Level::Drain {
                return Err(refused(host, PlatformErrorKind::Cancelled));
            }
            let records = self.client()?.records(&zone, host).await.map_err(hinted)?;
            match self.set_once(scope, target, &zone, host, &records, &leading).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => last = Some(error),
            }
        }
        let text = format!("the record of {host} would not become `{}`", leading.wanted());
        Err(last.unwrap_or_else(|| refused(host, PlatformErrorKind::Unexpected(text))))
    }

    /// Does one step; `true` when nothing is left to do. An error after which another look is worth it is `Ok(false)`.
    async fn set_once(
        &self,
        scope: &Scope,
        target: &AnyTarget,
        zone: &Zone,
        host: &str,
        records: &[Record],
        leading: &Leading,
    ) -> Result<bool, PlatformError> {
        let Some((kind, content)) = leading.records.first() else { return Ok(true) };
        let client = self.client()?;
        let (result, was) = match standing(records, leading) {
            Standing::Right => return Ok(true),
            Standing::InTheWay(records) => {
                let text = format!("{host} has `{}` in the way of `{}`", in_words(&records), leading.wanted());
                let hint = "remove these records once nothing needs them; cutover never removes an address";
                return Err(refused(host, PlatformErrorKind::Refused(text)).hint(hint));
            }
            Standing::Missing => {
                scope.step(target.name(), format!("makes the record of {host}: {}", leading.wanted()));
                (client.create_record(zone, host, *kind, content, leading.proxied).await, None)
            }
            Standing::Elsewhere(record) => {
                scope.step(target.name(), format!("changes the record of {host} to {}", leading.wanted()));
                (client.change_record(zone, &record, *kind, content, leading.proxied).await, Some(record))
            }
            Standing::Proxying(wrong) => {
                let Some(record) = wrong.into_iter().next() else { return Ok(true) };
                let Some(kind) = record.leads() else { return Ok(true) };
                scope.step(target.name(), format!("changes the proxy status of {host}"));
                (client.change_record(zone, &record, kind, &record.content, leading.proxied).await, Some(record))
            }
        };
        match result {
            Ok(()) => {}
            // Somebody has made it meanwhile, or we have, and the answer was lost: the next look tells.
            Err(refusal) if refusal.code.is_some_and(|code| code::RECORD_EXISTS.contains(&code)) || refusal.error.ambiguous() => {
                return Ok(false);
            }
            Err(refusal) => return Err(hinted(refusal)),
        }
        if let Some(was) = was {
            let text =
                format!("{}: the record of {host} was `{}`; that is what to put back by hand to undo it.", target.name(), was.whole());
            scope.events.notice(Level::Warning, "dns::changed", text);
        }
        Ok(false)
    }
}

fn whole(records: &[Record]) -> String {
    records.iter().map(Record::whole).collect::<Vec<_>>().join("; ")
}

fn refused(host: &str, kind: PlatformErrorKind) -> PlatformError {
    PlatformError::new(Platform::Cloudflare, "set_record", format!("record of {host}"), kind)
}
