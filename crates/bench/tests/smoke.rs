//! Each benchmark runs to its end with small numbers and finds nothing lost or refused. Times are not judged.

use std::process::Command;

fn bench(arguments: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_bench")).args(arguments.split(' ')).output().expect("started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn rotation_loses_and_refuses_nothing() {
    let text = bench("rotation --rotations 3 --defenders 5");
    assert_eq!(text.matches("refused or reset 0 ").count(), 2, "{text}");
    assert!(text.contains("lost 0 "), "{text}");
}

#[test]
fn api_measures_starts_the_list_beside_a_constant_and_every_page() {
    let text = bench("api --defenders 300 --connections 2 --requests 20 --rounds 1");
    for line in [
        "fresh store ",
        "300 Defenders ",
        "  console ",
        "  bare ",
        "  / ",
        "  /defenders ",
        "  /certificates ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn handshake_compares_the_console_with_the_bare_server() {
    let text = bench("handshake --count 100 --rounds 1");
    for line in ["console ", "bare ", "ratio "] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn idle_measures_each_count_on_both_servers() {
    let text = bench("idle --count 20 --count 30 --watch 100ms");
    assert_eq!(text.matches(" Defenders: ").count(), 4, "{text}");
}

#[test]
fn herd_brings_all_back_without_a_failed_attempt() {
    let text = bench("herd --count 50 --rounds 1");
    assert_eq!(text.matches("failed attempts 0,").count(), 2, "{text}");
    assert!(text.contains("HTTPS over kept connections"), "{text}");
}

#[test]
fn the_fleet_talks_to_this_machine_only() {
    let arguments = ["fleet", "--console-address", "wss://example.com:8084"];
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).args(arguments).output().expect("started");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("localhost only"));
}
