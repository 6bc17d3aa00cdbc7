//! A refusal in the specification's form: `{"errors":[{"code","message","detail"}]}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// A refused request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Unauthorized,
    Denied,
    NameUnknown,
    ManifestUnknown,
    ManifestInvalid,
    ManifestBlobUnknown,
    BlobUnknown,
    UploadUnknown,
    UploadInvalid,
    /// A chunk that does not follow on the one before.
    RangeInvalid,
    DigestInvalid,
    Unsupported,
    /// The disk refuses.
    Unavailable,
}

impl Refusal {
    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Unauthorized => (401, "UNAUTHORIZED", "authentication required"),
            Self::Denied => (403, "DENIED", "requested access to the resource is denied"),
            // The words that flyctl's users report for a push to an app that does not exist.
            Self::NameUnknown => (404, "NAME_UNKNOWN", "app repository not found"),
            Self::ManifestUnknown => (404, "MANIFEST_UNKNOWN", "manifest unknown"),
            Self::ManifestInvalid => (400, "MANIFEST_INVALID", "manifest invalid"),
            Self::ManifestBlobUnknown => (400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
            Self::BlobUnknown => (404, "BLOB_UNKNOWN", "blob unknown to registry"),
            Self::UploadUnknown => (404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
            Self::UploadInvalid => (400, "BLOB_UPLOAD_INVALID", "the body broke off"),
            Self::RangeInvalid => (416, "BLOB_UPLOAD_INVALID", "the chunk does not follow on the last one"),
            Self::DigestInvalid => (400, "DIGEST_INVALID", "provided digest did not match uploaded content"),
            Self::Unsupported => (405, "UNSUPPORTED", "the operation is unsupported"),
            Self::Unavailable => (503, "UNAVAILABLE", "the registry cannot write to its disk"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, message) = self.parts();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
        let mut response = (status, Json(body)).into_response();
        if self == Self::Unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"registry.fly.io\""));
        }
        response
    }
}
