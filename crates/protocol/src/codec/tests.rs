//! Tests of `codec.rs`: hostile payloads, and round trips.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::message::{Report, ToConsole, ToDefender};
use crate::{MAX_HELLO_BYTES, MAX_MESSAGE_BYTES};

fn report(seq: u64, text: &str) -> ToConsole {
    let body = RawValue::from_string(serde_json::to_string(text).expect("JSON")).expect("JSON");
    ToConsole::Report(Report { seq, kind: "host".to_owned(), body })
}

#[test]
fn an_unknown_type_and_unknown_fields_are_ignored() {
    let unknown = Payload::Text(r#"{"type":"from-the-future","x":[1,2]}"#.to_owned());
    assert!(matches!(decode::<ToConsole>(&unknown, 100), Ok(ToConsole::Unknown)));
    let more = Payload::Text(r#"{"seq":7,"type":"ack","more":{"a":null}}"#.to_owned());
    assert!(matches!(decode::<ToDefender>(&more, 100), Ok(ToDefender::Ack(ack)) if ack.seq == 7));
}

#[test]
fn what_is_not_a_message_is_malformed() {
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "\"hello\"",
        "{\"type\":3}",
        "{\"type\":\"hello\"}",
        "{\"type\":\"report\",\"seq\":-1,\"kind\":\"host\",\"body\":{}}",
        "{\"type\":\"report\",\"seq\":1,\"kind\":\"host\"",
        "{\"type\":\"report\",\"seq\":1,\"kind\":\"host\",\"body\":{}} {}",
        "{\"type\":\"of_the_next_version\"} {}",
        "[\"of_the_next_version\"]",
    ] {
        let error = decode::<ToConsole>(&Payload::Text(text.to_owned()), 1000).expect_err(text);
        assert_eq!(error.close(), Close::Malformed, "{text}");
    }
}

#[test]
fn a_message_that_only_the_other_side_sends_is_malformed_and_not_unknown() {
    for tag in ["ack", "authorities", "certificate", "command", "reconnect", "welcome"] {
        let text = Payload::Text(format!("{{\"type\":\"{tag}\"}}"));
        let error = decode::<ToConsole>(&text, 100).expect_err(tag);
        assert_eq!(error.close(), Close::Malformed);
        assert!(format!("{error:?}").contains("by the Console only"), "{error:?}");
    }
    for tag in ["certificate_request", "hello", "report", "result"] {
        let text = Payload::Text(format!("{{\"type\":\"{tag}\"}}"));
        let error = decode::<ToDefender>(&text, 100).expect_err(tag);
        assert_eq!(error.close(), Close::Malformed);
        assert!(format!("{error:?}").contains("by the Defender only"), "{error:?}");
    }
}

#[test]
fn a_binary_frame_that_is_not_zstd_is_malformed() {
    for data in [b"".as_slice(), b"{}", &[0x28, 0xb5, 0x2f, 0xfd], &[0; 100]] {
        let error = decode::<ToConsole>(&Payload::Binary(data.to_vec()), 1000).expect_err("not zstd");
        assert_eq!(error.close(), Close::Malformed, "{data:?}");
    }
}

#[test]
fn a_message_over_the_limit_is_too_big_however_it_travels() {
    let big = report(1, &"x".repeat(MAX_HELLO_BYTES));
    let text = Payload::Text(big.to_tagged().expect("JSON"));
    assert_eq!(decode::<ToConsole>(&text, MAX_HELLO_BYTES).expect_err("over").close(), Close::TooBig);
    let small_frame = encode(&big).expect("encodes");
    assert!(matches!(&small_frame, Payload::Binary(data) if data.len() < 200));
    assert_eq!(decode::<ToConsole>(&small_frame, MAX_HELLO_BYTES).expect_err("over").close(), Close::TooBig);
    assert!(decode::<ToConsole>(&small_frame, MAX_MESSAGE_BYTES).is_ok());
}

#[test]
fn a_bomb_of_a_gigabyte_is_refused_at_the_limit() {
    let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("encoder");
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..1024 {
        std::io::Write::write_all(&mut bomb, &zeros).expect("in memory");
    }
    let bomb = Payload::Binary(bomb.finish().expect("in memory"));
    assert_eq!(decode::<ToConsole>(&bomb, MAX_MESSAGE_BYTES).expect_err("bomb").close(), Close::TooBig);
}

proptest! {
    #[test]
    fn any_report_survives_the_round_trip(seq: u64, text in "\\PC{0,8000}") {
        let payload = encode(&report(seq, &text)).expect("encodes");
        let ToConsole::Report(back) = decode(&payload, MAX_MESSAGE_BYTES).expect("decodes") else {
            panic!("another message")
        };
        prop_assert_eq!(back.seq, seq);
        let body: String = serde_json::from_str(back.body.get()).expect("JSON");
        prop_assert_eq!(body, text);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = decode::<ToConsole>(&Payload::Binary(data.clone()), MAX_HELLO_BYTES);
        let _ = decode::<ToDefender>(&Payload::Text(String::from_utf8_lossy(&data).into_owned()), MAX_HELLO_BYTES);
    }
}
