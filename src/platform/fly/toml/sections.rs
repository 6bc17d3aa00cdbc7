//! Every section that has nothing to do with services.

use std::collections::BTreeMap;

use super::document::{
    Build, Deploy, FileEntry, FileSource, FlyConfig, MachineConfigSource, Metrics, Mount, Restart, Static, Strategy, Vm,
};
use super::finding::Findings;
use super::reader::{Bare, Reader};
use super::tree::Node;
use super::values::{parse_memory_mb, parse_volume_gb};

/// The keys that `services::read` reads from the document itself.
const SERVICE_KEYS: [&str; 4] = ["http_service", "services", "checks", "machine_checks"];

/// Reads everything but services and checks, and warns about unknown sections.
pub(super) fn read(root: &Node, findings: &Findings) -> FlyConfig {
    let top = Reader::new(root, String::new(), findings);
    for key in SERVICE_KEYS {
        let _ = top.get(key);
    }
    let experimental = top.table("experimental");
    let mut config = FlyConfig {
        app: top.text("app"),
        primary_region: top.text("primary_region"),
        kill_signal: top.text("kill_signal"),
        kill_timeout: top.duration("kill_timeout", Bare::Seconds),
        swap_size_mb: top.count("swap_size_mb"),
        console_command: top.text("console_command"),
        host_dedication_id: top.text("host_dedication_id"),
        build: top.table("build").map(build).unwrap_or_default(),
        deploy: top.table("deploy").map(deploy).unwrap_or_default(),
        env: env(&top),
        processes: processes(&top),
        mounts: [top.tables("mount"), top.tables("mounts")].into_iter().flatten().map(mount).collect(),
        metrics: [top.tables("metric"), top.tables("metrics")].into_iter().flatten().map(metrics).collect(),
        restart: top.tables("restart").into_iter().map(restart).collect(),
        statics: top.tables("statics").into_iter().map(file_server).collect(),
        vm: [top.tables("compute"), top.tables("computes"), top.tables("vm")].into_iter().flatten().map(vm).collect(),
        files: top.tables("files").into_iter().filter_map(file).collect(),
        ..FlyConfig::default()
    };
    config.experimental.machine_config = machine_config(&top);
    config.experimental.container = top.text("container");
    if let Some(reader) = experimental {
        read_experimental(reader, &mut config);
    }
    top.finish();
    config
}

fn env(top: &Reader<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    // `[[env]]` is merged, later wins; a single table is the same with one.
    for table in top.tables("env") {
        for entry in table.all() {
            match entry.node.value.scalar() {
                Some(text) => {
                    env.insert(entry.key.clone(), text);
                }
                None => table.fault("fly-toml::type", &entry.key, "must be a string"),
            }
        }
    }
    env
}

fn processes(top: &Reader<'_>) -> BTreeMap<String, String> {
    let is_list = top.get("processes").is_some_and(|entry| matches!(entry.node.value, super::tree::Value::List(_)));
    if is_list {
        let named = top.tables("processes").into_iter().filter_map(|table| {
            let pair = (table.text("name").unwrap_or_default(), table.text("command").unwrap_or_default());
            table.finish();
            Some(pair).filter(|(name, _)| !name.is_empty())
        });
        return named.collect();
    }
    top.text_map("processes").unwrap_or_default().into_iter().collect()
}

fn build(table: Reader<'_>) -> Build {
    for key in ["buildpacks", "settings"] {
        let _ = table.get(key);
    }
    if table.text("compression").is_some_and(|name| !["gzip", "zstd"].contains(&name.as_str())) {
        table.fault("fly-toml::compression", "compression", "must be gzip or zstd");
    }
    let _ = table.integer("compression_level", 0..=9);
    for key in ["builder", "builtin", "compose"] {
        if table.all().iter().any(|entry| entry.key == key) {
            table.warn("fly-toml::builder", key, "is not used: the image is built from its Dockerfile");
        }
    }
    let build = Build {
        image: table.text("image"),
        dockerfile: table.text("dockerfile"),
        target: table.text("build-target").or_else(|| table.text("build_target")),
        ignorefile: table.text("ignorefile"),
        builder: table.text("builder"),
        builtin: table.text("builtin"),
        args: table.text_map("args").unwrap_or_default().into_iter().collect(),
    };
    let _ = table.get("compose");
    table.finish();
    build
}

fn deploy(table: Reader<'_>) -> Deploy {
    let strategy = table.text("strategy").filter(|name| !name.is_empty()).and_then(|name| {
        let strategy = Strategy::from_name(&name);
        if strategy.is_none() {
            table.fault("fly-toml::strategy", "strategy", format!("`{name}` is no strategy: canary, rolling, immediate or bluegreen"));
        }
        strategy
    });
    let no_limit = table.get("release_command_timeout").is_some_and(|entry| entry.node.value.scalar().as_deref() == Some("none"));
    let deploy = Deploy {
        strategy,
        max_unavailable: table.number("max_unavailable"),
        wait_timeout: table.duration("wait_timeout", Bare::SecondsWarned),
        release_command: table.text("release_command").filter(|command| !command.is_empty()),
        release_command_timeout: if no_limit {
            Some(None)
        } else {
            table.duration("release_command_timeout", Bare::SecondsWarned).map(Some)
        },
        release_command_vm: table.table("release_command_vm").map(vm),
        seed_command: table.text("seed_command").filter(|command| !command.is_empty()),
    };
    if deploy.max_unavailable.is_some_and(|share| share <= 0.0) {
        table.fault("fly-toml::range", "max_unavailable", "must be greater than 0");
    }
    table.finish();
    deploy
}

fn read_experimental(table: Reader<'_>, config: &mut FlyConfig) {
    let experimental = &mut config.experimental;
    experimental.cmd = table.text_or_texts("cmd");
    experimental.entrypoint = table.text_or_texts("entrypoint");
    experimental.exec = table.text_or_texts("exec");
    if experimental.machine_config.is_none() {
        experimental.machine_config = machine_config(&table);
    }
    if experimental.container.is_none() {
        experimental.container = table.text("container");
    }
    let kill_timeout = table.duration("kill_timeout", Bare::Seconds);
    config.kill_timeout = config.kill_timeout.or(kill_timeout);
    let (port, path) = (table.port("metrics_port"), table.text("metrics_path"));
    if config.metrics.is_empty() && (port.is_some() || path.is_some()) {
        config.metrics.push(Metrics { port, path, ..Metrics::default() });
    }
    for key in
        ["auto_rollback", "use_zstd", "allowed_public_ports", "enable_consul", "enable_etcd", "lazy_load_images", "attached", "uses_gpus"]
    {
        let _ = table.get(key);
    }
    table.finish();
}

/// Reads where a machine config comes from: JSON that begins with a brace, else a file.
fn machine_config(table: &Reader<'_>) -> Option<MachineConfigSource> {
    let text = table.text("machine_config").filter(|text| !text.is_empty())?;
    if !text.trim_start().starts_with('{') {
        return Some(MachineConfigSource::File(text));
    }
    let config = serde_json::from_str(&text).map(MachineConfigSource::Inline);
    if let Err(error) = &config {
        table.fault("fly-toml::machine-config", "machine_config", format!("is no JSON object: {error}"));
    }
    config.ok()
}

fn mount(table: Reader<'_>) -> Mount {
    let gigabytes = |key| {
        let text = table.loose_text(key)?;
        let size = parse_volume_gb(&text).filter(|size| *size >= 1);
        if size.is_none() {
            table.fault("fly-toml::size", key, format!("`{text}` is no size of at least 1 GB"));
        }
        size
    };
    let mount = Mount {
        source: table.text("source").unwrap_or_default(),
        destination: table.text("destination").unwrap_or_default(),
        initial_size_gb: gigabytes("initial_size"),
        snapshot_retention: table.integer("snapshot_retention", 1..=60).and_then(|days| u32::try_from(days).ok()),
        extend_threshold_percent: table.integer("auto_extend_size_threshold", 50..=99).and_then(|share| u32::try_from(share).ok()),
        extend_increment_gb: gigabytes("auto_extend_size_increment").filter(|size| limit(&table, "auto_extend_size_increment", *size, 100)),
        extend_limit_gb: gigabytes("auto_extend_size_limit").filter(|size| limit(&table, "auto_extend_size_limit", *size, 500)),
        processes: table.texts("processes").unwrap_or_default(),
    };
    let _ = table.get("scheduled_snapshots");
    if mount.destination.is_empty() {
        table.fault("fly-toml::missing", "destination", "is needed: where the volume appears in the machine");
    }
    if mount.extend_threshold_percent.is_some() && mount.extend_increment_gb.is_none() {
        table.fault("fly-toml::missing", "auto_extend_size_increment", "is needed with auto_extend_size_threshold");
    }
    table.finish();
    mount
}

fn limit(table: &Reader<'_>, key: &str, size: u32, most: u32) -> bool {
    if size > most {
        table.fault("fly-toml::range", key, format!("must be at most {most} GB"));
    }
    size <= most
}

fn metrics(table: Reader<'_>) -> Metrics {
    let metrics = Metrics {
        port: table.port("port"),
        path: table.text("path"),
        https: table.flag("https"),
        processes: table.texts("processes").unwrap_or_default(),
    };
    table.finish();
    metrics
}

fn restart(table: Reader<'_>) -> Restart {
    let restart = Restart {
        policy: table.text("policy").unwrap_or_default(),
        retries: table.count("retries"),
        processes: table.texts("processes").unwrap_or_default(),
    };
    if !["always", "never", "on-failure"].contains(&restart.policy.as_str()) {
        table.fault("fly-toml::restart", "policy", "must be always, never or on-failure");
    }
    table.finish();
    restart
}

fn file_server(table: Reader<'_>) -> Static {
    let text = |key| table.text(key).unwrap_or_default();
    let files = Static {
        guest_path: text("guest_path"),
        url_prefix: text("url_prefix"),
        tigris_bucket: text("tigris_bucket"),
        index_document: text("index_document"),
    };
    table.finish();
    files
}

fn vm(table: Reader<'_>) -> Vm {
    let memory = table.loose_text("memory").and_then(|text| {
        let size = parse_memory_mb(&text);
        if size.is_none() {
            table.fault("fly-toml::size", "memory", format!("`{text}` is no size: write \"512mb\" or \"1gb\""));
        }
        size
    });
    let vm = Vm {
        size: table.text("size"),
        memory,
        cpu_kind: table.text("cpu_kind"),
        cpus: table.count("cpus"),
        memory_mb: table.count("memory_mb"),
        max_memory_mb: table.count("max_memory_mb"),
        gpus: table.count("gpus"),
        gpu_kind: table.text("gpu_kind"),
        persist_rootfs: table.text("persist_rootfs"),
        kernel_args: table.texts("kernel_args").unwrap_or_default(),
        host_dedication_id: table.text("host_dedication_id"),
        processes: table.texts("processes").unwrap_or_default(),
    };
    if let Some(size) = vm.size.as_deref().filter(|size| !size.is_empty()) {
        if crate::platform::fly::machine_config::preset(size).is_none() {
            table.fault("fly-toml::vm-size", "size", format!("`{size}` is no size that Fly has"));
        }
        if !size.starts_with("shared") && !size.starts_with("performance") {
            table.warn("fly-toml::gpu", "size", "is a GPU size, which Fly no longer offers");
        }
    }
    if vm.memory == Some(0) {
        table.fault("fly-toml::size", "memory", "cannot be zero");
    }
    table.finish();
    vm
}

fn file(table: Reader<'_>) -> Option<FileEntry> {
    let guest_path = table.text("guest_path");
    let sources = [
        table.text("local_path").map(FileSource::Local),
        table.text("raw_value").map(|text| FileSource::Bytes(text.into_bytes())),
        table.text("secret_name").map(FileSource::Secret),
    ];
    let mut sources = sources.into_iter().flatten();
    let source = sources.next().unwrap_or(FileSource::Nothing);
    if sources.next().is_some() {
        table.fault("fly-toml::files", "guest_path", "has more than one of local_path, raw_value and secret_name");
    }
    let mode = table.count("mode");
    if table.texts("processes").is_some() {
        table.warn("fly-toml::files", "processes", "has no effect: Fly's own client gives every file to every group, and so does this");
    }
    if !guest_path.as_deref().is_some_and(|path| path.starts_with('/')) {
        table.fault("fly-toml::files", "guest_path", "must be an absolute path");
    }
    table.finish();
    Some(FileEntry { guest_path: guest_path?, source, mode })
}
