//! Reads checks.

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;

use super::{exactly_one, exclude};
use crate::manifest::fault::{Code, Fault};
use crate::manifest::keys;
use crate::manifest::reader::{Fields, Reader};
use crate::manifest::scalar;
use crate::manifest::shape::{Check, CheckRequest, Equals, Expect, ExpectedStatus, Signature};
use crate::manifest::tree::{Key, Kind, Node};

/// How many checks a target may have.
const MOST_CHECKS: usize = 50;
/// How often a check may be asked.
const MOST_ASKINGS: u32 = 20;
/// The longest time-out of one asking.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Returns the checks of a target: a list, one check, or one path.
pub(in crate::manifest) fn checks(reader: &mut Reader, node: Option<&Node>) -> Vec<Check> {
    let Some(node) = node else { return Vec::new() };
    let Kind::List(items) = &node.kind else { return check(reader, node).into_iter().collect() };
    if let Some(extra) = items.get(MOST_CHECKS) {
        reader.fault(Fault::new(Code::TooMany, &extra.span, format!("a target has more than {MOST_CHECKS} checks")));
    }
    items.iter().filter_map(|item| check(reader, item)).collect()
}

fn check(reader: &mut Reader, node: &Node) -> Option<Check> {
    if matches!(node.kind, Kind::Text { .. }) {
        let path = reader.parsed(node, "a path to ask for", scalar::url_path)?;
        return Some(built(None, CheckRequest::Get { path, headers: IndexMap::new() }, nothing_but(ExpectedStatus::Class(2))));
    }
    let at = first_key(node);
    let fields = reader.fields(node, &at, &keys::CHECK)?;
    let request = request(reader, &fields);
    let expect = expect(reader, &fields);
    let name = fields.get("name").and_then(|node| reader.text(node, "a name"));
    let timeout = fields.get("timeout").and_then(|node| reader.duration(node, LONGEST_TIMEOUT));
    let of = fields.get("of").and_then(|node| reader.number(node, 1..=MOST_ASKINGS));
    let passes = fields.get("passes").and_then(|node| reader.number(node, 1..=MOST_ASKINGS));
    let most = of.unwrap_or(Check::DEFAULT_OF.max(passes.unwrap_or(0)));
    if let Some((own, _)) = fields.entry("passes").filter(|_| passes.is_some_and(|passes| passes > most)) {
        let fault = Fault::new(
            Code::OutOfRange,
            &own.span,
            format!("the check can never pass: it must pass more often than it is asked ({most} times)"),
        );
        reader.fault(fault.suggest("write `passes` no larger than `of`"));
    }
    let check = built(name, request?, expect);
    Some(Check { of: most, passes: passes.unwrap_or(check.passes.min(most)), timeout: timeout.unwrap_or(check.timeout), ..check })
}

fn built(name: Option<String>, request: CheckRequest, expect: Expect) -> Check {
    let name = name.unwrap_or_else(|| request.to_string());
    Check { name, request, expect, passes: Check::DEFAULT_PASSES, of: Check::DEFAULT_OF, timeout: Check::DEFAULT_TIMEOUT }
}

fn nothing_but(status: ExpectedStatus) -> Expect {
    Expect { status, json: None, equals: None, contains: None, headers: IndexMap::new(), location: None }
}

/// Returns where an unnamed map begins, for faults about what it lacks.
fn first_key(node: &Node) -> std::ops::Range<usize> {
    match &node.kind {
        Kind::Map(entries) => entries.first().map_or(node.span.clone(), |(key, _)| key.span.clone()),
        _ => node.span.clone(),
    }
}

fn request(reader: &mut Reader, fields: &Fields<'_>) -> Option<CheckRequest> {
    let mut headers = reader.texts(fields.get("headers"), header_name);
    let (kind, node) = exactly_one(reader, fields, keys::CHECK.what, &["get", "post", "websocket"])?;
    for key in ["body", "sign"] {
        if let Some((own, _)) = fields.entry(key).filter(|_| kind != "post") {
            reader.fault(
                Fault::new(Code::Conflict, &own.span, format!("only a `post` has `{key}`")).suggest("ask with `post`, or take it out"),
            );
        }
    }
    let path = reader.parsed(node, "a path to ask for", scalar::url_path);
    let body = fields.get("body").and_then(|node| body(reader, node, &mut headers));
    let signature = fields.get("sign").and_then(|node| signature(reader, node));
    let path = path?;
    Some(match kind {
        "post" => CheckRequest::Post { path, body: body.unwrap_or_default(), headers, signature },
        "websocket" => CheckRequest::WebSocket { path, headers },
        _ => CheckRequest::Get { path, headers },
    })
}

fn body(reader: &mut Reader, node: &Node, headers: &mut IndexMap<String, String>) -> Option<String> {
    match &node.kind {
        Kind::Text { text, .. } => Some(text.clone()),
        Kind::Refused => reader.wrong_type(node, "a text or a map"),
        Kind::List(_) | Kind::Map(_) => {
            if !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
                headers.insert("content-type".to_owned(), "application/json".to_owned());
            }
            Some(json(node).to_string())
        }
    }
}

fn signature(reader: &mut Reader, node: &Node) -> Option<Signature> {
    const HEADER: &str = "Stripe-Signature";
    if matches!(node.kind, Kind::Text { .. }) {
        return Some(Signature { secret_name: reader.variable_name(node)?, header: HEADER.to_owned() });
    }
    let fields = reader.fields(node, &first_key(node), &keys::SIGN)?;
    if let Some(scheme) = fields.get("scheme")
        && let Some((text, _)) = reader.scalar(scheme, "`stripe`")
        && text != "stripe"
    {
        let fault = Fault::new(Code::BadValue, &scheme.span, format!("the scheme `{}` is not known", scalar::shown(text)));
        reader.fault(fault.suggest("write `stripe`"));
    }
    let header = fields.get("header").and_then(|node| reader.text(node, "the name of a header"));
    let secret_name = fields.get("secret").and_then(|node| reader.variable_name(node));
    Some(Signature { secret_name: secret_name?, header: header.unwrap_or_else(|| HEADER.to_owned()) })
}

fn expect(reader: &mut Reader, fields: &Fields<'_>) -> Expect {
    let location = fields.get("location").and_then(|node| reader.text(node, "how the location begins"));
    let usual = match (fields.get("websocket"), &location) {
        (Some(_), _) => ExpectedStatus::Exactly(101),
        (None, Some(_)) => ExpectedStatus::Class(3),
        (None, None) => ExpectedStatus::Class(2),
    };
    if let Some((socket, _)) = fields.entry("websocket") {
        for key in ["json", "equals", "contains", "location"] {
            if let Some((own, _)) = fields.entry(key) {
                exclude(reader, "a check", ("websocket", &socket.span), (key, &own.span));
            }
        }
    }
    Expect {
        status: fields.get("status").and_then(|node| reader.parsed(node, "a status", scalar::status)).unwrap_or(usual),
        json: fields.get("json").and_then(|node| reader.parsed(node, "a JSON pointer", scalar::json_pointer)),
        equals: fields.get("equals").and_then(|node| equals(reader, node)),
        contains: fields.get("contains").and_then(|node| reader.text(node, "a text")),
        headers: reader.texts(fields.get("expect_headers"), header_name),
        location,
    }
}

fn equals(reader: &mut Reader, node: &Node) -> Option<Equals> {
    match &node.kind {
        Kind::Text { text, .. } if text == "revision" => Some(Equals::Revision),
        Kind::Text { .. } => Some(Equals::Value(json(node))),
        Kind::Map(_) => {
            let fields = reader.fields(node, &first_key(node), &keys::EQUALS)?;
            fields.get("value").map(|node| Equals::Value(json(node)))
        }
        _ => reader.wrong_type(node, "a value, or `{ value: … }`"),
    }
}

fn header_name(reader: &mut Reader, key: &Key) -> bool {
    let good = http::HeaderName::from_bytes(key.text.as_bytes()).is_ok();
    if !good {
        reader.fault(Fault::new(Code::BadName, &key.span, format!("`{}` cannot name a header", scalar::shown(&key.text))));
    }
    good
}

/// Returns the value as JSON: a plain number or boolean is one, everything quoted is a text.
fn json(node: &Node) -> Value {
    match &node.kind {
        Kind::Text { text, plain: true } => match serde_json::from_str::<Value>(text) {
            Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
            _ => Value::String(text.clone()),
        },
        Kind::Text { text, plain: false } => Value::String(text.clone()),
        Kind::List(items) => Value::Array(items.iter().map(json).collect()),
        Kind::Map(entries) => Value::Object(entries.iter().map(|(key, node)| (key.text.clone(), json(node))).collect()),
        Kind::Refused => Value::Null,
    }
}
