//! Objects -> text. The same objects always give the same text: fields in the order of the alphabet, as `kubectl get`
//! shows them, and strings that a YAML 1.1 reader would take for something else in quotes.

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;
use zeroize::Zeroizing;

/// An object cannot be written. Objects are made of texts, numbers, lists and maps, so none should be.
#[derive(Debug, Error)]
pub enum YamlError {
    /// An object cannot be put into a tree.
    #[error("writing a deployment file: building an object")]
    Object(#[from] serde_json::Error),
    /// The tree cannot be put into text.
    #[error("writing a deployment file: writing YAML")]
    Text(#[from] serde_saphyr::ser::Error),
}

/// Documents on their way into one file.
#[derive(Debug, Default)]
pub(crate) struct Documents(Vec<Value>);

impl Documents {
    /// One more document.
    pub(crate) fn push(&mut self, object: &impl Serialize) -> Result<(), YamlError> {
        self.0.push(serde_json::to_value(object)?);
        Ok(())
    }

    /// One object, without a head.
    pub(crate) fn one(object: &impl Serialize) -> Result<Zeroizing<String>, YamlError> {
        // Large enough that a key in it is not left behind in memory as the text grows.
        let mut text = Zeroizing::new(String::with_capacity(32 * 1024));
        append(&mut text, object)?;
        Ok(text)
    }

    /// The objects, in order.
    pub(crate) fn objects(&self) -> &[Value] {
        &self.0
    }

    /// The file: `head` as a comment, then each document.
    pub(crate) fn write(&self, head: &str) -> Result<Zeroizing<String>, YamlError> {
        // Large enough that a key in it is not left behind in memory as the text grows.
        let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
        for line in head.lines() {
            text.push_str("# ");
            text.push_str(line);
            text.push('\n');
        }
        for document in &self.0 {
            text.push_str("---\n");
            append(&mut text, document)?;
        }
        Ok(text)
    }
}

/// Not folded: a long string stays on one line, as people search for it.
fn append(text: &mut String, object: &impl Serialize) -> Result<(), YamlError> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    Ok(serde_saphyr::to_fmt_writer_with_options(text, object, options)?)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// What a YAML 1.1 reader takes for booleans, nulls, numbers, times, or syntax.
    const AWKWARD: [&str; 44] = [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "Y",
        "N",
        "true",
        "False",
        "NO",
        "On",
        "null",
        "~",
        "Null",
        "",
        "12:30",
        "12:30:45",
        "1_000",
        "0x1F",
        "0o17",
        "017",
        "0b11",
        "1e3",
        "1.5",
        ".5",
        "-1",
        "+1",
        ".inf",
        "-.INF",
        ".nan",
        "2026-11-22",
        "2026-11-22T10:00:00Z",
        "=",
        "<<",
        "- a",
        "a: b",
        "a #b",
        "#a",
        "*a",
        "&a",
        "!a",
        " a ",
        "line\nbreak",
    ];

    #[test]
    fn strings_come_back_as_strings_also_from_a_yaml_1_1_reader() {
        let mut documents = Documents::default();
        documents.push(&AWKWARD.to_vec()).expect("texts");
        documents.push(&serde_json::json!({"yes": "no", "1": "2"})).expect("texts");
        let text = documents.write("head").expect("YAML");
        let mut python = Command::new("python3");
        python.args(["-c", "import yaml,json,sys; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))"]);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = python.spawn().expect("python3 with PyYAML: apt-get install python3-yaml");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), text.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("ended");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "apt-get install python3-yaml: {told}");
        let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(read, serde_json::json!([AWKWARD.to_vec(), {"yes": "no", "1": "2"}]));
    }

    #[test]
    fn documents_are_separated_and_the_head_is_a_comment() {
        let mut documents = Documents::default();
        documents.push(&serde_json::json!({"b": 1, "a": "x"})).expect("texts");
        documents.push(&serde_json::json!({"c": []})).expect("texts");
        let text = documents.write("one\ntwo").expect("YAML");
        assert_eq!(&**text, "# one\n# two\n---\na: x\nb: 1\n---\nc: []\n");
    }
}
