//! Zones, records and purges as seeds and tests see them.

use super::Cloudflare;
use super::purge::Purge;
use super::records::Record;
use super::zones::Zone;

impl Cloudflare {
    /// Adds a zone without records; one that is there stays. Returns its id.
    pub fn seed_zone(&self, account: &str, name: &str) -> String {
        let id = self.identity().replace('-', "");
        let mut state = self.state();
        if let Some(known) = state.zones.values().find(|zone| zone.name == name) {
            return known.id.clone();
        }
        let zone = Zone { id: id.clone(), account: account.to_owned(), name: name.to_owned(), records: Vec::new() };
        state.zones.insert(id.clone(), zone);
        id
    }

    /// Makes `host` have this record and no other that leads to a host; in the zone of the longest name, which must be there.
    pub fn point(&self, host: &str, kind: &str, content: &str, proxied: bool) {
        let (id, created) = (self.identity().replace('-', ""), self.now());
        self.unpoint(host);
        {
            let mut state = self.state();
            let Some(zone) = state.zone_of(host).map(|zone| zone.id.clone()) else { return };
            let record = Record {
                id,
                kind: kind.to_owned(),
                name: host.to_owned(),
                content: content.trim_end_matches('.').to_owned(),
                proxied,
                ttl: 1,
                comment: None,
                created,
            };
            if let Some(zone) = state.zones.get_mut(&zone) {
                zone.records.push(record);
            }
        }
        self.look_at_domains();
    }

    /// Removes every record of `host`.
    pub fn unpoint(&self, host: &str) {
        for zone in self.state().zones.values_mut() {
            zone.records.retain(|record| record.name != host);
        }
    }

    /// Returns the records of `host`.
    pub fn records(&self, host: &str) -> Vec<Record> {
        let state = self.state();
        state.zones.values().flat_map(|zone| &zone.records).filter(|record| record.name == host).cloned().collect()
    }

    /// Returns every purge that was granted, in order.
    pub fn purges(&self) -> Vec<Purge> {
        self.state().purges.clone()
    }

    /// Returns the status of a custom hostname of any project.
    pub fn domain(&self, host: &str) -> Option<String> {
        let state = self.state();
        let mut domains = state.projects.values().flat_map(|project| &project.domains);
        domains.find(|(name, _)| name == host).map(|(_, status)| status.clone())
    }
}
