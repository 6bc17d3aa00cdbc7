//! A fault as text: `fly.create_machine[api]#2: effect=late(20s) answer=lost times=3`.

use std::time::Duration;

use crate::embedded::fault::{Answer, Effect, Rule, Times};
use crate::embedded::tape::boundary_base;

/// Writes a fault down.
pub(super) fn written(rule: &Rule) -> String {
    let place = boundary_base(&rule.platform, &rule.operation, rule.target.as_deref());
    let nth = rule.ordinal.map(|nth| format!("#{nth}")).unwrap_or_default();
    let effect = match rule.effect {
        Effect::None => "none".to_owned(),
        Effect::Once => "once".to_owned(),
        Effect::Late(after) => format!("late({}s)", after.as_secs()),
    };
    let answer = match &rule.answer {
        Answer::True => "true".to_owned(),
        Answer::Lost => "lost".to_owned(),
        Answer::Html => "html".to_owned(),
        Answer::Truncated => "truncated".to_owned(),
        Answer::Slow(by) => format!("slow({}s)", by.as_secs()),
        Answer::Status { code, headers, .. } => match headers.first() {
            Some((_, seconds)) => format!("{code}(retry-after={seconds})"),
            None => code.to_string(),
        },
    };
    let times = match rule.times {
        Times::Once => String::new(),
        Times::Exactly(count) => format!(" times={count}"),
        Times::Forever => " times=forever".to_owned(),
    };
    format!("{place}{nth}: effect={effect} answer={answer}{times}")
}

/// Reads a fault back.
pub(super) fn read(text: &str) -> Option<Rule> {
    let (place, fields) = text.split_once(": ")?;
    let mut rule = Rule::at(place, Effect::Once, Answer::True)?;
    for field in fields.split_whitespace() {
        match field.split_once('=')? {
            ("effect", "none") => rule.effect = Effect::None,
            ("effect", "once") => rule.effect = Effect::Once,
            ("effect", late) => rule.effect = Effect::Late(seconds(late, "late")?),
            ("answer", "true") => rule.answer = Answer::True,
            ("answer", "lost") => rule.answer = Answer::Lost,
            ("answer", "html") => rule.answer = Answer::Html,
            ("answer", "truncated") => rule.answer = Answer::Truncated,
            ("answer", slow) if slow.starts_with("slow") => rule.answer = Answer::Slow(seconds(slow, "slow")?),
            ("answer", status) => rule.answer = answer(status)?,
            ("times", "forever") => rule.times = Times::Forever,
            ("times", count) => rule.times = Times::Exactly(count.parse().ok()?),
            _ => return None,
        }
    }
    Some(rule)
}

fn seconds(text: &str, word: &str) -> Option<Duration> {
    text.strip_prefix(word)?.strip_prefix('(')?.strip_suffix("s)")?.parse().ok().map(Duration::from_secs)
}

fn answer(text: &str) -> Option<Answer> {
    match text.split_once("(retry-after=") {
        None => Some(Rule::status(text.parse().ok()?, None)),
        Some((code, wait)) => Some(Rule::status(code.parse().ok()?, Some(wait.strip_suffix(')')?.parse().ok()?))),
    }
}
