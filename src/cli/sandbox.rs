//! `cutover sandbox`: the embedded platforms alone, until a signal, with the variables that point any client at them.

use std::fmt::Write as _;
use std::io::Write as _;

use super::arguments::Sandbox;
use super::run::{Base, manifest};
use super::world::{Beginning, Embedded, PULL_REQUEST};
use super::{Ended, Failure, Format, manifest_in, pretty, put, rehearse};
use crate::exit;
use crate::shutdown::{Level, Shutdown};

/// Runs the world until the first signal.
pub(super) async fn run(base: Base, arguments: Sandbox) -> Ended {
    let loaded = arguments.directory.as_ref().map(|directory| manifest(&manifest_in(directory))).transpose()?;
    let product = loaded.as_ref().map(|loaded| (loaded.root.as_path(), &loaded.manifest));
    let beginning = Beginning { earlier: arguments.earlier, engine: arguments.engine, open: product.is_none(), port: arguments.port };
    let embedded = Embedded::begin(product, beginning).await?;
    let sha = match product {
        Some((root, _)) => rehearse::commit(root).await,
        None => "c".repeat(40),
    };
    embedded.seed_github(arguments.directory.as_deref(), "main", &sha, PULL_REQUEST, arguments.pull_request);
    let shutdown = Shutdown::default();
    shutdown.listen().map_err(|error| Failure::preflight(format!("signals cannot be heard: {error}")))?;
    match base.format {
        Format::Json => put(&pretty(&embedded.variables))?,
        Format::Text | Format::Markdown => put(&exports(&embedded))?,
    };
    if !base.quiet {
        tell(&embedded, &arguments);
    }
    shutdown.at_least(Level::Drain).await;
    if let Some(path) = &arguments.tape {
        embedded.write_tape(path).map_err(|error| Failure::usage(format!("the tape {} cannot be written: {error}", path.display())))?;
    }
    embedded.world.end().await;
    Ok(exit::DONE)
}

/// Returns the variables as lines for `eval` or a file to be sourced.
fn exports(embedded: &Embedded) -> String {
    embedded.variables.iter().fold(String::new(), |mut lines, (name, value)| {
        // Values are addresses and tokens of our own making: no quote in them. Writing to a string cannot fail.
        let _ = writeln!(lines, "export {name}='{value}'");
        lines
    })
}

fn tell(embedded: &Embedded, arguments: &Sandbox) {
    let mut out = anstream::stderr();
    let machines = match (arguments.engine, embedded.containers) {
        (_, true) => "real containers",
        (true, false) => "simulated (no Docker engine answers)",
        (false, false) => "simulated",
    };
    let mut text = format!("The embedded platforms listen on this machine; machines are {machines}.\n");
    for host in embedded.world.ground().traffic.hosts() {
        if let Some(address) = embedded.addresses.browse(&host) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {host:<40} {address}");
        }
    }
    let edge = embedded.addresses.edges.first().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, "Any public host: curl -H 'Host: NAME.fly.dev' http://{edge}/\nCtrl-C ends it.");
    // Nowhere is left to say that standard error is gone.
    let _ = write!(out, "{text}");
}
