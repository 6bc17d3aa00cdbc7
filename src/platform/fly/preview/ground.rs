//! The organisation in which apps of previews stand.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use crate::http::{Platform, Transport};
use crate::platform::fly::client::{FlyClient, TOKEN_HINT};
use crate::platform::fly::token::FlyToken;
use crate::platform::fly::{FlyEndpoints, POLL};
use crate::platform::{Leftover, PlatformError, PlatformErrorKind, PreviewGround, PreviewsOf};
use crate::shutdown::{Level, Shutdown};

/// How long a removed app may still be known: its machines are stopped first.
const GONE_LIMIT: Duration = Duration::from_secs(60);

/// An organisation on Fly.
#[derive(Debug)]
pub struct FlyGround {
    organization: String,
    client: FlyClient,
}

impl FlyGround {
    /// Returns the organisation. Fails when the token string holds no token.
    pub fn new(organization: &str, endpoints: FlyEndpoints, token: &SecretString, transport: Transport) -> Result<Self, PlatformError> {
        let Some(token) = FlyToken::parse(token) else {
            let kind = PlatformErrorKind::Unauthorized("no token".to_owned());
            return Err(PlatformError::new(Platform::Fly, "read_token", format!("organisation {organization}"), kind).hint(TOKEN_HINT));
        };
        Ok(Self { organization: organization.to_owned(), client: FlyClient::new(endpoints, token, transport) })
    }
}

impl PreviewGround for FlyGround {
    fn platform(&self) -> Platform {
        Platform::Fly
    }

    fn place(&self) -> String {
        format!("organisation {}", self.organization)
    }

    async fn leftovers(&self, previews: &PreviewsOf) -> Result<Vec<Leftover>, PlatformError> {
        let apps = self.client.list_apps(&self.organization).await?;
        let leftover = |app: crate::platform::fly::wire::App| {
            let pull_request = previews.pull_request(&app.network)?;
            Some(Leftover { platform: Platform::Fly, pull_request, thing: format!("app {}", app.name), ids: vec![app.name] })
        };
        Ok(apps.into_iter().filter_map(leftover).collect())
    }

    async fn remove(&self, previews: &PreviewsOf, leftover: &Leftover, shutdown: &Shutdown) -> Result<(), PlatformError> {
        for app in &leftover.ids {
            let until = Instant::now() + GONE_LIMIT;
            let mut asked = false;
            loop {
                match self.client.get_app(app).await {
                    Ok(found) if previews.pull_request(&found.network) == Some(leftover.pull_request) => {}
                    // Another has this name by now.
                    Ok(_) => break,
                    Err(error) if matches!(error.kind, PlatformErrorKind::NotFound(_) | PlatformErrorKind::Forbidden(_)) => break,
                    Err(error) => return Err(error),
                }
                let error = |kind| PlatformError::new(Platform::Fly, "delete_app", format!("app {app}"), kind);
                if shutdown.level() >= Level::Drain {
                    return Err(error(PlatformErrorKind::Cancelled));
                }
                if Instant::now() >= until {
                    return Err(error(PlatformErrorKind::TimedOut { what: "the app being gone".to_owned(), limit: GONE_LIMIT }));
                }
                if asked {
                    tokio::time::sleep(POLL).await;
                    continue;
                }
                match self.client.delete_app(app).await {
                    Ok(()) => asked = true,
                    // Whether it was heard is seen by asking for the app.
                    Err(error) if error.ambiguous() => tokio::time::sleep(POLL).await,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
