//! What a run is to do, decided from what started it: pure, and the only place where an event becomes a release.

use crate::id::Name;
use crate::manifest::Manifest;
use crate::trigger::{DispatchAction, Permission, Source, Trigger};

/// What a run is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// Nothing at all, for a reason.
    Nothing {
        /// Why.
        because: String,
    },
    /// Gates, and nothing is released.
    GatesOnly {
        /// Why.
        because: String,
        /// Whose variables the gates get.
        environment: Option<Name>,
    },
    /// A release.
    Release {
        /// Of what.
        environment: Name,
        /// Stop before anything is changed.
        dry_run: bool,
    },
    /// A release of what an earlier one shipped.
    Rollback {
        /// Of what.
        environment: Name,
        /// Which release; `None` means the one before the one that serves.
        to: Option<String>,
        /// Stop before anything is changed.
        dry_run: bool,
    },
    /// A release, once more, of what an earlier one of the same environment shipped.
    Again {
        /// Of what.
        environment: Name,
        /// Which release.
        release: String,
        /// Stop before anything is changed.
        dry_run: bool,
    },
    /// A release of what another environment serves.
    Promote {
        /// The other environment.
        from: Name,
        /// Of what.
        to: Name,
        /// An earlier release of the other environment; `None` means the one that serves there.
        release: Option<String>,
        /// Stop before anything is changed.
        dry_run: bool,
    },
}

impl Ask {
    /// Returns the environment that is released, if one is.
    pub(super) const fn released(&self) -> Option<&Name> {
        match self {
            Self::Release { environment, .. }
            | Self::Rollback { environment, .. }
            | Self::Again { environment, .. }
            | Self::Promote { to: environment, .. } => Some(environment),
            Self::Nothing { .. } | Self::GatesOnly { .. } => None,
        }
    }
}

/// Why a trigger and a wish do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    /// The manifest has no such environment.
    #[error("the manifest has no environment {environment}{}", .suggestion.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    UnknownEnvironment {
        /// The one that was asked for.
        environment: Name,
        /// The nearest name.
        suggestion: Option<Name>,
    },
    /// The run does not stand on a branch that may release the environment.
    #[error("{environment} is released from {}, and this run stands on {branch}", .allowed.join(" or "))]
    WrongBranch {
        /// The environment.
        environment: Name,
        /// The branches that may.
        allowed: Vec<String>,
        /// Where the run stands.
        branch: String,
    },
    /// What started the run may release nothing.
    #[error("{event} may release nothing: {because}")]
    NotAllowed {
        /// What started it.
        event: String,
        /// Why.
        because: String,
    },
    /// What the dispatch asks for needs the command that is made for it.
    #[error("{event} is nothing that `cutover run` does; `cutover dispatch` does it")]
    ByDispatch {
        /// What started it.
        event: String,
    },
    /// A person must name the environment.
    #[error("which environment? The branch {} belongs to none; name it with --environment", .branch.as_deref().unwrap_or("(detached HEAD)"))]
    NotNamed {
        /// The branch that is checked out.
        branch: Option<String>,
    },
}

/// Decides what `run` does. `wish` is the environment named on the command line.
pub(super) fn ask(trigger: &Trigger, manifest: &Manifest, wish: Option<&Name>, dry_run: bool) -> Result<Ask, Misfit> {
    if let Some(name) = wish {
        known(manifest, name)?;
    }
    match trigger.permission() {
        Permission::Nothing { because } => Ok(Ask::Nothing { because }),
        Permission::GatesOnly { because } => {
            let base = match &trigger.source {
                Source::PullRequest(pull_request) => manifest.environment_of_branch(&pull_request.base_ref),
                _ => None,
            };
            Ok(Ask::GatesOnly { because, environment: base.cloned() })
        }
        Permission::Release { branch } => match &trigger.source {
            Source::Dispatch(dispatch) => {
                if dispatch.commit.is_some() || !matches!(dispatch.action, DispatchAction::Release | DispatchAction::Rollback) {
                    return Err(Misfit::ByDispatch { event: trigger.to_string() });
                }
                let environment = on_branch(manifest, wish.or(dispatch.environment.as_ref()), &branch)?;
                let Some(environment) = environment else { return Ok(no_environment(&branch)) };
                let (to, dry_run) = (dispatch.release.as_ref().map(|release| release.as_str().to_owned()), dry_run || dispatch.dry_run);
                Ok(match (dispatch.action, to) {
                    (DispatchAction::Rollback, to) => Ask::Rollback { environment, to, dry_run },
                    (_, Some(release)) => Ask::Again { environment, release, dry_run },
                    (_, None) => Ask::Release { environment, dry_run },
                })
            }
            _ => Ok(on_branch(manifest, wish, &branch)?
                .map_or_else(|| no_environment(&branch), |environment| Ask::Release { environment, dry_run })),
        },
        Permission::AsAsked => {
            let own = trigger.branch().and_then(|branch| manifest.environment_of_branch(branch));
            let environment = wish.or(own).cloned().ok_or_else(|| Misfit::NotNamed { branch: trigger.branch().map(str::to_owned) })?;
            Ok(Ask::Release { environment, dry_run })
        }
    }
}

/// Refuses where what started the run may release nothing, whatever a command says: a pull request's workflow holds no environment's fate.
pub(super) fn allowed(trigger: &Trigger) -> Result<(), Misfit> {
    match trigger.permission() {
        Permission::Release { .. } | Permission::AsAsked => Ok(()),
        Permission::GatesOnly { because } | Permission::Nothing { because } => {
            Err(Misfit::NotAllowed { event: trigger.to_string(), because })
        }
    }
}

/// Returns `name` if the manifest has it as an environment.
pub(super) fn known<'n>(manifest: &Manifest, name: &'n Name) -> Result<&'n Name, Misfit> {
    if manifest.environments.contains_key(name) {
        return Ok(name);
    }
    let near = |known: &&Name| strsim::damerau_levenshtein(known.as_str(), name.as_str());
    let suggestion = manifest.environments.keys().min_by_key(near).filter(|known| near(known) <= 3).cloned();
    Err(Misfit::UnknownEnvironment { environment: name.clone(), suggestion })
}

/// Returns the environment that a run on `branch` of the base repository may release; a named one must allow the branch.
pub(super) fn on_branch(manifest: &Manifest, named: Option<&Name>, branch: &str) -> Result<Option<Name>, Misfit> {
    let Some(name) = named else { return Ok(manifest.environment_of_branch(branch).cloned()) };
    known(manifest, name)?;
    let allowed = &manifest.environments[name].branches;
    if allowed.iter().any(|own| own == branch) {
        return Ok(Some(name.clone()));
    }
    let allowed = if allowed.is_empty() { vec!["no branch".to_owned()] } else { allowed.clone() };
    Err(Misfit::WrongBranch { environment: name.clone(), allowed, branch: branch.to_owned() })
}

fn no_environment(branch: &str) -> Ask {
    Ask::GatesOnly { because: format!("no environment is released from {branch}"), environment: None }
}
