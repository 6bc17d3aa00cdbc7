//! Targets, what they cost, and the images that they run, in Markdown.

use std::fmt::Write as _;

use super::super::Report;
use super::super::markdown::{cell_code, code, link, text};
use super::super::model::{ImageReport, TargetReport};
use super::super::words::{capital, cost as cost_in_words, proof, short_digest, size, size_change, skew, took, way_back};
use super::cut;
use crate::event::Side;

/// Every target with what it served, what it was to serve, and what users get now.
pub(super) fn table(report: &Report) -> Option<String> {
    if report.targets.is_empty() {
        return None;
    }
    let mut out = String::from("| target | on | before → after | live now |\n|---|---|---|---|\n");
    for target in &report.targets {
        let (before, after) = (revision(target.before.as_deref()), revision(target.after.as_deref()));
        let change = if target.carried { format!("{before}, unchanged") } else { format!("{before} → {after}") };
        let _ = writeln!(out, "| {} | {} {} | {change} | {} |", target.name, target.platform, cell_code(&cut(&target.thing)), live(target));
    }
    for target in &report.targets {
        let Some(migration) = &target.migration else { continue };
        let sign = if migration.succeeded { "✅" } else { "❌" };
        let _ =
            writeln!(out, "\n{sign} Migration of {}: {} {}.", target.name, code(&cut(&migration.command)), text(&cut(&migration.ended)));
        for snapshot in &migration.snapshots {
            let _ = writeln!(out, "The database before it is in snapshot {} of {}.", code(&cut(&snapshot.id)), text(&cut(&snapshot.of)));
        }
        let _ = writeln!(out, "{}", way_back(migration));
    }
    if let Some(skew) = skew(report) {
        let _ = writeln!(out, "\n{}.", capital(&skew));
    }
    Some(out)
}

fn revision(label: Option<&str>) -> String {
    label.map_or_else(|| "nothing".to_owned(), |label| cell_code(&cut(label)))
}

fn live(target: &TargetReport) -> String {
    let serves = match target.serves {
        Side::After if target.carried => "unchanged",
        Side::After => "✅ new release",
        Side::Before => "what served before",
        Side::Neither => "⚠️ something else",
        Side::Unknown => "⚠️ not known",
    };
    let proven = proof(target).map(|how| format!(", {how}")).unwrap_or_default();
    let address = target.url.as_deref().map(|url| format!(" · {}", link("open", url))).unwrap_or_default();
    format!("{serves}{proven}{address}")
}

/// What the targets cost a month with the release, summed up, and how that differs from before.
pub(super) fn cost(report: &Report) -> Option<String> {
    cost_in_words(report).map(|words| format!("**Cost:** {}.", text(&words)))
}

/// The images, with how their size changed.
pub(super) fn images(report: &Report) -> Option<String> {
    if report.images.is_empty() {
        return None;
    }
    let mut out = String::from("| image | digest | size | change | built by | time |\n|---|---|--:|--:|---|--:|\n");
    for image in &report.images {
        let digest = match (&image.digest, &image.failure) {
            (Some(digest), _) => cell_code(&short_digest(digest)),
            (None, Some(failure)) => format!("❌ {}", text(&cut(failure))),
            (None, None) => "not built".to_owned(),
        };
        let bytes = image.size.map_or_else(|| "not known".to_owned(), size);
        let time = if image.duration_ms == 0 { String::new() } else { took(image.duration_ms) };
        let _ = writeln!(out, "| {} | {digest} | {bytes} | {} | {} | {time} |", image.name, change(image), text(&cut(&image.builder)));
    }
    Some(out)
}

fn change(image: &ImageReport) -> String {
    match (image.size, image.before) {
        (Some(now), Some(before)) => size_change(before, now),
        _ => "not known".to_owned(),
    }
}
