//! Tests of `logging.rs`: the shape of a line, and text that tries to break out of it.

use std::io;
use std::sync::{Arc, Mutex};

use super::*;

/// What was logged, for a subscriber of this thread only.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, log: impl FnOnce()) -> String {
    let captured = Captured::default();
    let writer = captured.clone();
    let lines =
        tracing_subscriber::fmt::layer().event_format(Lines(format)).with_writer(move || writer.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
    let bytes = captured.0.lock().expect("not poisoned").clone();
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_text_line_has_level_time_source_message_and_fields() {
    let line = logged(LogFormat::Text, || {
        tracing::info!(https = "[::]:8083", count = 3, name = "two words", "Console is ready");
    });
    let (level, rest) = line.split_once(' ').expect("level");
    let (time, rest) = rest.split_once(' ').expect("time");
    let (source, rest) = rest.split_once(' ').expect("source");
    assert_eq!(level, "INFO");
    assert_eq!(time.len(), "2026-11-22T17:37:46.645".len());
    assert!(source.starts_with("tests.rs:"), "{source}");
    assert_eq!(rest, "Console is ready https=[::]:8083 count=3 name=\"two words\"\n");
}

#[test]
fn every_level_has_the_name_of_the_contract() {
    let lines = logged(LogFormat::Text, || {
        tracing::debug!("a");
        tracing::info!("b");
        tracing::warn!("c");
        tracing::error!("d");
        tracing::error!(target: CRIT, "e");
    });
    let levels: Vec<&str> = lines.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(levels, ["DEBU", "INFO", "WARN", "ERRO", "CRIT"]);
}

#[test]
fn hostile_text_stays_within_one_line_and_one_field() {
    let hostile = "x\nCRIT 2026-01-01T00:00:00.000 a.rs:1 forged\u{1b}[31m\u{2028} user=root";
    let line = logged(LogFormat::Text, || tracing::info!(host = hostile, "{hostile}"));
    assert_eq!(line.matches('\n').count(), 1, "{line}");
    assert!(!line.contains('\u{1b}') && !line.contains('\u{2028}'), "{line}");
    assert!(line.contains(" host=\"x\\nCRIT"), "{line}");
}

#[test]
fn a_json_line_is_one_object_with_the_same_content() {
    let line = logged(LogFormat::Json, || tracing::warn!(count = 3, host = "a\nb", "It happened"));
    let object: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(object["level"], "WARN");
    assert_eq!(object["message"], "It happened");
    assert_eq!(object["count"], 3);
    assert_eq!(object["host"], "a\nb");
    assert!(object["time"].as_str().is_some_and(|time| time.ends_with('Z')));
}

#[test]
fn a_time_is_written_in_full_with_milliseconds() {
    for (time, expected) in [
        (time::macros::datetime!(2026-11-22 17:37:46.645_999 UTC), "2026-11-22T17:37:46.645"),
        (time::macros::datetime!(2030-01-02 03:04:05 UTC), "2030-01-02T03:04:05.000"),
    ] {
        let mut line = String::new();
        push_timestamp(&mut line, time);
        assert_eq!(line, expected);
    }
}

#[test]
fn a_field_does_not_take_the_place_of_what_every_json_line_has() {
    let line = logged(LogFormat::Json, || tracing::info!(source = "custom", time = 3, level = "high", "x"));
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert!(line["source"].as_str().is_some_and(|source| source.starts_with("tests.rs:")), "{line}");
    assert_eq!((&line["level"], &line["fields.level"]), (&"INFO".into(), &"high".into()));
    assert_eq!((&line["fields.source"], &line["fields.time"]), (&"custom".into(), &3.into()));
}
