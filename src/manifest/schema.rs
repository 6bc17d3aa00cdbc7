//! The JSON Schema of the manifest as it is written, short forms included.
//!
//! The keys come from the tables that the reader obeys, so that the two cannot drift apart. What a schema cannot say (names that point at nothing,
//! circles, files that are missing) only `cutover check` finds.

use serde_json::{Map, Value, json};

use super::keys::{self, Section};
use super::whole::{MOST_GATES, MOST_OTHERS};

/// Where editors find the schema's own language.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Returns the schema. It is committed as `src/manifest/schema.json`; `cutover schema` prints it.
pub fn schema() -> Value {
    let mut whole = section(&keys::MANIFEST);
    let mut defs = scalars();
    defs.extend(lists());
    defs.extend(short_forms());
    defs.sort_keys();
    if let Value::Object(whole) = &mut whole {
        whole.shift_insert(0, "$schema".to_owned(), json!(DIALECT));
        whole.shift_insert(1, "title".to_owned(), json!("cutover.yml"));
        whole.insert("$defs".to_owned(), Value::Object(defs));
    }
    whole
}

/// Returns the schema as it is committed and printed: indented, with a line end.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

fn section(section: &Section) -> Value {
    let property = |key: &keys::KeyDoc| (key.name.to_owned(), json!({ "$ref": format!("#/$defs/{}", key.value), "description": key.doc }));
    let properties: Map<String, Value> = section.keys.iter().map(property).collect();
    let mut object = json!({ "description": section.doc, "type": "object", "additionalProperties": false, "properties": properties });
    if !section.required.is_empty() {
        object["required"] = json!(section.required);
    }
    object
}

/// Returns the section, of which exactly one of `alternatives` must be written.
fn one_of(table: &Section, alternatives: &[&str]) -> Value {
    let mut object = section(table);
    object["oneOf"] = alternatives.iter().map(|key| json!({ "required": [key] })).collect();
    object
}

/// Returns `object` with `rules` beside its own.
fn with(mut object: Value, rules: Value) -> Value {
    if let (Value::Object(object), Value::Object(rules)) = (&mut object, rules) {
        object.extend(rules);
    }
    object
}

/// Returns the rule that forbids each of `keys`.
fn without(keys: &[&str]) -> Value {
    json!({ "not": any_of(&keys.iter().map(|key| json!({ "required": [key] })).collect::<Vec<_>>()) })
}

/// Returns a schema that allows each of `forms`.
fn any_of(forms: &[Value]) -> Value {
    json!({ "anyOf": forms })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// Returns a map from at most `most` names to `value`.
fn named(value: &Value, most: usize) -> Value {
    json!({ "type": "object", "propertyNames": reference("name"), "additionalProperties": value, "maxProperties": most })
}

fn object(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn scalars() -> Map<String, Value> {
    object([
        ("any", json!({})),
        // YAML reads a bare 1.10 or true as no text; the manifest takes them as written.
        ("text", json!({ "type": ["string", "number", "boolean"], "minLength": 1 })),
        ("version", json!({ "enum": [1, "1"] })),
        ("name", any_of(&[pattern("^[a-z0-9][a-z0-9_-]{0,62}$"), json!({ "type": "integer", "minimum": 0 })])),
        ("flag", json!({ "type": "boolean" })),
        ("duration", pattern("^[0-9].*[a-z]$")),
        ("size", pattern("^[0-9.]+ ?(B|kB|KB|MB|GB|KiB|MiB|GiB)$")),
        ("memory", pattern("^(256|512|768|1024|1280|1536|1792|2048) ?(MB|MiB)$")),
        ("retries", json!({ "type": "integer", "minimum": 0, "maximum": 10 })),
        ("entries", json!({ "type": "integer", "minimum": 0, "maximum": super::shape::VercelTarget::MOST_ENTRIES })),
        ("askings", json!({ "type": "integer", "minimum": 1, "maximum": 20 })),
        ("port", json!({ "type": "integer", "minimum": 1, "maximum": 65535 })),
        ("path", pattern(r"^(?![/~])(?!(.*[/\\])?\.\.([/\\]|$)).+$")),
        ("glob", pattern(r"^(?![/~!])(?!(.*[/\\])?\.\.([/\\]|$)).+$")),
        ("url", pattern("^https?://[^@?#]+$")),
        ("url_path", pattern("^/[^ #]*$")),
        ("json_pointer", pattern("^/")),
        ("variable_name", pattern("^[A-Za-z_][A-Za-z0-9_]*$")),
        ("hostname", pattern(r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")),
        ("label", any_of(&[pattern("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"), json!({ "type": "integer", "minimum": 0 })])),
        ("branch", pattern(r"^(?!refs/heads/)[^ ~^:?*\[\\]+$")),
        ("strategy", json!({ "enum": super::shape::FlyStrategy::ALL.map(super::shape::FlyStrategy::as_str) })),
        ("not_found", json!({ "enum": super::shape::NotFound::ALL.map(super::shape::NotFound::as_str) })),
        ("turn", json!({ "enum": ["first", "last"] })),
        ("scheme", json!({ "enum": ["stripe"] })),
        ("status", any_of(&[json!({ "type": "integer", "minimum": 100, "maximum": 599 }), pattern("^[1-5]([0-9]{2}|xx)$")])),
        ("git", any_of(&[json!({ "type": "boolean" }), reference("branch")])),
        ("headers", json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })),
        (
            "env",
            json!({ "type": "object", "propertyNames": reference("variable_name"), "additionalProperties": { "type": ["string", "number", "boolean"] } }),
        ),
    ])
}

fn lists() -> Map<String, Value> {
    let one_or_many = |item: &str| any_of(&[reference(item), json!({ "type": "array", "items": reference(item), "uniqueItems": true })]);
    object([
        ("names", one_or_many("name")),
        (
            "some_names",
            any_of(&[reference("name"), json!({ "type": "array", "items": reference("name"), "uniqueItems": true, "minItems": 1 })]),
        ),
        ("globs", one_or_many("glob")),
        ("texts", one_or_many("text")),
        (
            "hostnames",
            any_of(&[
                reference("hostname"),
                json!({ "type": "array", "items": reference("hostname"), "uniqueItems": true, "minItems": 1 }),
            ]),
        ),
        ("variable_names", one_or_many("variable_name")),
        ("secrets", any_of(&[reference("variable_name"), json!({ "type": "array", "items": reference("secret"), "uniqueItems": true })])),
        ("branches", one_or_many("branch")),
        ("checks", any_of(&[reference("check"), json!({ "type": "array", "items": reference("check"), "maxItems": 50 })])),
    ])
}

fn short_forms() -> Map<String, Value> {
    let words = json!({ "type": "array", "items": { "type": ["string", "number", "boolean"] }, "minItems": 1 });
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    let of_platforms = json!({ "dependentSchemas": {
            "image": without(&["vercel", "pages", "worker"]),
            "dir": without(&["fly", "render"]),
            "variables": without(&["vercel", "pages", "worker", "render"]),
        } });
    let target = with(one_of(&keys::TARGET, &["fly", "vercel", "pages", "worker", "render"]), of_platforms);
    let of_requests = json!({
        "dependentRequired": { "body": ["post"], "sign": ["post"] },
        "dependentSchemas": { "websocket": without(&["json", "equals", "contains", "location"]) },
    });
    let check = with(one_of(&keys::CHECK, &["get", "post", "websocket"]), of_requests);
    let vercel = with(section(&keys::VERCEL), json!({ "dependentSchemas": { "hook": without(&["git"]) } }));
    object([
        ("run", any_of(&[reference("text"), words])),
        ("gates", named(&any_of(&[reference("run"), section(&keys::GATE)]), MOST_GATES)),
        ("services", named(&section(&keys::SERVICE), MOST_OTHERS)),
        ("images", named(&any_of(&[reference("path"), section(&keys::IMAGE)]), MOST_OTHERS)),
        ("targets", named(&target, MOST_OTHERS)),
        ("secret", any_of(&[reference("variable_name"), section(&keys::SECRET)])),
        ("fly", any_of(&[reference("path"), section(&keys::FLY)])),
        ("vercel", any_of(&[reference("text"), vercel])),
        ("pages", any_of(&[reference("text"), section(&keys::PAGES)])),
        ("worker", any_of(&[reference("text"), section(&keys::WORKER)])),
        ("dns", any_of(&[reference("hostnames"), section(&keys::DNS)])),
        ("render", any_of(&[reference("text"), section(&keys::RENDER)])),
        ("pull_request", any_of(&[reference("flag"), section(&keys::PULL_REQUEST)])),
        ("seeds", named(&reference("text"), MOST_OTHERS)),
        ("migration", any_of(&[reference("text"), section(&keys::MIGRATION)])),
        ("check", any_of(&[reference("url_path"), check])),
        ("body", json!({ "type": ["string", "number", "boolean", "object", "array"] })),
        ("sign", any_of(&[reference("variable_name"), section(&keys::SIGN)])),
        ("equals", any_of(&[scalar.clone(), section(&keys::EQUALS)])),
        ("environments", named(&any_of(&[reference("branch"), section(&keys::ENVIRONMENT)]), MOST_OTHERS)),
        (
            "variables",
            json!({
                "type": "object",
                "propertyNames": reference("variable_name"),
                "additionalProperties": any_of(&[scalar, one_of(&keys::VARIABLE, &["text", "url_of"])]),
            }),
        ),
        ("overrides", named(&section(&keys::TARGET), MOST_OTHERS)),
    ])
}
