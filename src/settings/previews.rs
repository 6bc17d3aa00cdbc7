//! From what base branch and head agree on to the previews of each platform, and to the grounds where they stand.

use std::collections::BTreeMap;

use super::targets::{Means, Unusable, fly_config};
use super::variable;
use crate::http::Transport;
use crate::id::Name;
use crate::manifest::{FlyTarget as FlyManifest, Manifest, PullRequests, TargetPlatform};
use crate::platform::PreviewOf;
use crate::platform::fly::{FlyEndpoints, FlyGround, FlyPreview, FlyPreviewSettings};
use crate::preview::{Agreed, AgreedTarget, AnyGround, AnyPreview};

/// The organisation that flyctl makes apps in.
const FLY_ORG: &str = "FLY_ORG";

/// Returns the address that each target of the preview will have; no credential is needed, and nothing is asked.
pub fn addresses(means: &Means<'_>, preview: &PreviewOf, agreed: &Agreed) -> Result<BTreeMap<Name, String>, Unusable> {
    let address = |(name, target): &(Name, AgreedTarget)| Ok((name.clone(), address(means, preview, name, target)?));
    agreed.targets.iter().map(address).collect()
}

fn address(_: &Means<'_>, preview: &PreviewOf, name: &Name, target: &AgreedTarget) -> Result<String, Unusable> {
    match &target.target.platform {
        TargetPlatform::Fly(of) => {
            let app = base_app(name, target, of)?;
            Ok(FlyPreviewSettings::address_of(preview, &app))
        }
        other => Err(unpreviewable(name, other)),
    }
}

/// Returns the preview of one target, which sends its calls by `transport`. `variables` are those of the environment, addresses filled in.
pub fn preview(
    means: &Means<'_>,
    of: &PreviewOf,
    (agreed, name, target): (&Agreed, &Name, &AgreedTarget),
    variables: &BTreeMap<String, String>,
    transport: Transport,
) -> Result<AnyPreview, Unusable> {
    match &target.target.platform {
        TargetPlatform::Fly(fly) => {
            let settings = fly_preview(means, of, (agreed, name, target, fly), variables)?;
            let (endpoints, token) = fly_credentials(means, name)?;
            let made = FlyPreview::new(settings, endpoints, &token, transport);
            made.map(|preview| AnyPreview::Fly(Box::new(preview))).map_err(|error| Unusable {
                target: name.clone(),
                reason: error.to_string(),
                hints: error.hints,
            })
        }
        other => Err(unpreviewable(name, other)),
    }
}

fn fly_preview(
    means: &Means<'_>,
    of: &PreviewOf,
    (agreed, name, target, fly): (&Agreed, &Name, &AgreedTarget, &FlyManifest),
    variables: &BTreeMap<String, String>,
) -> Result<FlyPreviewSettings, Unusable> {
    let mut config = fly_config(means.root, name, fly)?;
    for variable in &target.target.variables {
        let value = variables.get(variable).ok_or_else(|| Unusable::new(name, format!("the variable {variable} has no value")))?;
        config.env.insert(variable.clone(), value.clone());
    }
    let secrets = &target.target.secrets;
    Ok(FlyPreviewSettings {
        preview: of.clone(),
        target: name.clone(),
        base_app: base_app(name, target, fly)?,
        organization: organization(means, name, &agreed.pull_requests)?,
        config,
        secrets: secrets.clone(),
        secret_values: secrets.iter().filter_map(|secret| Some((secret.clone(), means.settings.secret(secret)?))).collect(),
        seed: agreed.pull_requests.seeds.get(name).cloned(),
        memory_mb: agreed.pull_requests.memory_mb.unwrap_or(PullRequests::LEAST_MEMORY_MB),
        production: agreed.production.clone(),
        wait_deadline: means.rehearsal.then_some(std::time::Duration::from_secs(12)),
        smoke_margin: means.rehearsal.then_some(std::time::Duration::from_secs(1)),
    })
}

fn base_app(name: &Name, target: &AgreedTarget, fly: &FlyManifest) -> Result<String, Unusable> {
    target.base_app.clone().ok_or_else(|| {
        Unusable::new(name, format!("the {} of the base branch names no app", fly.config.display()))
            .hint("write `app = \"NAME\"` there, or `fly: { app: NAME }` in the manifest, and merge that first")
    })
}

fn organization(means: &Means<'_>, name: &Name, pull_requests: &PullRequests) -> Result<String, Unusable> {
    let environment = means.settings.environment.get(FLY_ORG).filter(|slug| !slug.is_empty());
    pull_requests.organization.as_ref().or(environment).cloned().ok_or_else(|| {
        Unusable::new(name, "nobody says in which Fly organisation its previews are made")
            .hint("write `pull_request: { organization: SLUG }` in the environment that previews, and merge that first; or set FLY_ORG")
    })
}

fn fly_credentials(means: &Means<'_>, name: &Name) -> Result<(FlyEndpoints, secrecy::SecretString), Unusable> {
    let endpoints = FlyEndpoints::from_lookup(|variable| means.settings.environment.get(variable).cloned())
        .map_err(|error| Unusable::new(name, error.to_string()))?;
    let token = means.settings.fly_token.clone().ok_or_else(|| {
        Unusable::new(name, format!("{} is not set, or empty", variable::FLY_API_TOKEN)).hint(
            "make a token for the organisation of the previews (fly tokens create org -o SLUG) and set FLY_API_TOKEN; nothing was touched",
        )
    })?;
    Ok((endpoints, token))
}

/// Returns every ground where previews of the manifest's product may stand, each once; those whose credential is missing are faults.
pub fn grounds(means: &Means<'_>, manifest: &Manifest, environment: &Name, transport: &Transport) -> (Vec<AnyGround>, Vec<Unusable>) {
    let (mut grounds, mut faults): (Vec<AnyGround>, Vec<Unusable>) = (Vec::new(), Vec::new());
    let Some(view) = manifest.in_environment(environment) else { return (grounds, faults) };
    let pull_requests = manifest.environments.get(environment).and_then(|it| it.pull_request.clone()).unwrap_or_default();
    for (name, target) in &view.targets {
        let ground = match &target.platform {
            TargetPlatform::Fly(_) => fly_ground(means, name, &pull_requests, transport),
            other => Err(unpreviewable(name, other)),
        };
        match ground {
            Ok(ground) => {
                use crate::platform::PreviewGround as _;
                let known = |it: &AnyGround| it.platform() == ground.platform() && it.place() == ground.place();
                if !grounds.iter().any(known) {
                    grounds.push(ground);
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    (grounds, faults)
}

fn fly_ground(means: &Means<'_>, name: &Name, pull_requests: &PullRequests, transport: &Transport) -> Result<AnyGround, Unusable> {
    let organization = organization(means, name, pull_requests)?;
    let (endpoints, token) = fly_credentials(means, name)?;
    let ground = FlyGround::new(&organization, endpoints, &token, transport.clone());
    ground.map(|ground| AnyGround::Fly(Box::new(ground))).map_err(|error| Unusable {
        target: name.clone(),
        reason: error.to_string(),
        hints: error.hints,
    })
}

fn unpreviewable(name: &Name, platform: &TargetPlatform) -> Unusable {
    let what = match platform {
        TargetPlatform::Render(_) => "a service on Render",
        _ => "this target",
    };
    Unusable::new(name, format!("this version cannot preview {what}"))
        .hint("leave it out of the `targets` of the environment that previews")
}
