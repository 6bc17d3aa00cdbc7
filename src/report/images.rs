//! Images in the report: what was built, what was shipped, and how large it was before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::millis;
use crate::event::EventKind;
use crate::id::Name;

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageReport {
    /// Its name.
    pub name: Name,
    /// What built it.
    pub builder: String,
    /// Its digest, once built.
    #[serde(default)]
    pub digest: Option<String>,
    /// Why it could not be built.
    #[serde(default)]
    pub failure: Option<String>,
    /// Compressed size in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// How large the image was that it takes the place of; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// When it began, from the beginning of the run.
    #[serde(default)]
    pub started_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
}

/// Takes an event of an image in; others are passed over.
pub(super) fn fold(images: &mut Vec<ImageReport>, kind: &EventKind, now: u64) {
    match kind {
        EventKind::BuildStarted { image, builder } => images.push(ImageReport {
            name: image.clone(),
            builder: builder.clone(),
            digest: None,
            failure: None,
            size: None,
            before: None,
            started_ms: now,
            duration_ms: 0,
        }),
        EventKind::BuildFinished { image, result, size, duration } => {
            if let Some(known) = images.iter_mut().rev().find(|it| it.name == *image) {
                known.digest = result.clone().ok();
                known.failure = result.clone().err();
                known.size = *size;
                known.duration_ms = millis(*duration);
            }
        }
        EventKind::ImageShipped { image, digest, size, before } => match images.iter_mut().find(|it| it.name == *image) {
            Some(known) => known.before = *before,
            // It was built by another job.
            None => images.push(ImageReport {
                name: image.clone(),
                builder: "another job".to_owned(),
                digest: Some(digest.clone()),
                failure: None,
                size: Some(*size),
                before: *before,
                started_ms: now,
                duration_ms: 0,
            }),
        },
        _ => {}
    }
}
