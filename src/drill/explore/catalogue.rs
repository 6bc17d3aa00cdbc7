//! What can go wrong at one request.

use std::time::Duration;

use crate::drill::keeper::JOURNAL;
use crate::drill::line::PUBLIC;
use crate::drill::schedule::{Act, When};
use crate::embedded::fault::{Answer, Effect, Rule, Times, has_parts};

/// Operations that read although their names do not begin so, by their beginnings.
const READS: [&str; 10] = ["get_", "list_", "find_", "wait_", "head_", "check", "current_", "graphql_can", "graphql_app", "head"];

/// Returns whether a boundary is a read, by its operation.
pub fn is_read(boundary: &str) -> bool {
    let operation = boundary.split_once('.').map_or(boundary, |(_, operation)| operation);
    READS.iter().any(|word| operation.starts_with(word))
}

/// Returns every fault that this request can meet: its effect, what its caller is told, how often.
pub fn faults(boundary: &str) -> Vec<(Effect, Answer, Times)> {
    let (platform, rest) = boundary.split_once('.').unwrap_or_default();
    let operation = rest.split(['[', '#']).next().unwrap_or_default();
    let status = |code| Rule::status(code, None);
    let slow = |seconds| Answer::Slow(Duration::from_secs(seconds));
    let late = |seconds| Effect::Late(Duration::from_secs(seconds));
    if platform == JOURNAL {
        return vec![
            (Effect::None, Answer::Lost, Times::Once),
            (Effect::Once, Answer::Lost, Times::Once),
            (Effect::None, status(503), Times::Once),
            (Effect::None, status(503), Times::Forever),
        ];
    }
    let mut faults = vec![
        (Effect::Once, Answer::Lost, Times::Once),
        (Effect::Once, Answer::Html, Times::Once),
        (Effect::Once, Answer::Truncated, Times::Once),
        (Effect::Once, slow(10), Times::Once),
        (Effect::Once, slow(100), Times::Once),
        (Effect::None, status(500), Times::Once),
        (Effect::None, status(503), Times::Exactly(3)),
        (Effect::None, status(429), Times::Once),
        (Effect::None, Rule::status(429, Some(7)), Times::Once),
        (Effect::None, Rule::status(429, Some(3600)), Times::Exactly(2)),
        (Effect::None, status(401), Times::Forever),
        (Effect::None, Answer::Lost, Times::Forever),
    ];
    if platform == PUBLIC {
        return faults;
    }
    faults.push((Effect::Once, Answer::Unknown, Times::Once));
    if is_read(boundary) {
        faults.extend([(Effect::Once, Answer::Stale, Times::Once), (Effect::Once, Answer::Stale, Times::Exactly(2))]);
    } else {
        faults.extend([
            (Effect::None, Answer::Lost, Times::Once),
            (Effect::Once, status(500), Times::Once),
            (Effect::Twice, Answer::True, Times::Once),
            (Effect::Twice, Answer::Lost, Times::Once),
            (late(20), Answer::Lost, Times::Once),
            (late(20), Answer::DoneWhenNot, Times::Once),
            (late(1200), Answer::Lost, Times::Once),
            (late(5), Answer::True, Times::Once),
            (Effect::None, Answer::DoneWhenNot, Times::Once),
            (Effect::None, status(422), Times::Forever),
            (Effect::Once, Answer::Lost, Times::Forever),
        ]);
        if has_parts(platform, operation) {
            faults.extend([(Effect::Partial, Answer::True, Times::Once), (Effect::Partial, Answer::Lost, Times::Once)]);
        }
    }
    faults
}

/// Returns every incident that one runner can meet at a request.
pub fn incidents() -> [(When, Act); 7] {
    [
        (When::Before, Act::Die),
        (When::During, Act::Die),
        (When::After, Act::Die),
        (When::After, Act::Cancel),
        (When::Before, Act::Freeze(Duration::from_secs(40))),
        (When::After, Act::Freeze(Duration::from_secs(400))),
        (When::Before, Act::Clock(3_600_000)),
    ]
}

/// Returns every incident for which others come in; the stale runner only where another machine can read the journal.
pub fn company(shared: bool) -> Vec<(When, Act)> {
    let mut company =
        vec![(When::Before, Act::Release), (When::Before, Act::Recover), (When::After, Act::Crash), (When::Before, Act::Person)];
    if shared {
        let still = [(When::Before, 20), (When::After, 20), (When::Before, 200), (When::After, 500)];
        company.extend(still.map(|(when, seconds)| (when, Act::Forsake(Duration::from_secs(seconds)))));
    }
    company
}
