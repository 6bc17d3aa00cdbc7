//! What a rehearsal breaks on purpose.

use super::Embedded;
use crate::embedded::cloudflare;
use crate::embedded::fault::{Answer, Effect, Rule, Times};
use crate::embedded::vercel::Fate;

impl Embedded {
    /// Makes Fly refuse to register any machine of an app from now on.
    pub(in crate::cli) fn refuse_registration(&self, app: &str) {
        let body = r#"{"error":"registration is refused, as the rehearsal asked for"}"#;
        let answer = Answer::Status { code: 422, body: body.to_owned(), headers: Vec::new() };
        if let Some(rule) = Rule::at(&format!("fly.uncordon_machine[{app}]"), Effect::None, answer) {
            self.world.ground().faults.set(rule.times(Times::Forever));
        }
    }

    /// Sets the fate of the next staging deployment of a Pages project, or of its next production deployment; on a first release a placeholder is
    /// made before it.
    pub(in crate::cli) fn break_next_pages(&self, project: &str, production: bool, fate: cloudflare::Fate, first: bool) {
        if first {
            self.cloudflare.next(project, production, cloudflare::Fate::default());
        }
        self.cloudflare.next(project, production, fate);
    }

    /// Makes the embedded Cloudflare refuse what a worker is asked for by `operation` from now on.
    pub(in crate::cli) fn refuse_worker(&self, operation: &str, worker: &str) {
        let body =
            r#"{"success":false,"errors":[{"code":10021,"message":"refused, as the rehearsal asked for"}],"messages":[],"result":null}"#;
        let answer = Answer::Status { code: 400, body: body.to_owned(), headers: Vec::new() };
        if let Some(rule) = Rule::at(&format!("cloudflare.{operation}[{worker}]"), Effect::None, answer) {
            self.world.ground().faults.set(rule.times(Times::Forever));
        }
    }

    /// Sets the fate of the deployment that a release of `project` makes; on a first release a placeholder is made before it.
    pub(in crate::cli) fn break_next_deployment(&self, project: &str, fate: Fate, first: bool) {
        if first {
            self.vercel.next(project, Fate::default());
        }
        self.vercel.next(project, fate);
    }
}
