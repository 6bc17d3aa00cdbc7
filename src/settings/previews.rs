//! From what base branch and head agree on to the previews of each platform, and to the grounds where they stand.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::targets::{Means, TargetSettings, Unusable, fly_config};
use super::{Settings, variable};
use crate::http::Transport;
use crate::id::Name;
use crate::manifest::{FlyTarget as FlyManifest, Manifest, PullRequests, Target, TargetPlatform};
use crate::platform::PreviewOf;
use crate::platform::cloudflare::pages::preview::{PagesGround, PagesPreview, PagesPreviewSettings};
use crate::platform::cloudflare::workers::preview::{WorkerPreview, WorkerPreviewSettings, WorkersGround};
use crate::platform::fly::{FlyEndpoints, FlyGround, FlyPreview, FlyPreviewSettings};
use crate::platform::vercel::preview::{VercelGround, VercelPreview, VercelPreviewSettings};
use crate::preview::{Agreed, AgreedTarget, AnyGround, AnyPreview};

/// The organisation that flyctl makes apps in.
const FLY_ORG: &str = "FLY_ORG";

/// Returns the address that each target of the preview will have; nothing is asked, and no credential is needed: a job that builds what is previewed
/// has none.
pub fn addresses(means: &Means<'_>, of: &PreviewOf, agreed: &Agreed, transport: &Transport) -> Result<BTreeMap<Name, String>, Unusable> {
    let standing = standing_in(means.settings);
    let names = agreed.targets.iter().flat_map(|(_, target)| target.target.variables.clone());
    let variables = names.map(|name| (name, String::new())).collect();
    let means = Means { settings: &standing, variables: &variables, ..*means };
    let address = |(name, target): &(Name, AgreedTarget)| {
        use crate::platform::Preview as _;
        let preview = preview(&means, of, (agreed, name, target), transport.clone())?;
        Ok((name.clone(), preview.address()))
    };
    agreed.targets.iter().map(address).collect()
}

/// Returns settings in which something stands for every credential and place that addresses do not depend on.
fn standing_in(settings: &Settings) -> Settings {
    let mut standing = settings.clone();
    let token = || Some(SecretString::from("none".to_owned()));
    (standing.fly_token, standing.vercel_token, standing.cloudflare_token) = (token(), token(), token());
    standing.cloudflare_account.get_or_insert_with(|| "0".repeat(32));
    standing.environment.entry(FLY_ORG.to_owned()).or_insert_with(|| "none".to_owned());
    standing
}

/// Returns the preview of one target, which sends its calls by `transport`.
pub fn preview(
    means: &Means<'_>,
    of: &PreviewOf,
    (agreed, name, target): (&Agreed, &Name, &AgreedTarget),
    transport: Transport,
) -> Result<AnyPreview, Unusable> {
    if let TargetPlatform::Fly(fly) = &target.target.platform {
        let settings = fly_preview(means, of, (agreed, name, target, fly))?;
        let (endpoints, token) = fly_credentials(means, name)?;
        let made = FlyPreview::new(settings, endpoints, &token, transport);
        return made.map(|preview| AnyPreview::Fly(Box::new(preview))).map_err(|error| Unusable {
            target: name.clone(),
            reason: error.to_string(),
            hints: error.hints,
        });
    }
    let preview = of.clone();
    let made = match (TargetSettings::read(means, name, &target.target)?, &target.target.platform) {
        (TargetSettings::Vercel { settings, endpoints, token }, TargetPlatform::Vercel(written)) => {
            let settings = VercelPreviewSettings { site: *settings, preview, alias: written.alias.clone() };
            AnyPreview::Vercel(Box::new(VercelPreview::new(settings, endpoints, token, transport)))
        }
        (TargetSettings::Pages { settings, endpoints, token }, TargetPlatform::Pages(written)) => {
            let settings = PagesPreviewSettings { site: *settings, preview, subdomain: written.subdomain.clone() };
            AnyPreview::Pages(Box::new(PagesPreview::new(settings, endpoints, token, transport)))
        }
        (TargetSettings::Worker { settings, endpoints, token }, TargetPlatform::Worker(written)) => {
            let subdomain = written.subdomain.clone().ok_or_else(|| {
                Unusable::new(name, "nobody says what the account is called on workers.dev, below which previews are addressed")
                    .hint("write `worker: { name: NAME, subdomain: ACCOUNT }`, and merge that first")
            })?;
            AnyPreview::Worker(Box::new(WorkerPreview::new(
                WorkerPreviewSettings { site: *settings, preview, subdomain },
                endpoints,
                token,
                transport,
            )))
        }
        (_, other) => return Err(unpreviewable(name, other)),
    };
    Ok(made)
}

fn fly_preview(
    means: &Means<'_>,
    of: &PreviewOf,
    (agreed, name, target, fly): (&Agreed, &Name, &AgreedTarget, &FlyManifest),
) -> Result<FlyPreviewSettings, Unusable> {
    let mut config = fly_config(means.root, name, fly)?;
    for variable in &target.target.variables {
        let value = means.variables.get(variable).ok_or_else(|| Unusable::new(name, format!("the variable {variable} has no value")))?;
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

fn fly_credentials(means: &Means<'_>, name: &Name) -> Result<(FlyEndpoints, SecretString), Unusable> {
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
            _ => site_ground(means, name, target, transport),
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

fn site_ground(means: &Means<'_>, name: &Name, target: &Target, transport: &Transport) -> Result<AnyGround, Unusable> {
    let transport = transport.clone();
    Ok(match TargetSettings::read(means, name, target)? {
        TargetSettings::Vercel { settings, endpoints, token } => {
            AnyGround::Vercel(Box::new(VercelGround::new(settings.project, settings.team, endpoints, token, transport)))
        }
        TargetSettings::Pages { settings, endpoints, token } => {
            AnyGround::Pages(Box::new(PagesGround::new(settings.project, settings.account, endpoints, token, transport)))
        }
        TargetSettings::Worker { settings, endpoints, token } => {
            AnyGround::Workers(Box::new(WorkersGround::new(settings.account, endpoints, token, transport)))
        }
        TargetSettings::Fly { .. } => return Err(unpreviewable(name, &target.platform)),
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
