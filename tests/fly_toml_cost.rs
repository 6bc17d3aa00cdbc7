//! What an app costs a month, by the one dated table.

use std::path::Path;

use cutover::platform::fly::bill::holdings;
use cutover::platform::fly::cost::{Holdings, MachineKind};
use cutover::platform::fly::live::Live;
use cutover::platform::fly::prices;
use cutover::platform::fly::toml::FlyConfig;
use serde_json::{Value, json};

fn parse(text: &str) -> FlyConfig {
    FlyConfig::parse(text).unwrap()
}

fn guest(cpu_kind: &str, cpus: u32, memory_mb: u32) -> Value {
    json!({ "cpu_kind": cpu_kind, "cpus": cpus, "memory_mb": memory_mb })
}

fn monthly(machines: &[(Value, &str)]) -> f64 {
    let mut holdings = Holdings::default();
    for (guest, region) in machines {
        holdings.add(Some(guest), region, true);
    }
    holdings.monthly().usd
}

#[test]
fn every_price_of_the_table_comes_out() {
    let rows = [
        ("shared", 1, 256, "1.94"),
        ("shared", 1, 512, "3.19"),
        ("shared", 1, 1024, "5.70"),
        ("shared", 1, 2048, "10.70"),
        ("shared", 2, 512, "3.89"),
        ("shared", 2, 4096, "21.39"),
        ("shared", 4, 1024, "7.78"),
        ("shared", 4, 8192, "42.78"),
        ("shared", 6, 1536, "11.67"),
        ("shared", 8, 2048, "15.56"),
        ("shared", 8, 16384, "85.56"),
        ("performance", 1, 2048, "31.00"),
        ("performance", 1, 8192, "61.00"),
        ("performance", 2, 16384, "122.00"),
        ("performance", 10, 20480, "310.00"),
        ("performance", 16, 32768, "496.00"),
        ("performance", 16, 131_072, "976.00"),
    ];
    for (kind, cpus, memory, usd) in rows {
        assert_eq!(format!("{:.2}", monthly(&[(guest(kind, cpus, memory), "iad")])), usd, "{kind} {cpus} × {memory} MB");
    }
}

#[test]
fn figures_that_fly_quotes_come_out() {
    let small = (guest("shared", 1, 256), "sjc");
    let larger = (guest("shared", 1, 1024), "sjc");
    assert_eq!(monthly(&[small]).to_string(), "2.32");
    assert_eq!(monthly(&[larger.clone(), larger.clone(), larger]).to_string(), "20.37");
}

#[test]
fn a_first_release_is_priced_from_the_file_alone() {
    // Two machines of the group with a service, one of the other; a volume of 10 GB; an address of its own.
    let config = parse(
        "app = 'a'\nprimary_region = 'fra'\n[processes]\ndb = 'd'\nweb = 'w'\n[[vm]]\nsize = 'shared-cpu-2x'\n[mounts]\nsource = 'd'\ndestination = '/d'\ninitial_size = 10\n[[services]]\ninternal_port = 1\nprotocol = 'udp'\nprocesses = ['web']\n[[services.ports]]\nport = 53",
    );
    let cost = holdings(&config, None).monthly();
    let items: Vec<String> = cost.items.iter().map(|item| format!("{} {:?}", item.what, item.usd)).collect();
    insta::assert_snapshot!(items.join("\n"), @r"
    3 × shared-cpu-2x 512 MB in fra Some(13.46)
    10 GB of volumes Some(1.5)
    1 × dedicated IPv4 Some(2.0)
    ");
    assert_eq!(cost.line(None), format!("$16.96 a month (prices of {})", prices::AS_OF));
}

#[test]
fn what_runs_is_priced_as_it_runs() {
    let machine = |id: &str, state: &str, guest: Value| json!({"id": id, "state": state, "region": "iad", "config": {"guest": guest, "metadata": {"fly_platform_version": "v2", "fly_process_group": "app"}}});
    let live: Live = serde_json::from_value(json!({
        "machines": [machine("a", "started", guest("shared", 1, 256)), machine("b", "stopped", guest("shared", 1, 256))],
        "volumes": [{"id": "v", "size_gb": 3, "region": "iad"}, {"id": "w", "size_gb": 9, "state": "pending_destroy"}],
    }))
    .unwrap();
    let before = holdings(&parse("app = 'a'"), Some(&live)).monthly();
    assert_eq!(before.line(None), "$2.39 a month (prices of 2026-08)");
    assert!(before.left_out.iter().any(|what| what.contains("1 machine stopped")), "{:?}", before.left_out);
    // What the file says of the size is what will run.
    let after = holdings(&parse("app = 'a'\n[[vm]]\nmemory = '1gb'"), Some(&live)).monthly();
    assert_eq!(after.line(Some(&before)), "$6.15 a month, +$3.76 (prices of 2026-08)");
    assert_eq!(before.line(Some(&after)), "$2.39 a month, −$3.76 (prices of 2026-08)");
    assert_eq!(before.line(Some(&before)), before.line(None));
}

#[test]
fn what_has_no_known_price_is_named_and_not_guessed() {
    let kind = |region: &str, more: Value| {
        let mut guest = guest("performance", 8, 16384);
        guest.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        MachineKind::of(&guest, region).unwrap().monthly()
    };
    assert_eq!(kind("moon", json!({})), None);
    assert_eq!(kind("iad", json!({"gpu_kind": "a10", "gpus": 1})), None);
    assert_eq!(kind("iad", json!({"cpu_kind": "quantum"})), None);
    assert_eq!(kind("iad", json!({})), Some(248.0));
    let mut holdings = Holdings::default();
    holdings.add(Some(&guest("shared", 1, 256)), "iad", true);
    holdings.add(None, "iad", true);
    let cost = holdings.monthly();
    assert_eq!(cost.line(None), "$1.94 a month and what has no known price (prices of 2026-08)");
    assert!(cost.left_out.iter().any(|what| what.contains("its price is not known")), "{:?}", cost.left_out);
}

#[test]
fn the_products_of_the_fixtures_cost_what_their_sizes_say() {
    let cost = |file: &str| {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(file)).unwrap();
        holdings(&parse(&text), None).monthly().line(None)
    };
    assert_eq!(cost("flowhub/backend/fly.toml"), "$6.88 a month (prices of 2026-08)");
    assert_eq!(cost("autoswe/backend/fly.toml"), "$62.00 a month (prices of 2026-08)");
}
