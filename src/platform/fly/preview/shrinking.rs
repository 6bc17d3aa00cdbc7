//! What a preview makes of a `fly.toml`: as little as shows the same. Pure.

use crate::platform::fly::toml::{FlyConfig, Service, Vm};

/// Returns the config of a preview called `app`: machines of the smallest kind with this memory, that sleep while nobody asks; volumes of the
/// smallest size. Everything else is as the file says.
pub(super) fn shrunk(config: &FlyConfig, app: &str, memory_mb: u32) -> FlyConfig {
    let mut config = config.clone();
    config.app = Some(app.to_owned());
    if let Some(http) = &mut config.http_service {
        sleep(&mut http.service);
    }
    config.services.iter_mut().for_each(sleep);
    config.vm = vec![Vm { size: Some("shared-cpu-1x".to_owned()), memory_mb: Some(memory_mb), ..Vm::default() }];
    config.host_dedication_id = None;
    config.deploy.strategy = None;
    for mount in &mut config.mounts {
        mount.initial_size_gb = Some(1);
        mount.snapshot_retention = Some(1);
    }
    config
}

fn sleep(service: &mut Service) {
    service.autostop = Some("stop".to_owned());
    service.autostart = Some(true);
    service.min_machines_running = Some(0);
}
