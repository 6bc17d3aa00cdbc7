//! Judges messages by a vendor's OpenAPI document, with unknown fields refused.
//!
//! Those documents are open: a misspelt field would pass an ordinary validator. Here a field that no branch of a schema names is a fault,
//! and what is known to be missing from a document stands in a pinned list with its source, in the test that uses this.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// One vendor's document.
pub(crate) struct Document {
    root: Value,
    /// What stands before the document's paths, for example `/v1`.
    prefix: &'static str,
}

impl Document {
    /// Returns a vendor's document by its file name, from the folder that `CUTOVER_SPECS` names or `../shared/specs` beside the checkout; where
    /// it is not there, says that what needs it is left out.
    #[expect(clippy::print_stderr, reason = "a test that is left out says so")]
    pub(crate) fn find(file: &str, prefix: &'static str) -> Option<Self> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/specs");
        let folder = std::env::var_os("CUTOVER_SPECS").map_or(beside, std::path::PathBuf::from);
        let found = Self::read(&folder.join(file), prefix);
        if found.is_none() {
            eprintln!("skipped: {file} is not in {}; name its folder in CUTOVER_SPECS", folder.display());
        }
        found
    }

    /// Reads a document, or `None` where it is not there.
    fn read(path: &Path, prefix: &'static str) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        Some(Self { root: serde_json::from_str(&text).unwrap(), prefix })
    }

    /// Returns the faults of one exchange, each as `place: what`; an operation that the document lacks is one fault.
    pub(crate) fn judge(&self, method: &str, path: &str, request: Option<&Value>, status: u16, response: Option<&Value>) -> Vec<String> {
        let bare = path.split('?').next().unwrap_or(path);
        let Some((template, operation)) = self.operation(method, bare) else {
            return vec![format!("{method} {}: is not in the document", anonymous(bare))];
        };
        let mut faults = Vec::new();
        let label = format!("{method} {template}");
        for parameter in path.split_once('?').map(|(_, query)| query).unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let name = parameter.split('=').next().unwrap_or(parameter);
            if !self.has_query(operation, name) {
                faults.push(format!("{label}?{name}: unknown parameter"));
            }
        }
        if let Some(body) = request {
            match self.resolve(&operation["requestBody"])["content"]["application/json"].get("schema") {
                Some(schema) => self.check(schema, body, &format!("{label} request"), &mut faults),
                None if body.as_object().is_some_and(serde_json::Map::is_empty) => {}
                None => faults.push(format!("{label} request: the document has no body")),
            }
        }
        let responses = &operation["responses"];
        let answer = responses.get(status.to_string()).or_else(|| responses.get("default"));
        match (answer.map(|answer| self.resolve(answer)), response) {
            (None, _) => faults.push(format!("{label}: status {status} is not in the document")),
            (Some(answer), Some(body)) => {
                if let Some(schema) = answer["content"]["application/json"].get("schema") {
                    self.check(schema, body, &format!("{label} {status}"), &mut faults);
                }
            }
            (Some(_), None) => {}
        }
        faults
    }

    fn operation(&self, method: &str, path: &str) -> Option<(&str, &Value)> {
        let path = path.strip_prefix(self.prefix)?;
        let wanted: Vec<_> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<_> = template.split('/').collect();
            // The name of a git ref is the rest of the path, slashes and all.
            let rest = parts.contains(&"git") && parts.last() == Some(&"{ref}") && wanted.len() > parts.len();
            (rest || parts.len() == wanted.len()) && parts.iter().zip(&wanted).all(|(part, text)| part.starts_with('{') || part == text)
        };
        let paths = self.root["paths"].as_object()?;
        // The template with the fewest places to fill in is the one meant.
        let best = paths.iter().filter(|(template, item)| fits(template) && item.get(method.to_lowercase()).is_some());
        best.min_by_key(|(template, _)| template.matches('{').count())
            .map(|(template, item)| (template.as_str(), &item[method.to_lowercase()]))
    }

    fn has_query(&self, operation: &Value, name: &str) -> bool {
        let parameters = operation["parameters"].as_array().into_iter().flatten().map(|parameter| self.resolve(parameter));
        parameters.into_iter().any(|parameter| parameter["in"] == "query" && parameter["name"] == name)
    }

    fn resolve<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        while let Some(reference) = value["$ref"].as_str() {
            value = self.root.pointer(reference.trim_start_matches('#')).unwrap();
        }
        value
    }

    fn check(&self, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
        let schema = self.resolve(schema);
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        if let Some(branches) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            // The branch with the fewest faults is the one meant.
            let tried = branches.iter().map(|branch| {
                let mut own = Vec::new();
                self.check(branch, value, place, &mut own);
                own
            });
            let best = tried.min_by_key(Vec::len).unwrap_or_default();
            let known = self.named(schema);
            faults.extend(best.into_iter().filter(|fault| !known_elsewhere(fault, place, &known)));
            return;
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let known = self.named(schema);
            for part in parts {
                let mut own = Vec::new();
                self.check(part, value, place, &mut own);
                faults.extend(own.into_iter().filter(|fault| !known_elsewhere(fault, place, &known)));
            }
            return;
        }
        if value.is_null() {
            let types = &schema["type"];
            let nullable =
                schema["nullable"] == true || types == "null" || types.as_array().is_some_and(|types| types.iter().any(|t| t == "null"));
            if !nullable && !types.is_null() {
                faults.push(format!("{place}: null is not allowed"));
            }
            return;
        }
        if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
            let _ = allowed;
            faults.push(format!("{place}: {value} is not among the values"));
        }
        self.check_type(schema, value, place, faults);
    }

    fn check_type(&self, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ if schema.get("properties").is_some() => vec!["object"],
            _ => return,
        };
        let is = |kind: &str| match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            _ => false,
        };
        if !types.iter().any(|kind| is(kind)) {
            faults.push(format!("{place}: is not {}", types.join(" or ")));
            return;
        }
        if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
            for each in values {
                self.check(items, each, &format!("{place}[]"), faults);
            }
        }
        if let Some(fields) = value.as_object() {
            self.check_fields(schema, fields, place, faults);
        }
    }

    fn check_fields(&self, schema: &Value, fields: &serde_json::Map<String, Value>, place: &str, faults: &mut Vec<String>) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                faults.push(format!("{place}.{name}: is required"));
            }
        }
        for (name, value) in fields {
            let additional = &schema["additionalProperties"];
            if let Some(known) = schema["properties"].get(name) {
                self.check(known, value, &format!("{place}.{name}"), faults);
            } else if additional.is_object() {
                self.check(additional, value, &format!("{place}.*"), faults);
            } else if schema.get("properties").is_some() && additional != &Value::Bool(true) {
                faults.push(format!("{place}.{name}: unknown field"));
            }
        }
    }

    /// Returns the fields that any part of a composed schema names.
    fn named(&self, schema: &Value) -> BTreeSet<String> {
        let schema = self.resolve(schema);
        let mut names: BTreeSet<String> = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        for key in ["allOf", "oneOf", "anyOf"] {
            names.extend(schema[key].as_array().into_iter().flatten().flat_map(|part| self.named(part)));
        }
        names
    }
}

/// Returns whether a fault says that a field is unknown which another part of the same composed schema names.
fn known_elsewhere(fault: &str, place: &str, known: &BTreeSet<String>) -> bool {
    let unknown = fault.strip_suffix(": unknown field").and_then(|rest| rest.strip_prefix(place)).and_then(|rest| rest.strip_prefix('.'));
    unknown.is_some_and(|name| known.contains(name))
}

/// Returns a path with its changing parts taken out, so that a pinned list stays stable.
fn anonymous(path: &str) -> String {
    let changing = |part: &str| {
        part.len() >= 12 && part.chars().any(|c| c.is_ascii_digit()) || part.chars().all(|c| c.is_ascii_digit()) && part.len() > 2
    };
    path.split('/').map(|part| if changing(part) { "{}" } else { part }).collect::<Vec<_>>().join("/")
}
