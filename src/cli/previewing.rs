//! What a run for a pull request previews: settled once, from the base branch's manifest and the head's.

use std::collections::BTreeMap;
use std::path::Path;

use super::conduct::Conclusion;
use super::stage::{Means, Stage};
use crate::github::{GitHub, GitHubError, Repository};
use crate::id::Name;
use crate::manifest::{self, FILE_NAME, Manifest};
use crate::mask::Secret;
use crate::platform::{PreviewOf, PreviewsOf};
use crate::preview::{Agreed, BaseManifest, Disagreement, agree};
use crate::settings::previews;
use crate::settings::targets::{NO_VARIABLES, Unusable};
use crate::trigger::{PullRequest, Source};

/// The number of the repository, which a runner says.
const GITHUB_REPOSITORY_ID: &str = "GITHUB_REPOSITORY_ID";

/// What a run for a pull request previews.
#[derive(Debug)]
pub(crate) struct Previewing {
    /// Which preview.
    pub(crate) of: PreviewOf,
    /// What base branch and head agree on.
    pub(crate) agreed: Agreed,
    /// Each target's address, known before anything exists.
    pub(crate) addresses: BTreeMap<Name, String>,
}

/// Why a run previews nothing.
#[derive(Debug)]
pub(crate) enum NoPreview {
    /// There is nothing to preview, and that is no fault: why, in a whole sentence.
    Peaceful(String),
    /// It cannot be said what is previewed.
    Refused(Conclusion),
}

impl From<Conclusion> for NoPreview {
    fn from(conclusion: Conclusion) -> Self {
        Self::Refused(conclusion)
    }
}

/// Returns GitHub, as this run may ask it.
pub(crate) fn github(means: &Means) -> Result<GitHub, Conclusion> {
    let refused = |text: &str, hint: &str| Conclusion::refused(format!("{text}; nothing was touched"), vec![hint.to_owned()]);
    let run = means.trigger.run.as_ref();
    let Some(run) = run else {
        return Err(refused(
            "pull requests are known to GitHub Actions only",
            "run this in a workflow, or rehearse it: cutover rehearse DIR --event pull_request",
        ));
    };
    let Some(token) = means.settings.github_token.clone() else {
        return Err(refused("GITHUB_TOKEN is not set", "pass `GITHUB_TOKEN: ${{ github.token }}` to the step"));
    };
    let Some(repository) = Repository::parse(&run.repository) else {
        return Err(refused(&format!("{:?} is no repository", run.repository), "GITHUB_REPOSITORY is owner/name"));
    };
    Ok(GitHub::new(means.transport.clone(), means.settings.github_api.clone(), token, repository))
}

/// Returns whose previews these are.
pub(crate) async fn previews_of(means: &Means, github: &GitHub, product: &Name) -> Result<PreviewsOf, Conclusion> {
    let said = means.settings.environment.get(GITHUB_REPOSITORY_ID).and_then(|text| text.parse().ok());
    let repository = match said {
        Some(id) => id,
        None => github.repository_id().await.map_err(|error| asked(&error))?,
    };
    Ok(PreviewsOf { product: product.clone(), repository })
}

fn asked(error: &GitHubError) -> Conclusion {
    let hints = vec!["the job needs `contents: read` and `pull-requests: read`".to_owned()];
    Conclusion::refused(format!("{error}; nothing was touched"), hints)
}

/// Settles what `stage`'s run previews, and puts the agreed manifest in the place of the head's.
pub(crate) async fn settle(stage: &mut Stage) -> Result<(), NoPreview> {
    let Source::PullRequest(pull_request) = stage.trigger.source.clone() else {
        return Err(Conclusion::refused(format!("{} is no pull request, so nothing is previewed", stage.trigger), Vec::new()).into());
    };
    if let Some(why) = why_not(&pull_request) {
        return Err(NoPreview::Peaceful(why.to_owned()));
    }
    let github = github(stage)?;
    let base = base_manifest(&github, &pull_request.base_ref).await?;
    let agreed = agree(&base, &stage.manifest).map_err(|disagreement| match disagreement {
        Disagreement::Renamed { .. } | Disagreement::NoLonger | Disagreement::NotYet | Disagreement::NoTarget => {
            NoPreview::Peaceful(format!("{disagreement}."))
        }
    })?;
    // What the base names and the head does not is masked as well.
    learn(stage, &base.manifest);
    let of = previews_of(stage, &github, &base.manifest.product).await?;
    let of = PreviewOf { of, pull_request: pull_request.number };
    stage.manifest = agreed.applied(&stage.manifest);
    let addresses = previews::addresses(&super::targets::means_of(stage, &NO_VARIABLES), &of, &agreed, &stage.transport)
        .map_err(|fault| unusable(&fault))?;
    stage.previewing = Some(std::sync::Arc::new(Previewing { of, agreed, addresses }));
    Ok(())
}

/// Returns why a pull request is not previewed at all.
fn why_not(pull_request: &PullRequest) -> Option<&'static str> {
    if pull_request.is_fork {
        return Some("a pull request from a fork gets no credentials, and so no preview.");
    }
    (pull_request.action == "closed").then_some("the pull request is closed: the sweep removes its preview.")
}

/// Returns what stands in the way of a target's preview, as a conclusion.
pub(crate) fn unusable(fault: &Unusable) -> Conclusion {
    Conclusion::refused(format!("{fault}; nothing was touched"), fault.hints.clone())
}

fn learn(stage: &Stage, manifest: &Manifest) {
    use secrecy::ExposeSecret;
    let views = manifest.environments.keys().filter_map(|name| manifest.in_environment(name));
    let names = views.flat_map(|view| view.targets.into_values()).flat_map(|target| target.secrets);
    let known: Vec<(String, Secret)> =
        names.filter_map(|name| Some((name.clone(), Secret::new(stage.settings.secret(&name)?.expose_secret())))).collect();
    // What is too short to be masked was told when the run began.
    let _ = stage.masker.learn_all(known.iter().map(|(name, secret)| (name.as_str(), secret)));
}

/// Reads the manifest of the base branch as it is now, with the `fly.toml`s that name its apps.
async fn base_manifest(github: &GitHub, branch: &str) -> Result<BaseManifest, NoPreview> {
    let reference = format!("refs/heads/{branch}");
    let text = github.text_file(FILE_NAME, &reference).await.map_err(|error| asked(&error))?;
    let Some(text) = text else {
        let why = format!("{branch} has no {FILE_NAME} yet: previews begin after the merge of the pull request that brings it.");
        return Err(NoPreview::Peaceful(why));
    };
    let parsed = manifest::parse(&text, Path::new(FILE_NAME), None).map_err(|faults| {
        let shown = crate::manifest::diagnostics::text(&faults.source, &faults.faults, &[]);
        let text =
            format!("the manifest of {branch}, whose names count for previews, has faults; nothing was touched\n\n{}", shown.trim_end());
        Conclusion::refused(text, vec![format!("correct {FILE_NAME} on {branch}")])
    })?;
    let mut apps = BTreeMap::new();
    for file in BaseManifest::files(&parsed.manifest) {
        let Some(text) = github.text_file(&file, &reference).await.map_err(|error| asked(&error))? else { continue };
        let form = crate::platform::fly::toml::Form::of(Path::new(&file));
        let config = crate::platform::fly::toml::FlyConfig::parse_as(&text, form);
        if let Some(app) = config.ok().and_then(|config| config.app) {
            apps.insert(file, app);
        }
    }
    Ok(BaseManifest { manifest: parsed.manifest, apps })
}
