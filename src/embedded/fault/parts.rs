//! Which operations can happen in part.
//!
//! The handlers of these ask [`super::super::ground::partial`] and stop half-way:
//!
//! | operation | its part |
//! |---|---|
//! | `fly.create_machine` | the machine exists and is never launched |
//! | `fly.update_machine` | the machine has its new configuration and stays stopped |
//! | `fly.restart_machine` | it is stopped and not started |
//! | `fly.destroy_machine` | a running machine is stopped and not removed |
//! | `fly.set_secrets`, `fly.graphql_set_secrets` | the first half of the secrets, at least one |
//! | `fly.patch_metadata` | the first half of the keys, at least one |
//! | `vercel.create_deployment` | the deployment exists and its build never ends |
//! | `vercel.promote`, `vercel.roll_back` | half of the hostnames move, at least one, then the job fails: production is not what was asked for |
//! | `vercel.update_project` | the first half of the settings, at least one |
//! | `vercel.create_variables` | the first half of the variables, at least one |
//! | `cloudflare.create_deployment` | the deployment exists and never ends |
//! | `registry.put_manifest` | the manifest is there by its digest, without the tag |

/// Platform and operation.
const PARTED: &[(&str, &str)] = &[
    ("fly", "create_machine"),
    ("fly", "update_machine"),
    ("fly", "restart_machine"),
    ("fly", "destroy_machine"),
    ("fly", "set_secrets"),
    ("fly", "graphql_set_secrets"),
    ("fly", "patch_metadata"),
    ("vercel", "create_deployment"),
    ("vercel", "promote"),
    ("vercel", "roll_back"),
    ("vercel", "update_project"),
    ("vercel", "create_variables"),
    ("cloudflare", "create_deployment"),
    ("registry", "put_manifest"),
];

/// Returns whether [`super::Effect::Partial`] differs from [`super::Effect::Once`] for this operation.
pub fn has_parts(platform: &str, operation: &str) -> bool {
    PARTED.contains(&(platform, operation))
}

/// Returns every platform and operation that can happen in part.
pub fn operations_with_parts() -> &'static [(&'static str, &'static str)] {
    PARTED
}

/// Returns how many of `count` parts happen when half of them do: at least one, and where there is only one, that one.
pub(in crate::embedded) fn half(count: usize) -> usize {
    (count / 2).max(1)
}
