//! The OpenAPI document as the page shows it: calls by topic, each with an example to copy.

use std::sync::LazyLock;

use serde_json::Value;

use super::shape::{self, Shape};
use crate::web::openapi;

/// The whole description, made once: it does not change while the Console runs.
pub(super) static DESCRIPTION: LazyLock<Description> =
    LazyLock::new(|| Description::of(&serde_json::from_str(openapi::text()).unwrap_or_default()));

/// The description.
pub(super) struct Description {
    pub(super) groups: Vec<Group>,
    pub(super) shapes: Vec<Named>,
}

/// Calls of one topic.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) calls: Vec<Call>,
}

/// One call.
pub(super) struct Call {
    pub(super) anchor: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) about: String,
    pub(super) roles: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Content>,
    pub(super) answers: Vec<Answer>,
    pub(super) problems: Vec<Answer>,
    pub(super) curl: String,
}

/// A parameter of a call.
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) place: String,
    pub(super) is_required: bool,
    pub(super) kind: Shape,
    pub(super) about: String,
}

/// What a call ends with.
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) about: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) content: Option<Content>,
}

/// A body.
pub(super) struct Content {
    pub(super) media: String,
    pub(super) shape: Shape,
    /// Pretty JSON; empty where it is no JSON.
    pub(super) example: String,
}

/// A schema with a name.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) shape: Shape,
    pub(super) fields: Vec<shape::Field>,
    pub(super) example: String,
}

impl Description {
    fn of(document: &Value) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (path, methods) in object(&document["paths"]) {
            for (method, operation) in object(methods) {
                let tag = list(&operation["tags"]).next().map(text).unwrap_or_default();
                let call = Call::of(document, path, method, operation);
                match groups.iter_mut().find(|group| group.name == tag) {
                    Some(group) => group.calls.push(call),
                    None => groups.push(Group { name: tag, calls: vec![call] }),
                }
            }
        }
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        let shapes = object(at(document, "/components/schemas"))
            .map(|(name, schema)| Named {
                name: name.clone(),
                about: text(&schema["description"]),
                shape: Shape::of(schema),
                fields: shape::fields(schema),
                example: pretty(&shape::example(document, schema)),
            })
            .collect();
        Self { groups, shapes }
    }
}

impl Call {
    fn of(document: &Value, path: &str, method: &str, operation: &Value) -> Self {
        let content = |content: &Value| {
            let (media, body) = object(content).next()?;
            let schema = &body["schema"];
            let is_json = media.ends_with("json");
            let example = if is_json { pretty(&shape::example(document, schema)) } else { String::new() };
            Some(Content { media: media.clone(), shape: Shape::of(schema), example })
        };
        let answers = object(&operation["responses"]).map(|(status, response)| Answer {
            status: status.clone(),
            about: text(&response["description"]),
            headers: object(&response["headers"])
                .map(|(name, header)| (name.clone(), text(&header["description"])))
                .collect(),
            content: content(&response["content"]),
        });
        let (problems, answers) = answers.partition(|answer| answer.status.starts_with(['4', '5']));
        let body = content(at(operation, "/requestBody/content"));
        let path = format!("/api/v1{path}");
        let parameters: Vec<Parameter> = list(&operation["parameters"]).map(Parameter::of).collect();
        let roles: Vec<String> = list(&operation["x-roles"]).map(text).collect();
        Self {
            anchor: text(&operation["operationId"]),
            method: method.to_uppercase(),
            about: [text(&operation["summary"]), text(&operation["description"])].join(" ").trim().to_owned(),
            roles: if roles.is_empty() { "anyone, without signing in".to_owned() } else { roles.join(", ") },
            curl: curl(method, &path, &parameters, body.as_ref(), !roles.is_empty()),
            path,
            parameters,
            body,
            answers,
            problems,
        }
    }

    /// Whether a text is in method, path, description or roles.
    pub(super) fn fits(&self, search: &str) -> bool {
        let whole = format!("{} {} {} {}", self.method, self.path, self.about, self.roles).to_lowercase();
        search.split_whitespace().all(|word| whole.contains(word))
    }
}

impl Parameter {
    fn of(parameter: &Value) -> Self {
        Self {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            is_required: parameter["required"] == true,
            kind: Shape::of(&parameter["schema"]),
            about: text(&parameter["description"]),
        }
    }
}

/// A line for a shell. The address is that of the Console as its own host reaches it.
fn curl(
    method: &str,
    path: &str,
    parameters: &[Parameter],
    body: Option<&Content>,
    takes_user: bool,
) -> String {
    let required = parameters.iter().filter(|parameter| parameter.is_required && parameter.place == "query");
    let query = required.map(|parameter| format!("{}=…", parameter.name)).collect::<Vec<_>>().join("&");
    let url = match query.is_empty() {
        true => format!("https://localhost:8083{path}"),
        false => format!("https://localhost:8083{path}?{query}"),
    };
    let mut line = "curl --cacert ca.pem".to_owned();
    if method != "get" {
        line.push_str(&format!(" -X {}", method.to_uppercase()));
    }
    if takes_user {
        line.push_str(" -H \"Authorization: Bearer $TOKEN\"");
    }
    line.push_str(&format!(" '{url}'"));
    if let Some(body) = body {
        line.push_str(&format!(" \\\n  --json '{}'", body.example.replace('\'', "'\\''")));
    }
    line
}

pub(super) fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a JSON pointer leads to; `null` when there is nothing.
pub(super) fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
