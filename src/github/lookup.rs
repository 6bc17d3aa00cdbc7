//! Looking for what a lost answer left behind, for longer than GitHub's lists lag, before anything is made a second time.

use std::time::Duration;

use tokio::time::Instant;

use super::GitHubError;

/// How long something just made may be missing in what is listed (github.md 25: reads after a write were seen to lag).
pub const READ_LAG: Duration = Duration::from_secs(3);
/// How long it is looked for: longer than [`READ_LAG`].
const WINDOW: Duration = Duration::from_secs(6);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Looks until something is found or the window is over. A look that fails is no finding: its error is returned, so that nobody takes
/// "could not look" for "is not there".
pub(super) async fn found<T>(mut look: impl AsyncFnMut() -> Result<Option<T>, GitHubError>) -> Result<Option<T>, GitHubError> {
    let until = Instant::now() + WINDOW;
    loop {
        if let Some(found) = look().await? {
            return Ok(Some(found));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
