//! What a revision of an app needs to be found again: kept in the journal, so no value of a variable is ever in it.

use serde::{Deserialize, Serialize};

use super::content::machine_digest;
use super::toml::Strategy;
use super::wire::Machine;
use crate::http::Platform;
use crate::platform::{PlatformError, PlatformErrorKind, Revision};

/// The hints of a revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Hints {
    /// The app.
    pub(super) app: String,
    /// The strategy by which it was made; none when it was only observed.
    pub(super) strategy: Option<Strategy>,
    /// The image to run, by digest.
    pub(super) image: String,
    /// The GETs that are added as checks.
    pub(super) gets: Vec<String>,
    /// Its machines.
    pub(super) machines: Vec<MachineHint>,
    /// Machines of other revisions that served beside it: who goes back to it leaves them what they were.
    pub(super) beside: Vec<MachineHint>,
}

/// One machine of a revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct MachineHint {
    /// Its id.
    pub(super) id: String,
    /// Its version; empty while it is only rendered (an in-place update that has not happened).
    pub(super) instance_id: String,
    /// The version that an in-place update replaces; empty for all others.
    pub(super) replaces: String,
    /// Where it is.
    pub(super) region: String,
    /// Its process group.
    pub(super) group: String,
    /// Its name.
    pub(super) name: String,
    /// The digest of its config's content.
    pub(super) config_digest: String,
    /// The image's digest, where the platform says it.
    pub(super) image_digest: Option<String>,
    /// The image by digest.
    pub(super) image: String,
    /// Whether it runs, as opposed to being stopped until a request or a dead host needs it.
    pub(super) launched: bool,
}

impl Hints {
    /// Reads the hints of a revision of `app`; a revision of something else is refused.
    pub(super) fn of(revision: &Revision, app: &str) -> Result<Self, PlatformError> {
        let unusable =
            |why: String| PlatformError::new(Platform::Fly, "read_hints", format!("app {app}"), PlatformErrorKind::Impossible(why));
        let hints: Self = serde_json::from_value(revision.hints.clone())
            .map_err(|error| unusable(format!("the revision {} cannot be understood: {error}", revision.label)))?;
        if hints.app == app {
            return Ok(hints);
        }
        Err(unusable(format!("the revision {} belongs to app {}, not to {app}", revision.label, hints.app)))
    }

    pub(super) fn to_value(&self) -> serde_json::Value {
        // Strings, flags and lists always serialize.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl MachineHint {
    /// Returns the hint of a machine as it is.
    pub(super) fn observed(machine: &Machine, group: &str) -> Self {
        Self {
            id: machine.id.clone(),
            instance_id: machine.instance_id.clone(),
            replaces: String::new(),
            region: machine.region.clone(),
            group: group.to_owned(),
            name: machine.name.clone(),
            config_digest: machine_digest(machine),
            image_digest: machine.image_digest(),
            image: machine.pinned_image(),
            launched: runs(machine),
        }
    }

    /// Returns whether a machine is what this hint means: the same version, or another with the same content.
    pub(super) fn matches(&self, machine: &Machine) -> bool {
        let same_version = !self.instance_id.is_empty() && self.instance_id == machine.instance_id;
        same_version || self.same_content(machine)
    }

    /// Returns whether a machine has this hint's content, whichever machine it is.
    pub(super) fn same_content(&self, machine: &Machine) -> bool {
        let digest = machine.image_digest();
        let same_image = if self.image_digest.is_some() { digest == self.image_digest } else { machine.pinned_image() == self.image };
        same_image && !self.config_digest.is_empty() && self.config_digest == machine_digest(machine)
    }
}

/// Returns whether a machine runs or is on its way to; what an update of it must launch (fly.md 14).
///
/// A state that nobody knows yet counts as running: a machine too many costs a little, one too few costs users.
pub(super) fn runs(machine: &Machine) -> bool {
    !["created", "stopped", "stopping", "suspended", "suspending", "destroyed", "destroying", "launch_failed"]
        .contains(&machine.state.as_str())
}
