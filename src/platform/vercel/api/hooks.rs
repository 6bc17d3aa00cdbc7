//! Triggering a deploy hook.

use http::Method;
use url::Url;

use crate::http::{Call, Platform};
use crate::platform::PlatformError;
use crate::platform::vercel::client::VercelClient;
use crate::platform::vercel::wire::Hooked;

impl VercelClient {
    /// Triggers a hook and returns when its job was made, in milliseconds since 1970, where the answer says so.
    ///
    /// No credential is sent: the address is the secret. Never repeated: each trigger is a build (vercel.md 3).
    pub(in crate::platform::vercel) async fn trigger_hook(&self, hook: &Url, thing: &str) -> Result<Option<i64>, PlatformError> {
        let mut call = Call::new(Platform::Vercel, "trigger_deploy_hook", Method::POST, self.hook_address(hook));
        call.secret_url = true;
        let hooked: Hooked = self.read(call, thing).await?;
        Ok(hooked.job.created_at.map(|at| at as i64))
    }
}
