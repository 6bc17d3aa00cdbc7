//! Which container of a `machine_config` gets the released image.

use serde_json::{Map, Value};

/// A `machine_config` whose containers cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainersError {
    /// `container` names none of them.
    #[error("has no container `{0}`")]
    Missing(String),
    /// One that does not get the released image has none of its own.
    #[error("the container `{0}` needs an image: only one container gets the one that is released")]
    WithoutImage(String),
}

/// Returns the position of the container that gets the image: the one of that name, else `app`, else the first; `None` where a machine has no
/// containers. Every other one must name an image of its own. Source: flyctl, internal/containerconfig.
pub fn image_container(config: &Map<String, Value>, wanted: Option<&str>) -> Result<Option<usize>, ContainersError> {
    let Some(containers) = config.get("containers").and_then(Value::as_array).filter(|containers| !containers.is_empty()) else {
        return Ok(None);
    };
    let text = |container: &Value, key: &str| container.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let wanted = wanted.filter(|name| !name.is_empty());
    let named = containers.iter().position(|container| text(container, "name") == wanted.unwrap_or("app"));
    let at = match (named, wanted) {
        (Some(at), _) => at,
        (None, Some(name)) => return Err(ContainersError::Missing(name.to_owned())),
        (None, None) => 0,
    };
    let bare = containers.iter().enumerate().find(|(other, container)| *other != at && text(container, "image").is_empty());
    bare.map_or(Ok(Some(at)), |(_, container)| Err(ContainersError::WithoutImage(text(container, "name"))))
}
