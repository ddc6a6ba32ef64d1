use super::*;
use crate::alerts::alert::{Alert, Condition, Kind};
use time::OffsetDateTime;

fn notice(event: Occasion, summary: &str) -> Notice {
    let condition = Condition {
        key: "disconnected/x".to_owned(),
        kind: Kind::DefenderDisconnected,
        severity: Severity::Warning,
        summary: summary.to_owned(),
        remedy: "Look \"there\" \\ or [here].".to_owned(),
    };
    let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).expect("a time");
    Notice::new(event, Alert::new(condition, at), "console host\n1", at)
}

#[test]
fn a_line_has_the_parts_of_rfc_5424_in_order() {
    let notice = notice(Occasion::Raised, "The Defender of web-1 has been disconnected for 20 minutes.");
    let (id, alert, pid) = (notice.id, notice.alert.id, std::process::id());
    assert_eq!(
        line(&notice, 16),
        format!(
            "<132>1 2023-11-14T22:13:20.000Z consolehost1 garrison-console {pid} alert.raised [garrison@32473 \
             id=\"{id}\" alert=\"{alert}\" kind=\"defender-disconnected\" severity=\"warning\" \
             condition=\"disconnected/x\" remedy=\"Look \\\"there\\\" \\\\ or [here\\].\"] \
             \u{feff}The Defender of web-1 has been disconnected for 20 minutes."
        )
    );
    let over = line(&Notice { event: Occasion::Resolved, ..notice }, 1);
    assert!(over.starts_with("<13>1 ") && over.contains("\u{feff}Over: The Defender"), "{over}");
}

#[test]
fn hostile_texts_can_neither_end_the_line_nor_the_structured_data() {
    let line = line(&notice(Occasion::Raised, "a\n<0>1 - - - - - - forged\r\0\u{7f}\u{85}\"]"), 16);
    assert!(!line.chars().any(char::is_control), "{line:?}");
    assert_eq!(line.matches("] \u{feff}").count(), 1, "{line:?}");
}

#[test]
fn a_datagram_is_cut_between_characters() {
    let line = format!("x{}", "ä".repeat(MOST_DATAGRAM));
    assert_eq!(shortened(&line).len(), MOST_DATAGRAM - 1);
    assert_eq!(shortened("short"), "short");
}
