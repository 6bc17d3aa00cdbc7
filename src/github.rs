//! GitHub as cutover uses it: one repository, our own types, and outcomes that a caller acts on.
//!
//! octocrab ends in [`GitHub`]: it builds the requests and carries them through its tower service, which here is our own
//! [`Transport`](crate::http::Transport), so that deadlines, repeats, redaction and counting are the same as for every platform. Its models
//! stay unused: their closed enums and required fields make one odd element fail a whole page, and "sent, but the answer could not be
//! read" must never be reported as a failure of what was sent.
//!
//! Each area has a file: comments and the sticky one among them, statuses, check runs, deployments, pull requests of a commit, jobs of a run, runs, the git
//! database. On the last stands the journal as a ref ([`ref_store`]), on jobs and runs the lock's knowledge of owners ([`census`]).

pub mod census;
mod check_runs;
mod client;
mod comments;
mod compare;
mod conclusions;
mod deployments;
mod error;
mod git;
mod jobs;
mod lookup;
mod previews;
mod pulls;
pub mod ref_store;
mod runs;
mod service;
mod statuses;
mod sticky;

pub use check_runs::{
    Annotation, AnnotationLevel, CheckConclusion, CheckId, CheckOutcome, CheckOutput, CheckRun, MAX_ANNOTATIONS_A_REQUEST, MAX_OUTPUT_BYTES,
};
pub use client::{GitHub, Repository};
pub use comments::{Comment, MAX_COMMENT_CHARACTERS};
pub use compare::Relation;
pub use conclusions::Conclusions;
pub use deployments::{Deployment, DeploymentRequest, DeploymentState, DeploymentStatus, Mark};
pub use error::{GitHubError, RequestId};
pub use git::{GitCommit, GitRef, GitSignature, NewCommit};
pub use jobs::Job;
pub use lookup::READ_LAG;
pub use previews::{PreviewedPulls, environment_of};
pub use pulls::{ChangedFile, Pull, Side, choose_for_push};
pub use runs::{RunActor, RunRepository, WorkflowRun};
pub use statuses::{CommitState, CommitStatus, StatusOutcome};
pub use sticky::{MAX_DOCUMENT_CHARACTERS, Section, Stamp, StickyOutcome};
