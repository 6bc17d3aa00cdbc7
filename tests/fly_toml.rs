//! `fly.toml` to what Fly is sent: a row per behaviour, with the reference's section as its reason.

use cutover::platform::fly::machine_config::render;
use cutover::platform::fly::toml::{
    FlyConfig, FlyTomlError, Strategy, format_duration, parse_duration, parse_memory_mb, parse_volume_gb, split_words,
};
use serde_json::{Value, json};
use std::time::Duration;

fn parse(text: &str) -> FlyConfig {
    FlyConfig::parse(text).unwrap_or_else(|error| panic!("{error}\n{:#?}", error.faults))
}

fn faults(text: &str) -> FlyTomlError {
    FlyConfig::parse(text).expect_err("the file has a fault")
}

/// Renders a new machine of the default group and returns the value at `pointer`.
fn rendered(text: &str, pointer: &str) -> Value {
    rendered_group(text, "app", pointer)
}

fn rendered_group(text: &str, group: &str, pointer: &str) -> Value {
    let config = Value::Object(render(&parse(text), group, "registry.fly.io/a@sha256:1", None));
    config.pointer(pointer).cloned().unwrap_or(Value::Null)
}

#[test]
fn each_behaviour_has_its_row() {
    let http = "[http_service]\ninternal_port = 8080\n";
    let rows: Vec<(&str, String, &str, Value)> = vec![
        ("12: init is always sent", String::new(), "/init", json!({})),
        ("14: the group is always in the environment", String::new(), "/env", json!({"FLY_PROCESS_GROUP": "app"})),
        (
            "14: primary_region wins over an entry of its name",
            "primary_region = 'iad'\n[env]\nPRIMARY_REGION = 'lhr'".into(),
            "/env",
            json!({"PRIMARY_REGION": "iad", "FLY_PROCESS_GROUP": "app"}),
        ),
        ("13: env values are made strings", "[env]\nA = 42\nB = true".into(), "/env/A", json!("42")),
        ("13: [[env]] is merged, later wins", "[[env]]\nA = 'x'\n[[env]]\nA = 'y'".into(), "/env/A", json!("y")),
        ("13: kill_timeout is seconds", "kill_timeout = 30".into(), "/stop_config", json!({"timeout": "30s"})),
        ("13: kill_timeout is truncated", "kill_timeout = 2.9".into(), "/stop_config/timeout", json!("2s")),
        ("14: signal and time-out", "kill_signal = 'SIGTERM'\nkill_timeout = '1m30s'".into(), "/stop_config", json!({"signal": "SIGTERM", "timeout": "1m30s"})),
        ("13: experimental.kill_timeout where the other is unset", "[experimental]\nkill_timeout = 7".into(), "/stop_config/timeout", json!("7s")),
        ("14: swap", "swap_size_mb = 512".into(), "/init/swap_size_mb", json!(512)),
        ("13: a string stays one element", "[experimental]\ncmd = 'a b'".into(), "/init/cmd", json!(["a b"])),
        ("14: experimental entrypoint", "[experimental]\nentrypoint = ['/x', 'y']".into(), "/init/entrypoint", json!(["/x", "y"])),
        ("14: no size means the smallest for a new machine", String::new(), "/guest", json!({"cpu_kind": "shared", "cpus": 1, "memory_mb": 256})),
        ("14: a preset", "[[vm]]\nsize = 'performance-2x'".into(), "/guest", json!({"cpu_kind": "performance", "cpus": 2, "memory_mb": 4096})),
        ("14: memory beats the preset", "[[vm]]\nsize = 'shared-cpu-1x'\nmemory = '1gb'".into(), "/guest/memory_mb", json!(1024)),
        ("14: memory_mb beats memory", "[vm]\nmemory = '1gb'\nmemory_mb = 512".into(), "/guest/memory_mb", json!(512)),
        ("13: bare memory is MB", "[[vm]]\nmemory = 512".into(), "/guest/memory_mb", json!(512)),
        ("14: cpus beat the preset", "[[vm]]\nsize = 'shared-cpu-1x'\ncpus = 2".into(), "/guest/cpus", json!(2)),
        ("13: [compute] is an old name", "[compute]\nsize = 'shared-cpu-2x'".into(), "/guest/memory_mb", json!(512)),
        ("14: a dedicated host", "host_dedication_id = 'h'\n[[vm]]\nsize = 'shared-cpu-1x'".into(), "/guest/host_dedication_id", json!("h")),
        ("14: never is no", "[[restart]]\npolicy = 'never'\nretries = 3".into(), "/restart", json!({"policy": "no", "max_retries": 3})),
        ("22.4: no [[restart]], no field", String::new(), "/restart", Value::Null),
        ("14: metrics without processes", "[metrics]\nport = 9091\npath = '/m'".into(), "/metrics", json!({"port": 9091, "path": "/m"})),
        ("13: experimental metrics", "[experimental]\nmetrics_port = 1\nmetrics_path = '/x'".into(), "/metrics", json!({"port": 1, "path": "/x"})),
        (
            "12: all four fields of statics",
            "[[statics]]\nguest_path = '/p'\nurl_prefix = '/s'".into(),
            "/statics/0",
            json!({"guest_path": "/p", "url_prefix": "/s", "tigris_bucket": "", "index_document": ""}),
        ),
        (
            "14: raw_value is encoded",
            "[[files]]\nguest_path = '/f'\nraw_value = 'hello'\nmode = 420".into(),
            "/files/0",
            json!({"guest_path": "/f", "raw_value": "aGVsbG8=", "mode": 420}),
        ),
        ("14: a secret as a file", "[[files]]\nguest_path = '/f'\nsecret_name = 'S'".into(), "/files/0/secret_name", json!("S")),
        ("14: no source is documented as removal", "[[files]]\nguest_path = '/f'".into(), "/files/0", json!({"guest_path": "/f"})),
        (
            "14: mounts",
            "[mounts]\nsource = 'data'\ndestination = '/data'\nauto_extend_size_threshold = 80\nauto_extend_size_increment = '1GB'\nauto_extend_size_limit = '5GB'".into(),
            "/mounts/0",
            json!({"path": "/data", "name": "data", "extend_threshold_percent": 80, "add_size_gb": 1, "size_gb_limit": 5}),
        ),
        (
            "14: an HTTP service",
            format!("{http}force_https = true"),
            "/services/0",
            json!({
                "protocol": "tcp", "internal_port": 8080,
                "ports": [{"port": 80, "handlers": ["http"], "force_https": true}, {"port": 443, "handlers": ["http", "tls"]}],
                "force_instance_key": null,
            }),
        ),
        (
            "14: options go where they belong",
            format!("{http}[http_service.tls_options]\nalpn = ['h2']\n[http_service.http_options]\ncompress = true"),
            "/services/0/ports/1",
            json!({"port": 443, "handlers": ["http", "tls"], "http_options": {"compress": true}, "tls_options": {"alpn": ["h2"]}}),
        ),
        ("22.2: off is false", format!("{http}auto_stop_machines = 'off'"), "/services/0/autostop", json!(false)),
        ("22.2: stop is true", format!("{http}auto_stop_machines = true"), "/services/0/autostop", json!(true)),
        ("22.2: suspend is its name", format!("{http}auto_stop_machines = 'suspend'"), "/services/0/autostop", json!("suspend")),
        ("12: absent is not false", http.to_owned(), "/services/0/autostart", Value::Null),
        ("12: zero is sent", format!("{http}min_machines_running = 0"), "/services/0/min_machines_running", json!(0)),
        (
            "13: bare numbers in http_service.checks are milliseconds",
            format!("{http}[[http_service.checks]]\ninterval = 10000\ntimeout = 2500\npath = '/health'\nmethod = 'get'"),
            "/services/0/checks/0",
            json!({"type": "http", "interval": "10s", "timeout": "2.5s", "method": "get", "path": "/health"}),
        ),
        (
            "14: TCP first, then HTTP; headers as lists",
            "[[services]]\ninternal_port = '80'\nprotocol = 'tcp'\n[[services.http_checks]]\npath = '/'\n[services.http_checks.headers]\nX = 'y'\n[[services.tcp_checks]]\ninterval = 500".into(),
            "/services/0/checks",
            json!([{"type": "tcp", "interval": "500ms"}, {"type": "http", "path": "/", "headers": [{"name": "X", "values": ["y"]}]}]),
        ),
        (
            "13: the oldest concurrency",
            "[[services]]\ninternal_port = 1\nconcurrency = '12,23'".into(),
            "/services/0/concurrency",
            json!({"type": "requests", "soft_limit": 12, "hard_limit": 23}),
        ),
        ("13: a single [services] table", "[services]\ninternal_port = 9".into(), "/services/0/internal_port", json!(9)),
        (
            "12: a range of ports",
            "[[services]]\ninternal_port = 1\nprotocol = 'udp'\n[[services.ports]]\nstart_port = 1000\nend_port = '2000'".into(),
            "/services/0/ports/0",
            json!({"start_port": 1000, "end_port": 2000}),
        ),
        (
            "14: a check without a port takes the HTTP service's; its method is upper-cased",
            format!("{http}[checks.alive]\ntype = 'http'\nmethod = 'get'\npath = '/a'\ninterval = '15s'"),
            "/checks/alive",
            json!({"type": "http", "interval": "15s", "method": "GET", "path": "/a", "port": 8080}),
        ),
        ("13: [[checks]] with names", "[[checks]]\nname = 'c'\ntype = 'tcp'\nport = 5\ngrace_period = ''".into(), "/checks/c", json!({"type": "tcp", "port": 5})),
        ("14: metadata", String::new(), "/metadata", json!({"fly_platform_version": "v2", "fly_process_group": "app"})),
    ];
    for (why, text, pointer, expected) in rows {
        assert_eq!(rendered(&text, pointer), expected, "{why}\n{text}");
    }
}

#[test]
fn a_section_without_processes_belongs_to_the_default_group_only() {
    let text = "[processes]\nweb = 'serve \"a b\"'\nworker = ''\n[[services]]\ninternal_port = 80\nprocesses = ['web']\n[[restart]]\npolicy = 'always'\n[[vm]]\nsize = 'shared-cpu-2x'\n[[vm]]\nsize = 'shared-cpu-4x'\nprocesses = ['worker']\n[env]\nA = '1'";
    let config = parse(text);
    assert_eq!((config.groups(), config.default_group()), (vec!["web", "worker"], "web"));
    assert_eq!(rendered_group(text, "web", "/init/cmd"), json!(["serve", "a b"]));
    assert_eq!(rendered_group(text, "worker", "/init"), json!({}), "an empty command leaves the image's");
    assert_eq!(rendered_group(text, "worker", "/services"), Value::Null);
    assert_eq!(rendered_group(text, "worker", "/restart"), Value::Null);
    assert_eq!(rendered_group(text, "web", "/guest/cpus"), json!(2), "a generic [[vm]] is everybody's fallback");
    assert_eq!(rendered_group(text, "worker", "/guest/cpus"), json!(4));
    assert_eq!(rendered_group(text, "worker", "/env/A"), json!("1"), "the environment is everybody's");
}

#[test]
fn what_the_file_does_not_say_survives_and_what_it_no_longer_says_goes() {
    let existing = json!({
        "image": "old", "schedule": "daily", "dns": {"skip_registration": true}, "restart": {"policy": "always"},
        "guest": {"cpu_kind": "shared", "cpus": 4, "memory_mb": 2048}, "env": {"OLD": "1"},
        "metadata": {"mine": "kept", "fly_release_id": "gone", "fly_canary": "true", "fly_process_group": "app"},
        "mounts": [{"volume": "vol_1", "path": "/old", "name": "data", "encrypted": true}],
        "checks": {"old": {"type": "tcp", "port": 1}},
    });
    let config = parse("[env]\nNEW = '1'\n[mounts]\nsource = 'data'\ndestination = '/new'");
    let rendered = Value::Object(render(&config, "app", "new", existing.as_object()));
    let expected = json!({
        "image": "new", "schedule": "daily", "dns": {"skip_registration": true}, "init": {},
        "guest": {"cpu_kind": "shared", "cpus": 4, "memory_mb": 2048}, "env": {"NEW": "1", "FLY_PROCESS_GROUP": "app"},
        "metadata": {"mine": "kept", "fly_process_group": "app", "fly_platform_version": "v2"},
        // Another path keeps the volume's id and nothing else of the old mount, as flyctl does it (fly.md 14).
        "mounts": [{"volume": "vol_1", "path": "/new", "name": "data"}],
    });
    assert_eq!(rendered, expected);
}

#[test]
fn every_fault_is_found_in_one_pass_and_has_its_place() {
    let error = faults(
        "app = 5\n\n[http_service]\n  internal_port = 99999\n  auto_stop_machines = \"maybe\"\n[deploy]\nstrategy = 'quick'\n[[vm]]\nsize = 'huge'\n",
    );
    let seen: Vec<String> = error.faults.iter().map(|fault| format!("{} {fault}", fault.code)).collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
    fly-toml::type 1:7: app: must be a string, not a whole number
    fly-toml::range 4:19: http_service.internal_port: must be between 1 and 65535
    fly-toml::autostop 5:24: http_service.auto_stop_machines: must be "off", "stop" or "suspend"
    fly-toml::strategy 7:12: deploy.strategy: `quick` is no strategy: canary, rolling, immediate or bluegreen
    fly-toml::vm-size 9:8: vm[0].size: `huge` is no size that Fly has
    "#);
    let caret = &error.faults[1];
    assert_eq!((caret.source_line.as_str(), caret.width), ("  internal_port = 99999", 5));
}

#[test]
fn faults_between_sections_are_found() {
    let rows = [
        ("a service must name its processes", "[processes]\na = 'x'\n[[services]]\ninternal_port = 1", "fly-toml::missing"),
        ("a group must exist", "[http_service]\ninternal_port = 1\nprocesses = ['web']", "fly-toml::unknown-group"),
        ("a check needs a port", "[checks.c]\ntype = 'tcp'", "fly-toml::check"),
        ("a check has a type", "[checks.c]\nport = 1", "fly-toml::check"),
        ("an interval of at least 2s", "[checks.c]\ntype = 'tcp'\nport = 1\ninterval = '1s'", "fly-toml::check"),
        (
            "one volume a group",
            "[[mounts]]\nsource = 'a'\ndestination = '/a'\n[[mounts]]\nsource = 'b'\ndestination = '/b'",
            "fly-toml::mounts",
        ),
        ("canary and a volume", "[deploy]\nstrategy = 'canary'\n[mounts]\nsource = 'a'\ndestination = '/a'", "fly-toml::strategy"),
        ("a command that cannot be split", "[deploy]\nrelease_command = 'a \"b'", "fly-toml::command"),
        ("a volume of 0 GB", "[mounts]\nsource = 'a'\ndestination = '/a'\ninitial_size = '20Mb'", "fly-toml::size"),
        ("a restart policy", "[[restart]]\npolicy = 'often'", "fly-toml::restart"),
        ("a duration", "kill_timeout = 'soon'", "fly-toml::duration"),
        ("broken TOML", "app = ", "fly-toml::syntax"),
    ];
    for (why, text, code) in rows {
        let codes: Vec<&str> = faults(text).faults.iter().map(|fault| fault.code).collect();
        assert!(codes.contains(&code), "{why}: {codes:?}");
    }
}

#[test]
fn unknown_keys_are_warned_about_with_a_suggestion() {
    let config = parse(
        "app = 'a'\nprimary_regoin = 'iad'\n[http_service]\ninternal_port = 1\nforce_http = true\n[http_service.concurrency]\nhard = 3",
    );
    let seen: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(seen.join("\n"), @r"
    2:1: primary_regoin: is not known and has no effect (did you mean `primary_region`?)
    5:1: http_service.force_http: is not known and has no effect (did you mean `force_https`?)
    7:1: http_service.concurrency.hard: is not known and has no effect
    ");
}

#[test]
fn bare_durations_with_odd_units_are_said_aloud() {
    let config = parse(
        "[deploy]\nwait_timeout = 120\nrelease_command_timeout = 'none'\n[http_service]\ninternal_port = 1\n[[http_service.checks]]\ninterval = 5000",
    );
    assert_eq!(config.deploy.wait_timeout, Some(Duration::from_secs(120)));
    assert_eq!(config.deploy.release_command_timeout, Some(None));
    assert_eq!(config.warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(), ["fly-toml::bare-duration"; 2]);
}

#[test]
fn a_strategy_is_read_and_public_urls_follow_the_ports() {
    assert_eq!(parse("[deploy]\nstrategy = 'bluegreen'").deploy.strategy, Some(Strategy::Bluegreen));
    let service = |ports: &str| parse(&format!("[[services]]\ninternal_port = 1\n{ports}")).public_url("x");
    let port = |number: u16, handlers: &str| format!("[[services.ports]]\nport = {number}\nhandlers = {handlers}\n");
    assert_eq!(parse("[http_service]\ninternal_port = 1").public_url("x").as_deref(), Some("https://x.fly.dev/"));
    assert_eq!(service(&port(443, "['tls', 'http']")).as_deref(), Some("https://x.fly.dev/"));
    assert_eq!(service(&port(80, "['http']")).as_deref(), Some("http://x.fly.dev/"));
    assert_eq!(service(&(port(9000, "['tls', 'http']") + &port(8000, "['http']"))).as_deref(), Some("https://x.fly.dev:9000/"));
    assert_eq!(service(&port(5432, "['pg_tls']")), None);
}

#[test]
fn durations_sizes_and_words_read_as_fly_reads_them() {
    let durations =
        [("10s", "10s"), ("90s", "1m30s"), ("1m30s", "1m30s"), ("2.5s", "2.5s"), ("500ms", "500ms"), ("1h", "1h0m0s"), ("0", "0s")];
    for (text, back) in durations {
        assert_eq!(parse_duration(text).map(format_duration).as_deref(), Some(back), "{text}");
    }
    assert_eq!(["", "5", "s", "-1s", "1x", "1s2"].map(parse_duration), [None; 6]);
    assert_eq!(["8gb", "4G", "512", "1 GiB", "256mb"].map(parse_memory_mb), [8192, 4096, 512, 1024, 256].map(Some));
    assert_eq!(["30gb", "20Mb", "5", "1tb"].map(parse_volume_gb), [30, 0, 5, 1000].map(Some));
    assert_eq!(["x", "5q", "5mbb"].map(parse_memory_mb), [None; 3]);
    let words = split_words(r#"a 'b c' "d \"e" f\ g'h' # comment"#).unwrap();
    assert_eq!(words, ["a", "b c", "d \"e", "f gh"]);
    assert!(split_words("a 'b").is_err() && split_words("a\\").is_err());
}
