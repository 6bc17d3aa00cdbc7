//! Creating a deployment from files or from a commit, once.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::api::Created;
use super::files::{Entry, FilesError, ReadDirectory, Upload};
use super::stamp;
use super::wire::{CreateDeployment, Deployment, FileEntry, GitSource, Link, Project};
use super::{VercelSource, VercelTarget};
use crate::event::Level;
use crate::platform::{PlatformError, PlatformErrorKind, RevisionDigest, Scope};
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

impl VercelTarget {
    pub(super) async fn made_of_files(
        &self,
        scope: &Scope,
        project: &Project,
        revision: &RevisionDigest,
        path: &Path,
        artifact: &str,
    ) -> Result<Deployment, PlatformError> {
        let found = if self.has_made_nothing(scope) { None } else { self.find_made(scope, project, revision.as_str()).await? };
        if let Some(made) = found {
            scope.step(&self.settings.target, format!("found its deployment {}", made.id()));
            return Ok(made);
        }
        self.has_made();
        let wanted = ReadDirectory {
            directory: path.to_owned(),
            root: project.root().map(str::to_owned),
            revision: revision.clone(),
            archive_above: self.settings.archive_above,
            rules: self.settings.rules.clone(),
        };
        let upload = Upload::read(wanted).await.map_err(|error| self.unusable(&error))?;
        for note in &upload.notes {
            scope.events.notice(Level::Note, "vercel::files", format!("{}: {note}", self.settings.target));
        }
        let form = if upload.archived { " as an archive" } else { "" };
        scope.step(&self.settings.target, format!("{} files{form}", upload.files));
        let meta = stamp::of(scope, revision, artifact, None);
        self.create_once(scope, project, revision, &meta, &Contents::Files(&upload)).await
    }

    pub(super) async fn made_of_commit(
        &self,
        scope: &Scope,
        project: &Project,
        revision: &RevisionDigest,
        sha: &str,
        branch: &str,
    ) -> Result<Deployment, PlatformError> {
        if let Some(made) = self.find_made(scope, project, revision.as_str()).await? {
            return Ok(made);
        }
        let branch = match &self.settings.source {
            VercelSource::Git { branch: Some(branch) } => branch,
            _ => branch,
        };
        let source = project.link.as_ref().and_then(|link| git_source(link, sha, branch)).ok_or_else(|| {
            let text = format!("the project {} is connected to no repository that Vercel can build from", project.name);
            self.error("create_deployment", PlatformErrorKind::Impossible(text))
        })?;
        let meta = stamp::of(scope, revision, sha, Some(branch));
        self.create_once(scope, project, revision, &meta, &Contents::Git(&source)).await
    }

    /// Creates the deployment; after a lost answer it is looked up by its stamp before anything is sent again.
    async fn create_once(
        &self,
        scope: &Scope,
        project: &Project,
        revision: &RevisionDigest,
        meta: &BTreeMap<&'static str, String>,
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
            target: "production",
            auto_assign_custom_domains: false,
            meta,
            files,
            git_source: if let Contents::Git(source) = from { Some(*source) } else { None },
        };
        let thing = format!("project {}", project.name);
        let (mut rounds, mut creations) = (0, 0);
        loop {
            self.may_go_on(scope)?;
            match self.client.create_deployment(&body, matches!(from, Contents::Files(_)), &thing).await {
                Ok(Created::Deployment(made)) => return Ok(*made),
                Ok(Created::MissingFiles(missing)) => {
                    if rounds == ROUNDS {
                        let text = format!("{} contents are still missing after they were uploaded {rounds} times", missing.len());
                        return Err(self.error("create_deployment", PlatformErrorKind::Unexpected(text)));
                    }
                    rounds += 1;
                    self.upload_missing(scope, from, &missing).await?;
                }
                Err(error) if error.ambiguous() => {
                    creations += 1;
                    scope.step(&self.settings.target, "the answer to the creation was lost: looking for the deployment");
                    if let Some(made) = self.look_for(scope, project, revision).await? {
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

    async fn look_for(&self, scope: &Scope, project: &Project, revision: &RevisionDigest) -> Result<Option<Deployment>, PlatformError> {
        let until = Instant::now() + LOOKUP_WINDOW;
        loop {
            if let Some(made) = self.find_made(scope, project, revision.as_str()).await? {
                return Ok(Some(made));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            self.pause(scope, LOOKUP_PAUSE).await?;
        }
    }

    /// Uploads the contents that the platform does not have, each once and streamed from the disk.
    async fn upload_missing(&self, scope: &Scope, from: &Contents<'_>, missing: &[String]) -> Result<(), PlatformError> {
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
        scope.step(&self.settings.target, format!("uploads {} contents, {bytes} bytes", wanted.len()));
        let uploads = wanted.into_iter().map(|entry| self.upload_one(scope, entry));
        stream::iter(uploads).buffer_unordered(UPLOADS).try_collect::<()>().await
    }

    async fn upload_one(&self, scope: &Scope, entry: &Entry) -> Result<(), PlatformError> {
        self.may_go_on(scope)?;
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
    pub(super) fn may_go_on(&self, scope: &Scope) -> Result<(), PlatformError> {
        let ends = scope.shutdown.level() >= Urgency::Drain;
        if ends { Err(self.error("prepare", PlatformErrorKind::Cancelled)) } else { Ok(()) }
    }

    pub(super) fn unusable(&self, error: &FilesError) -> PlatformError {
        self.error("read_files", PlatformErrorKind::Impossible(error.to_string()))
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
