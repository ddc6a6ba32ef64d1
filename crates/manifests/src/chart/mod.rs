//! A Helm chart of the same objects. What people set is lifted out of them into values; what is left is text that Helm
//! hands on. So the chart's default rendering is the same set of objects, with the same content.
//!
//! ```text
//! mod.rs       objects -> templates and values -> archive
//! lifts.rs     which fields become which value, with a description and a schema
//! ```
//!
//! Values are put in as JSON, which is YAML too: whatever a value holds, it stays one value.

mod lifts;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::archive::{Entry, tar_gz};
use crate::meta::VERSION;
use crate::yaml::{Documents, YamlError};

use lifts::{How, Lift};

/// What a chart is called, and which fields of its objects are values.
#[derive(Debug)]
pub(crate) struct Chart {
    name: &'static str,
    description: &'static str,
    lifts: &'static [Lift],
    notes: &'static str,
    /// Whether its values hold a key.
    is_secret: bool,
}

/// The Console's.
pub(crate) const CONSOLE: Chart = Chart {
    name: "twistlock-console",
    description: "A Garrison Console",
    lifts: lifts::CONSOLE,
    notes: CONSOLE_NOTES,
    is_secret: false,
};

/// The Defenders'.
pub(crate) const DEFENDER: Chart = Chart {
    name: "twistlock-defender",
    description: "Garrison Defenders, one on each node",
    lifts: lifts::DEFENDER,
    notes: DEFENDER_NOTES,
    is_secret: true,
};

impl Chart {
    /// The archive.
    ///
    /// # Errors
    /// When an object cannot be written.
    pub(crate) fn write(&self, documents: &Documents) -> Result<Zeroizing<Vec<u8>>, YamlError> {
        let mut values = Map::new();
        let mut templates = Vec::new();
        for object in documents.objects() {
            templates.push(self.template(object.clone(), &mut values)?);
        }
        let chart = json!({
            "apiVersion": "v2",
            "appVersion": VERSION,
            "description": self.description,
            "name": self.name,
            "type": "application",
            "version": VERSION,
        });
        let schema = serde_json::to_string_pretty(&lifts::schema(&values))?;
        let mut entries = vec![
            self.entry("Chart.yaml", Documents::one(&chart)?, OPEN),
            self.entry("values.yaml", self.values(&values)?, if self.is_secret { CLOSED } else { OPEN }),
            self.entry("values.schema.json", Zeroizing::new(schema + "\n"), OPEN),
            self.entry("templates/NOTES.txt", Zeroizing::new(self.notes.to_owned()), OPEN),
            self.entry("templates/_helpers.tpl", Zeroizing::new(HELPERS.to_owned()), OPEN),
        ];
        entries.extend(templates);
        Ok(tar_gz(&entries))
    }

    fn entry(&self, path: &str, text: Zeroizing<String>, mode: u32) -> Entry {
        Entry { path: format!("{}/{path}", self.name), text, mode }
    }

    /// Lifts the values out of an object, and writes what is left.
    fn template(&self, mut object: Value, values: &mut Map<String, Value>) -> Result<Entry, YamlError> {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        let mut marks = Vec::new();
        for lift in self.lifts.iter().filter(|lift| lift.kind == kind) {
            let mark = format!("GarrisonMark{}End", marks.len());
            if lift.out_of(&mut object, &mark, values) {
                marks.push((mark, lift));
            }
        }
        // What Helm would take for its own is written as a text of its own.
        let written = Documents::one(&object)?.replace("{{", "{{ \"{{\" }}");
        let mut template = String::with_capacity(written.len() * 2);
        for line in written.lines() {
            let found = marks.iter().find(|(mark, _)| line.ends_with(mark.as_str()));
            match found {
                Some((mark, lift)) => template.push_str(&lift.line(line, mark)),
                None => template.push_str(line),
            }
            template.push('\n');
        }
        if kind == "Namespace" {
            values.insert("namespace".to_owned(), json!({ "create": true }));
            template = format!("{NAMESPACE_HEAD}{template}{{{{- end }}}}\n");
        }
        Ok(self.entry(
            &format!("templates/{}-{name}.yaml", kind.to_lowercase()),
            Zeroizing::new(template),
            OPEN,
        ))
    }

    /// The values with what they are for.
    fn values(&self, values: &Map<String, Value>) -> Result<Zeroizing<String>, YamlError> {
        let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
        text.push_str("# ");
        text.push_str(self.description);
        text.push_str(": what may be set with --set or --values.\n");
        for (name, value) in values {
            text.push_str("\n# ");
            text.push_str(lifts::description(name));
            text.push('\n');
            text.push_str(&Documents::one(&json!({ name: value }))?);
        }
        Ok(text)
    }
}

impl Lift {
    /// Puts `mark` where the value was and the value among the others; `false` where the object has no such field and
    /// needs none.
    fn out_of(&self, object: &mut Value, mark: &str, values: &mut Map<String, Value>) -> bool {
        let Some((last, way)) = self.path.split_last() else { return false };
        let parent = way.iter().try_fold(object, |at, step| match (at, step.split_once('=')) {
            (Value::Array(items), Some((key, wanted))) => {
                items.iter_mut().find(|item| item.get(key).and_then(Value::as_str) == Some(wanted))
            }
            (at, _) => at.get_mut(*step),
        });
        let Some(Value::Object(parent)) = parent else { return false };
        let found = parent.get(*last).cloned();
        let value = match (self.how, found) {
            (How::Always | How::Expression(_), None) => return false,
            (How::Base64, found) => match found.as_ref().and_then(Value::as_str).map(decoded) {
                Some(text) => Value::String(text),
                None => return false,
            },
            (How::Optional(empty), None) => empty.value(),
            (_, Some(value)) => value,
        };
        parent.insert((*last).to_owned(), Value::String(mark.to_owned()));
        if let Some(name) = self.value {
            put(values, name, value);
        }
        true
    }

    fn line(&self, line: &str, mark: &str) -> String {
        let name = self.value.unwrap_or_default();
        match self.how {
            How::Always => line.replace(mark, &format!("{{{{ toJson .Values.{name} }}}}")),
            How::Base64 => line.replace(mark, &format!("{{{{ .Values.{name} | b64enc | toJson }}}}")),
            How::Expression(expression) => line.replace(mark, &format!("{{{{ {expression} }}}}")),
            How::Optional(_) => {
                let indent = line.get(..line.len() - line.trim_start().len()).unwrap_or_default();
                let line = line.replace(mark, "{{ toJson . }}");
                format!("{indent}{{{{- with .Values.{name} }}}}\n{line}\n{indent}{{{{- end }}}}")
            }
        }
    }
}

/// Puts a value where its dotted name says.
fn put(values: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            values.insert(name.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = values.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Of what was encoded here: PEM, which is text.
fn decoded(base64: &str) -> String {
    STANDARD.decode(base64).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

const OPEN: u32 = 0o644;
const CLOSED: u32 = 0o600;

/// Helm cannot own the Namespace of its own release: `helm install --create-namespace` makes it. `helm template`, which
/// sees no cluster and so no kinds of one, writes the object for those who apply the rendering themselves.
const NAMESPACE_HEAD: &str =
    "{{- if and .Values.namespace.create (not (.Capabilities.APIVersions.Has \"v1/Namespace\")) }}\n";

/// The settings as they are summed up: so that pods start anew when one changes.
const HELPERS: &str = "{{- define \"garrison.settings\" -}}
{{- range $key, $value := .Values.settings }}{{ printf \"%s=%s\\n\" $key $value }}{{ end -}}
{{- end -}}
";

const CONSOLE_NOTES: &str = "The Console starts. Its log has the one-time token for the first administrator, unless a password was given:

  kubectl logs --namespace {{ .Release.Namespace }} deployment/twistlock-console

Users reach it at port 8083 of the Service twistlock-console, Defenders at 8084.
";

const DEFENDER_NOTES: &str = "One Defender starts on each node and connects to {{ .Values.consoleAddress }}:

  kubectl get pods --namespace {{ .Release.Namespace }} --selector name=twistlock-defender-ds

The values hold a private key: keep the chart and the values closed.
";
