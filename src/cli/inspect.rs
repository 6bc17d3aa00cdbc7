//! `cutover inspect`: what Fly would be sent for a `fly.toml`, and what it costs, with nobody asked.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::arguments::Inspect;
use super::{Ended, Failure, Format, pretty, put};
use crate::exit;
use crate::platform::fly::cost::MachineKind;
use crate::platform::fly::inspect::{Inspection, inspect};
use crate::platform::fly::live::Live;
use crate::platform::fly::machine_config::MachineConfig;
use crate::platform::fly::toml::{Finding, FlyConfig, FlyTomlError, Form};
use crate::report::plain;

/// Shows what Fly would be sent for a file. A file with faults ends with exit code 2, and every fault with its place on standard error.
pub(super) fn run(arguments: &Inspect, format: Format) -> Ended {
    let file = if arguments.file.is_dir() { arguments.file.join("fly.toml") } else { arguments.file.clone() };
    let text = read(&file)?;
    let mut config = match FlyConfig::parse_as(&text, Form::of(&file)) {
        Ok(config) => config,
        Err(faulty) => return Ok(tell(&file, &faulty)),
    };
    let folder = file.parent().map_or_else(PathBuf::new, Path::to_owned);
    config
        .load_files(|path| std::fs::read(folder.join(path)))
        .map_err(|(path, error)| Failure::usage(format!("{}: the file {path} cannot be read: {error}", file.display())))?;
    let live = arguments.live.as_deref().map(live).transpose()?;
    let mut inspection = inspect(&config, arguments.image.as_deref(), live.as_ref());
    if let Some(group) = &arguments.group {
        only(&mut inspection, group)?;
    }
    match format {
        Format::Json => put(&pretty(&inspection)),
        Format::Text | Format::Markdown => {
            let text = text_of(&inspection, config.deploy.strategy.is_some());
            put(&text.lines().map(|line| plain(line) + "\n").collect::<String>())
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
    // Windows editors begin a file with a mark that is no part of its text.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn live(path: &Path) -> Result<Live, Failure> {
    serde_json::from_str(&read(path)?).map_err(|error| {
        Failure::usage(format!("{} is not what the Machines API lists: {error}", path.display()))
            .hint("write {\"machines\": […], \"volumes\": […]}, each list as the API gives it")
    })
}

/// Leaves one group.
fn only(inspection: &mut Inspection, group: &str) -> Result<(), Failure> {
    if !inspection.groups.contains_key(group) {
        let known: Vec<&str> = inspection.groups.keys().map(String::as_str).collect();
        return Err(Failure::usage(format!("there is no process group `{group}`")).hint(format!("one of: {}", known.join(", "))));
    }
    inspection.groups.retain(|name, _| name == group);
    if let Some(updates) = &mut inspection.updates {
        updates.retain(|update| update.group == group);
    }
    Ok(())
}

/// Tells every fault and warning with its place.
fn tell(file: &Path, faulty: &FlyTomlError) -> u8 {
    let all = faulty.faults.iter().map(|fault| ("error", fault)).chain(faulty.warnings.iter().map(|warning| ("warning", warning)));
    let mut stderr = anstream::stderr();
    for (word, finding) in all {
        let Finding { line, column, source_line, width, .. } = finding;
        let before: String = source_line.chars().take(column - 1).collect();
        let caret = format!("{}{}", " ".repeat(plain(&before).chars().count()), "^".repeat(*width));
        // There is nowhere left to say that standard error is gone.
        let _ = writeln!(stderr, "{word}: {}:{} [{}]", file.display(), plain(&finding.to_string()), finding.code);
        let _ = writeln!(stderr, "{line:>5} | {}\n      | {caret}", plain(source_line));
    }
    exit::USAGE
}

fn text_of(inspection: &Inspection, declared: bool) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let app = inspection.app.as_deref().unwrap_or("an app that the file does not name");
    let _ = writeln!(out, "What Fly would be sent for {app} (all of it: --format json)\n");
    let why = inspection.why_not_bluegreen.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    let note = if declared { String::new() } else { format!(" (the file names none; a release uses {}{why})", inspection.released_by) };
    let _ = writeln!(out, "strategy   {}{note}", inspection.strategy);
    let _ = writeln!(out, "url        {}", inspection.url.as_deref().unwrap_or("none"));
    let _ = writeln!(out, "addresses  {}", inspection.ip_kind.as_str());
    let _ = writeln!(out, "cost       {}", inspection.cost.line(None));
    for item in &inspection.cost.items {
        let usd = item.usd.map_or_else(|| "unknown".to_owned(), |usd| format!("${usd:.2}"));
        let _ = writeln!(out, "             {}  {usd}", item.what);
    }
    let _ = writeln!(out, "             not in it: {}", inspection.cost.left_out.join("; "));
    for (group, machine) in &inspection.groups {
        let default = if *group == inspection.default_group { " (default)" } else { "" };
        let _ = writeln!(out, "\ngroup {group}{default}");
        describe(&mut out, machine);
    }
    if let Some(command) = &inspection.release_command {
        let limit = command.timeout_seconds.as_ref().map_or_else(|| "no limit".to_owned(), |seconds| format!("at most {seconds} s"));
        let _ = writeln!(out, "\nrelease command ({limit}, in {})", command.region.as_deref().unwrap_or("a region of Fly's choice"));
        describe(&mut out, &command.config);
    }
    for update in inspection.updates.iter().flatten() {
        let how = if update.replace { "replaced by a new one" } else { "updated in place" };
        let down = if update.skip_launch { ", stays down" } else { "" };
        let _ = writeln!(out, "\nmachine {} of {} in {}: {how}{down}", update.id, update.group, update.region);
        describe(&mut out, &update.config);
    }
    for warning in &inspection.warnings {
        let _ = writeln!(out, "\nwarning: {}: {}", warning.path, warning.message);
    }
    out
}

/// Describes a machine in the few lines that a person looks for.
fn describe(out: &mut String, machine: &MachineConfig) {
    let mut line = |key: &str, text: String| {
        if !text.is_empty() {
            let _ = writeln!(out, "  {key:<9}{text}");
        }
    };
    let text = |value: &Value, key: &str| match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        _ => String::new(),
    };
    let list = |value: Option<&Value>, between: &str, word: &dyn Fn(&Value) -> String| {
        value.and_then(Value::as_array).into_iter().flatten().map(word).collect::<Vec<_>>().join(between)
    };
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    line("image", machine.get("image").map(word).unwrap_or_default());
    line("command", list(machine.get("init").and_then(|init| init.get("cmd")), " ", &word));
    line("size", machine.get("guest").and_then(|guest| MachineKind::of(guest, "")).map(|kind| kind.to_string()).unwrap_or_default());
    let port = |port: &Value| {
        let number = if port.get("port").is_some() {
            text(port, "port")
        } else {
            format!("{}-{}", text(port, "start_port"), text(port, "end_port"))
        };
        format!("{number} {}", list(port.get("handlers"), "+", &word)).trim_end().to_owned()
    };
    let service = |service: &Value| {
        let checks = service.get("checks").and_then(Value::as_array).map_or(0, Vec::len);
        let ports = list(service.get("ports"), ", ", &port);
        format!(
            "{} {} at {}; checks: {checks}",
            text(service, "protocol"),
            text(service, "internal_port"),
            if ports.is_empty() { "no port" } else { &ports }
        )
    };
    line("services", list(machine.get("services"), " | ", &service));
    let checks = machine.get("checks").and_then(Value::as_object);
    line("checks", checks.map(|checks| checks.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default());
    let mount = |mount: &Value| {
        let volume = text(mount, "volume");
        let volume = if volume.is_empty() { "a free volume".to_owned() } else { volume };
        format!("{} at {} ({volume})", text(mount, "name"), text(mount, "path"))
    };
    line("mounts", list(machine.get("mounts"), ", ", &mount));
    line("restart", machine.get("restart").map(|restart| text(restart, "policy")).unwrap_or_default());
    let names = machine.get("env").and_then(Value::as_object);
    line("env", names.map(|names| names.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default());
}
