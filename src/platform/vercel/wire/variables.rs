//! Environment variables of a project, and of which deployments they are.

use serde::Deserialize;
use serde_json::Value;

use super::or_default;

/// Which deployments of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::platform::vercel) enum Of {
    /// Those that users get.
    Production,
    /// The others.
    Previews,
}

impl Of {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Previews => "preview",
        }
    }
}

/// A project's environment variables.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::vercel) struct Variables {
    #[serde(deserialize_with = "or_default")]
    pub(in crate::platform::vercel) envs: Vec<Variable>,
}

/// An environment variable; its value is never read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::platform::vercel) struct Variable {
    #[serde(deserialize_with = "or_default")]
    pub(in crate::platform::vercel) key: String,
    /// A list, or one text in older answers.
    target: Option<Value>,
    pub(in crate::platform::vercel) git_branch: Option<String>,
    pub(in crate::platform::vercel) updated_at: Option<f64>,
}

impl Variable {
    /// Returns whether such deployments get it.
    pub(in crate::platform::vercel) fn is_in(&self, of: Of) -> bool {
        match &self.target {
            Some(Value::String(target)) => target == of.as_str(),
            Some(Value::Array(targets)) => targets.iter().any(|target| target == of.as_str()),
            _ => false,
        }
    }
}
