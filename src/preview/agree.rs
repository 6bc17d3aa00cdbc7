//! What base branch and head agree on. Pure.
//!
//! A pull request can write anything into its manifest. What it could use to reach further than its own preview (the product, which environment
//! previews, in which organisation, which projects and apps by name, which secrets) is therefore read from the base branch, and only the rest from the
//! head: what is built, how it runs, what judges it.

use std::collections::BTreeMap;

use crate::id::Name;
use crate::manifest::{CheckRequest, Manifest, PullRequests, Target, TargetPlatform};

/// The manifest of the base branch, with what it leaves to other files.
#[derive(Debug, Clone)]
pub struct BaseManifest {
    /// The manifest.
    pub manifest: Manifest,
    /// The apps that its `fly.toml`s name, by the path of the file.
    pub apps: BTreeMap<String, String>,
}

/// A target that is previewed.
#[derive(Debug, Clone, PartialEq)]
pub struct AgreedTarget {
    /// What it is made of: the head's word, under the base's names.
    pub target: Target,
    /// The Fly app that production releases, of which the preview has its name.
    pub base_app: Option<String>,
}

/// What is previewed.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreed {
    /// The environment that previews.
    pub environment: Name,
    /// What all previews have; the base's word, but for the seeds, which run in the preview itself.
    pub pull_requests: PullRequests,
    /// The targets in the base's order.
    pub targets: Vec<(Name, AgreedTarget)>,
    /// Targets that only the head has, or has elsewhere: their previews begin after the merge.
    pub later: Vec<Name>,
    /// The Fly apps of every other environment: no token of a preview may see them.
    pub production: Vec<String>,
}

/// Why nothing is previewed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// The base branch has no environment that previews pull requests.
    #[error("the manifest of the base branch previews no pull requests; previews begin after the merge of one that does")]
    NotYet,
    /// The head takes the environment away.
    #[error("this pull request takes the previews away")]
    NoLonger,
    /// The two are manifests of different products.
    #[error("this pull request renames the product {base} to {head}; previews go on after its merge")]
    Renamed {
        /// The base's product.
        base: Name,
        /// The head's.
        head: Name,
    },
    /// No target is in both.
    #[error("no target of the base branch's previews is left in this pull request")]
    NoTarget,
}

impl BaseManifest {
    /// Returns the Fly app of a target.
    fn app(&self, target: &Target) -> Option<String> {
        let TargetPlatform::Fly(fly) = &target.platform else { return None };
        fly.app.clone().or_else(|| self.apps.get(&fly.config.to_string_lossy().into_owned()).cloned())
    }

    /// Returns the paths of the `fly.toml`s that are needed to know every app.
    pub fn files(manifest: &Manifest) -> Vec<String> {
        let views = manifest.environments.keys().filter_map(|name| manifest.in_environment(name));
        let targets = views.flat_map(|view| view.targets.into_values());
        let mut files: Vec<String> = targets
            .filter_map(|target| match &target.platform {
                TargetPlatform::Fly(fly) if fly.app.is_none() => Some(fly.config.to_string_lossy().into_owned()),
                _ => None,
            })
            .collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}

/// Returns what a pull request from `head` into `base` may preview.
pub fn agree(base: &BaseManifest, head: &Manifest) -> Result<Agreed, Disagreement> {
    let environment = base.manifest.preview_environment().ok_or(Disagreement::NotYet)?;
    if base.manifest.product != head.product {
        return Err(Disagreement::Renamed { base: base.manifest.product.clone(), head: head.product.clone() });
    }
    let theirs = head.preview_environment().filter(|name| *name == environment).ok_or(Disagreement::NoLonger)?;
    let (Some(ours), Some(theirs)) = (base.manifest.in_environment(environment), head.in_environment(theirs)) else {
        return Err(Disagreement::NoLonger);
    };
    let targets: Vec<(Name, AgreedTarget)> = ours
        .targets
        .iter()
        .filter_map(|(name, own)| {
            let target = under_names(theirs.targets.get(name)?, own)?;
            Some((name.clone(), AgreedTarget { target, base_app: base.app(own) }))
        })
        .collect();
    if targets.is_empty() {
        return Err(Disagreement::NoTarget);
    }
    let later = theirs.targets.keys().filter(|name| !targets.iter().any(|(known, _)| known == *name)).cloned().collect();
    let says = |manifest: &Manifest| manifest.environments.get(environment).and_then(|it| it.pull_request.clone()).unwrap_or_default();
    let pull_requests = PullRequests { seeds: says(head).seeds, ..says(&base.manifest) };
    Ok(Agreed { environment: environment.clone(), pull_requests, targets, later, production: production(base, environment) })
}

/// Returns the head's target under the base's names and with the base's secrets; `None` where it is on another platform.
fn under_names(head: &Target, base: &Target) -> Option<Target> {
    let mut target = head.clone();
    match (&mut target.platform, &base.platform) {
        (TargetPlatform::Fly(head), TargetPlatform::Fly(base)) => head.app.clone_from(&base.app),
        (TargetPlatform::Vercel(head), TargetPlatform::Vercel(base)) => {
            (head.project, head.team, head.alias) = (base.project.clone(), base.team.clone(), base.alias.clone());
            // What Vercel builds by itself is asked for by a call that names anything; only files are sent for a preview.
            head.source =
                if matches!(head.source, crate::manifest::VercelSource::Directory(_)) { head.source.clone() } else { base.source.clone() };
        }
        (TargetPlatform::Pages(head), TargetPlatform::Pages(base)) => {
            (head.project, head.account, head.subdomain) = (base.project.clone(), base.account.clone(), base.subdomain.clone());
        }
        (TargetPlatform::Worker(head), TargetPlatform::Worker(base)) => {
            (head.name, head.account, head.subdomain) = (base.name.clone(), base.account.clone(), base.subdomain.clone());
        }
        _ => return None,
    }
    target.secrets.clone_from(&base.secrets);
    target.compatible_secrets.clone_from(&base.compatible_secrets);
    (target.url, target.dns, target.migration) = (None, None, None);
    // A check that signs with a secret the base does not name would let the head choose among the job's secrets.
    target.verify.retain(|check| match &check.request {
        CheckRequest::Post { signature: Some(signature), .. } => base.secrets.contains(&signature.secret_name),
        _ => true,
    });
    Some(target)
}

/// Returns the Fly apps of every environment that does not preview.
fn production(base: &BaseManifest, environment: &Name) -> Vec<String> {
    let others = base.manifest.environments.keys().filter(|name| *name != environment);
    let targets = others.filter_map(|name| base.manifest.in_environment(name)).flat_map(|view| view.targets.into_values());
    let databases = base.manifest.targets.values().filter_map(|target| target.migration.as_ref()?.database.clone());
    let mut apps: Vec<String> = targets.filter_map(|target| base.app(&target)).chain(databases).collect();
    apps.sort_unstable();
    apps.dedup();
    apps
}

impl Agreed {
    /// Returns the head's manifest with what was agreed on in the place of what it says of the previews.
    pub fn applied(&self, head: &Manifest) -> Manifest {
        let mut manifest = head.clone();
        if let Some(environment) = manifest.environments.get_mut(&self.environment) {
            environment.pull_request = Some(self.pull_requests.clone());
            environment.targets = self.targets.iter().map(|(name, _)| name.clone()).collect();
            environment.overridden = self
                .targets
                .iter()
                .map(|(name, agreed)| {
                    let mut target = agreed.target.clone();
                    // What comes after a target that is not previewed comes after nothing.
                    target.after.retain(|after| self.targets.iter().any(|(known, _)| known == after));
                    (name.clone(), target)
                })
                .collect();
        }
        manifest
    }
}
