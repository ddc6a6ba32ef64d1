//! Schemas in the words of the page, and an example that fits each.

use serde_json::{Map, Value, json};

use super::model::{at, list, object, text};

/// What a value looks like, in a few words, with the name of a schema to link to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) text: String,
    /// Name of a schema of the document.
    pub(super) link: Option<String>,
}

/// A field of an object.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) is_required: bool,
    pub(super) shape: Shape,
    pub(super) about: String,
}

impl Shape {
    /// The shape of a schema.
    pub(super) fn of(schema: &Value) -> Self {
        if let Some(name) = reference(schema) {
            return Self { text: name.to_owned(), link: Some(name.to_owned()) };
        }
        let choices: Vec<&Value> =
            list(&schema["oneOf"]).chain(list(&schema["anyOf"])).chain(list(&schema["allOf"])).collect();
        if !choices.is_empty() {
            let shapes: Vec<Self> = choices.into_iter().map(Self::of).collect();
            let text = shapes.iter().map(|shape| shape.text.as_str()).collect::<Vec<_>>().join(" or ");
            return Self { text, link: shapes.into_iter().find_map(|shape| shape.link) };
        }
        let kinds: Vec<String> = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().map(text).collect(),
            kind => vec![text(kind)],
        };
        if kinds.iter().any(|kind| kind == "array") {
            let item = Self::of(&schema["items"]);
            return Self { text: format!("list of {}", item.text), link: item.link };
        }
        Self { text: format!("{}{}", kinds.join(" or "), bounds(schema)), link: None }
    }
}

/// What narrows a value down.
fn bounds(schema: &Value) -> String {
    let choices: Vec<String> = list(&schema["enum"]).map(|value| value.to_string()).collect();
    if !choices.is_empty() {
        return format!(": {}", choices.join(", "));
    }
    let mut parts = vec![];
    match schema["format"].as_str() {
        Some(format) if !format.starts_with("int") => parts.push(format.to_owned()),
        _ => {}
    }
    for (key, words) in [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("minLength", "characters at least"),
        ("maxLength", "characters at most"),
        ("maxItems", "items at most"),
    ] {
        if let Some(number) = schema[key].as_f64() {
            parts.push(format!("{words} {number}"));
        }
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// The fields of an object, those of its parts too.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let required: Vec<String> = list(&schema["required"]).map(text).collect();
    let own = object(&schema["properties"]).map(|(name, property)| Field {
        name: name.clone(),
        is_required: required.contains(name),
        shape: Shape::of(property),
        about: text(&property["description"]),
    });
    own.chain(list(&schema["allOf"]).flat_map(fields)).collect()
}

/// A value that fits a schema.
pub(super) fn example(document: &Value, schema: &Value) -> Value {
    at_depth(document, schema, 0)
}

fn at_depth(document: &Value, schema: &Value, depth: u32) -> Value {
    if !schema["example"].is_null() {
        return schema["example"].clone();
    }
    if let Some(first) = list(&schema["examples"]).next() {
        return first.clone();
    }
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(name) = reference(schema) {
        return at_depth(document, at(document, &format!("/components/schemas/{name}")), depth + 1);
    }
    if let Some(first) = list(&schema["enum"]).next() {
        return first.clone();
    }
    let parts: Vec<Value> = list(&schema["allOf"]).map(|part| at_depth(document, part, depth + 1)).collect();
    if !parts.is_empty() {
        return merged(parts);
    }
    let mut choices = list(&schema["oneOf"]).chain(list(&schema["anyOf"]));
    if let Some(choice) = choices.find(|choice| choice["type"] != "null") {
        return at_depth(document, choice, depth + 1);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).find(|kind| kind != "null").unwrap_or_default(),
        kind => text(kind),
    };
    match (kind.as_str(), schema["format"].as_str()) {
        ("object", _) => object(&schema["properties"])
            .map(|(name, property)| (name.clone(), at_depth(document, property, depth + 1)))
            .collect::<Map<_, _>>()
            .into(),
        ("array", _) => json!([at_depth(document, &schema["items"], depth + 1)]),
        ("integer" | "number", _) => schema.get("minimum").cloned().unwrap_or(json!(1)),
        ("boolean", _) => json!(true),
        ("string", Some("date-time")) => json!("2026-11-22T12:40:00Z"),
        ("string", Some("uuid")) => json!("7f1d6c1e-3c0b-4f0e-9a57-0d8a1f2b3c4d"),
        ("string", _) => json!("…"),
        _ => Value::Null,
    }
}

fn merged(parts: Vec<Value>) -> Value {
    let mut whole = Map::new();
    for part in parts {
        if let Value::Object(part) = part {
            whole.extend(part);
        }
    }
    whole.into()
}

fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

/// Schemas that hold themselves end here.
const DEEPEST: u32 = 8;
