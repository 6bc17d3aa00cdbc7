//! Creating a deployment from files or from a commit, once.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::api::Created;
use super::files::{Entry, FilesError, ReadDirectory, Upload};
use super::stamp;
use super::wire::{CreateDeployment, Deployment, FileEntry, GitSource, Link, Progress, Project};
use super::{VercelSource, VercelTarget};
use crate::event::Level;
use crate::platform::{Errand, PlatformError, PlatformErrorKind, RevisionDigest, Scope};
use crate::shutdown::Level as Urgency;

/// How many contents are on their way at once (vercel.md 2.2: 16 to 32).
const UPLOADS: usize = 24;
/// How often contents are uploaded before `missing_files` is a failure (vercel.md 2.3: one more round).
const ROUNDS: usize = 2;
/// How often a creation is sent whose answers are lost.
const CREATIONS: usize = 3;
/// How long a deployment is looked for after a lost answer, before its creation is repeated: lists may lag.
const LOOKUP_WINDOW: Duration = Duration::from_secs(5);
/// The pause between two looks.
const LOOKUP_PAUSE: Duration = Duration::from_millis(500);

/// What a deployment is made from.
enum Contents<'a> {
    Files(&'a Upload),
    Git(&'a GitSource),
}

/// Which deployment is made, and by what it is known for ours.
#[derive(Debug)]
pub(super) struct Making {
    /// Whether it is one of production, kept away from the domains; else it is a preview.
    pub(super) production: bool,
    /// What it is stamped with.
    pub(super) meta: BTreeMap<&'static str, String>,
    /// By which of these stamps it is asked for again.
    pub(super) found_by: &'static [&'static str],
}

impl VercelTarget {
    pub(super) async fn made_of_files(
        &self,
        scope: &Scope,
        project: &Project,
        revision: &RevisionDigest,
        path: &Path,
        artifact: &str,
    ) -> Result<Deployment, PlatformError> {
        let making = Making::of(scope, revision, artifact, None);
        let found = if self.has_made_nothing(scope) { None } else { self.find_made(project, &making).await? };
        if let Some(made) = found {
            scope.step(&self.settings.target, format!("found its deployment {}", made.id()));
            return Ok(made);
        }
        self.has_made();
        let upload = self.read_upload(scope, project, revision, path).await?;
        self.create_once(scope, project, &making, &Contents::Files(&upload)).await
    }

    /// Uploads a directory and makes a deployment of it.
    pub(super) async fn uploaded(
        &self,
        errand: &impl Errand,
        project: &Project,
        revision: &RevisionDigest,
        path: &Path,
        making: &Making,
    ) -> Result<Deployment, PlatformError> {
        let upload = self.read_upload(errand, project, revision, path).await?;
        self.create_once(errand, project, making, &Contents::Files(&upload)).await
    }

    async fn read_upload(
        &self,
        errand: &impl Errand,
        project: &Project,
        revision: &RevisionDigest,
        path: &Path,
    ) -> Result<Upload, PlatformError> {
        let wanted = ReadDirectory {
            directory: path.to_owned(),
            root: project.root().map(str::to_owned),
            revision: revision.clone(),
            archive_above: self.settings.archive_above,
            rules: self.settings.rules.clone(),
        };
        let upload = Upload::read(wanted).await.map_err(|error| self.unusable(&error))?;
        for note in &upload.notes {
            errand.events().notice(Level::Note, "vercel::files", format!("{}: {note}", self.settings.target));
        }
        let form = if upload.archived { " as an archive" } else { "" };
        errand.step(&self.settings.target, format!("{} files{form}", upload.files));
        Ok(upload)
    }

    pub(super) async fn made_of_commit(
        &self,
        scope: &Scope,
        project: &Project,
        revision: &RevisionDigest,
        sha: &str,
        branch: &str,
    ) -> Result<Deployment, PlatformError> {
        let branch = match &self.settings.source {
            VercelSource::Git { branch: Some(branch) } => branch,
            _ => branch,
        };
        let making = Making::of(scope, revision, sha, Some(branch));
        if let Some(made) = self.find_made(project, &making).await? {
            return Ok(made);
        }
        let source = project.link.as_ref().and_then(|link| git_source(link, sha, branch)).ok_or_else(|| {
            let text = format!("the project {} is connected to no repository that Vercel can build from", project.name);
            self.error("create_deployment", PlatformErrorKind::Impossible(text))
        })?;
        self.create_once(scope, project, &making, &Contents::Git(&source)).await
    }

    /// Creates the deployment; after a lost answer it is looked up by its stamp before anything is sent again.
    async fn create_once(
        &self,
        errand: &impl Errand,
        project: &Project,
        making: &Making,
        from: &Contents<'_>,
    ) -> Result<Deployment, PlatformError> {
        let files = match from {
            Contents::Files(upload) => Some(upload.entries.iter().map(listed).collect()),
            Contents::Git(_) => None,
        };
        let body = CreateDeployment {
            name: &project.name,
            project: &project.id,
            version: 2,
            target: making.production.then_some("production"),
            auto_assign_custom_domains: making.production.then_some(false),
            meta: &making.meta,
            files,
            git_source: if let Contents::Git(source) = from { Some(*source) } else { None },
        };
        let thing = format!("project {}", project.name);
        let (mut rounds, mut creations) = (0, 0);
        loop {
            self.may_go_on(errand)?;
            match self.client.create_deployment(&body, matches!(from, Contents::Files(_)), &thing).await {
                Ok(Created::Deployment(made)) => return Ok(*made),
                Ok(Created::MissingFiles(missing)) => {
                    if rounds == ROUNDS {
                        let text = format!("{} contents are still missing after they were uploaded {rounds} times", missing.len());
                        return Err(self.error("create_deployment", PlatformErrorKind::Unexpected(text)));
                    }
                    rounds += 1;
                    self.upload_missing(errand, from, &missing).await?;
                }
                Err(error) if error.ambiguous() => {
                    creations += 1;
                    errand.step(&self.settings.target, "the answer to the creation was lost: looking for the deployment");
                    if let Some(made) = self.look_for(errand, project, making).await? {
                        return Ok(made);
                    }
                    if creations == CREATIONS {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn look_for(&self, errand: &impl Errand, project: &Project, making: &Making) -> Result<Option<Deployment>, PlatformError> {
        let until = Instant::now() + LOOKUP_WINDOW;
        loop {
            if let Some(made) = self.find_made(project, making).await? {
                return Ok(Some(made));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            self.pause(errand, LOOKUP_PAUSE).await?;
        }
    }

    /// Returns the newest deployment with the same stamps that is there already and has not failed.
    pub(super) async fn find_made(&self, project: &Project, making: &Making) -> Result<Option<Deployment>, PlatformError> {
        let meta: Vec<(&str, &str)> = making.found_by.iter().filter_map(|key| Some((*key, making.meta.get(key)?.as_str()))).collect();
        let wanted = super::api::ListQuery { production: making.production, meta: &meta, since_ms: None };
        let found = self.client.deployments(&project.id, &wanted).await?;
        Ok(found.into_iter().find(|one| one.progress() != Progress::Failed && making.made(one)))
    }

    /// Uploads the contents that the platform does not have, each once and streamed from the disk.
    async fn upload_missing(&self, errand: &impl Errand, from: &Contents<'_>, missing: &[String]) -> Result<(), PlatformError> {
        let Contents::Files(upload) = from else {
            let text = "files are missing for a deployment that has none".to_owned();
            return Err(self.error("create_deployment", PlatformErrorKind::Unexpected(text)));
        };
        let known: HashMap<&str, &Entry> = upload.entries.iter().filter_map(|entry| Some((entry.sha.as_deref()?, entry))).collect();
        let wanted = missing.iter().map(|sha| {
            known.get(sha.as_str()).copied().ok_or_else(|| {
                let text = format!("the content {sha} is missing, which is no content of ours");
                self.error("create_deployment", PlatformErrorKind::Unexpected(text))
            })
        });
        let wanted: Vec<&Entry> = wanted.collect::<Result<_, _>>()?;
        let bytes: u64 = wanted.iter().map(|entry| entry.size).sum();
        errand.step(&self.settings.target, format!("uploads {} contents, {bytes} bytes", wanted.len()));
        let uploads = wanted.into_iter().map(|entry| self.upload_one(errand, entry));
        stream::iter(uploads).buffer_unordered(UPLOADS).try_collect::<()>().await
    }

    async fn upload_one(&self, errand: &impl Errand, entry: &Entry) -> Result<(), PlatformError> {
        self.may_go_on(errand)?;
        let sha = entry.sha.as_deref().unwrap_or_default();
        let sent = self.client.upload(sha, entry.size, entry.body(), &format!("file {}", entry.file)).await;
        sent.map_err(|error| match error.kind {
            PlatformErrorKind::Refused(_) => {
                error.hint("a file that changes while it is uploaded is refused: nothing may write to the directory meanwhile")
            }
            _ => error,
        })
    }

    /// Begins nothing new once the run is told to end.
    pub(super) fn may_go_on(&self, errand: &impl Errand) -> Result<(), PlatformError> {
        let ends = errand.shutdown().level() >= Urgency::Drain;
        if ends { Err(self.error("prepare", PlatformErrorKind::Cancelled)) } else { Ok(()) }
    }

    pub(super) fn unusable(&self, error: &FilesError) -> PlatformError {
        self.error("read_files", PlatformErrorKind::Impossible(error.to_string()))
    }
}

impl Making {
    /// Returns what a release makes. It is found again by the release and the revision: a first release makes a placeholder and the real thing under
    /// one release's id.
    fn of(scope: &Scope, revision: &RevisionDigest, artifact: &str, branch: Option<&str>) -> Self {
        let found_by = &[stamp::RELEASE, stamp::REVISION];
        Self { production: true, meta: stamp::of(scope, revision, artifact, branch), found_by }
    }

    /// Returns whether a deployment is what is to be made: it carries every stamp, not only those that it was asked for by.
    pub(super) fn made(&self, deployment: &Deployment) -> bool {
        self.meta.iter().all(|(key, value)| deployment.meta(key) == Some(value))
    }
}

fn listed(entry: &Entry) -> FileEntry<'_> {
    let size = entry.sha.is_some().then_some(entry.size);
    FileEntry { file: &entry.file, sha: entry.sha.as_deref(), size, mode: entry.mode }
}

/// Returns the commit as the project's connection names it; `None` for a connection that lacks what its kind needs.
fn git_source(link: &Link, sha: &str, branch: &str) -> Option<GitSource> {
    let source = GitSource { r#ref: branch.to_owned(), sha: sha.to_owned(), ..GitSource::default() };
    match link.r#type.as_deref().unwrap_or("github") {
        kind if kind.starts_with("github") => {
            let r#type = if kind == "github-limited" { kind } else { "github" }.to_owned();
            match (&link.repo_id, &link.org, &link.repo) {
                (Some(id), ..) => Some(GitSource { r#type, repo_id: Some(id.clone()), ..source }),
                (None, Some(org), Some(repo)) => Some(GitSource { r#type, org: Some(org.clone()), repo: Some(repo.clone()), ..source }),
                _ => None,
            }
        }
        "gitlab" => Some(GitSource { r#type: "gitlab".to_owned(), project_id: Some(link.project_id.clone()?), ..source }),
        "bitbucket" => Some(GitSource {
            r#type: "bitbucket".to_owned(),
            repo_uuid: Some(link.uuid.clone()?),
            workspace_uuid: link.workspace_uuid.clone(),
            ..source
        }),
        _ => None,
    }
}
