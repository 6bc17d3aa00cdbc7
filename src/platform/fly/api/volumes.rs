//! Volumes: what there is, and new ones.

use http::Method;

use crate::platform::PlatformError;
use crate::platform::fly::client::{FlyClient, paced};
use crate::platform::fly::live::Volume;
use crate::platform::fly::wire::CreateVolume;

impl FlyClient {
    /// Lists an app's volumes, those on their way out included.
    pub(in crate::platform::fly) async fn volumes(&self, app: &str) -> Result<Vec<Volume>, PlatformError> {
        let call = paced(self.flaps("list_volumes", Method::GET, &["apps", app, "volumes"]), app);
        self.read(call, &format!("app {app}")).await
    }

    /// Creates an empty volume. Never repeated after a lost answer: a volume has no mark to find it by, so the
    /// caller looks for a free one.
    pub(in crate::platform::fly) async fn create_volume(&self, app: &str, body: &CreateVolume) -> Result<Volume, PlatformError> {
        let call = paced(self.flaps("create_volume", Method::POST, &["apps", app, "volumes"]), app).json(body);
        self.read(call, &format!("a volume of app {app}")).await
    }
}
