//! Tests of `config.rs`.

use super::*;

fn args(address: &str) -> RunArgs {
    RunArgs { console_address: Some(address.to_owned()), ..RunArgs::default() }
}

#[test]
fn accepts_the_forms_of_an_address() {
    for (text, host, port, authority) in [
        ("wss://console", "console", 8084, "console:8084"),
        ("wss://console/", "console", 8084, "console:8084"),
        ("wss://Console.Example.com:443/", "Console.Example.com", 443, "Console.Example.com:443"),
        ("wss://10.0.0.1:9000", "10.0.0.1", 9000, "10.0.0.1:9000"),
        ("wss://[::1]:9000", "::1", 9000, "[::1]:9000"),
        ("wss://[fe80::1]", "fe80::1", 8084, "[fe80::1]:8084"),
    ] {
        let address: ConsoleAddress = text.parse().expect(text);
        assert_eq!((address.host().as_str(), address.port()), (host, port), "{text}");
        assert_eq!(address.authority(), authority);
        assert_eq!(address.configured(), text);
    }
}

#[test]
fn refuses_every_other_form_and_says_what_is_accepted() {
    for text in [
        "console:8084",
        "ws://console:8084",
        "https://console:8084",
        "wss://",
        "wss:///",
        "wss://:8084",
        "wss://console:",
        "wss://console:0",
        "wss://console:+80",
        "wss://console:65536",
        "wss://console:8084/path",
        "wss://console:8084//",
        "wss://console?x=1",
        "wss://user@console",
        "wss://::1",
        "wss://[::1",
        "wss://[::1]8084",
        "wss://[console]:8084",
        "wss://10.0.0.256",
        "wss://con sole",
        "wss://console\n",
    ] {
        let error = text.parse::<ConsoleAddress>().expect_err(text);
        assert!(error.to_string().contains("write wss://HOST[:PORT]"), "{error}");
    }
}

#[test]
fn a_password_is_never_repeated() {
    for (text, shown) in [
        ("wss://user:s3cret@console", "`wss://***@console`"),
        ("https://user:s3cret@console", "`https://***@console`"),
        ("wss://user:s3c@ret/x@console:1", "`wss://***@console:1`"),
        ("user:s3cret@console", "`***@console`"),
        ("s3cret@x://y@console", "`***@console`"),
    ] {
        let error = text.parse::<ConsoleAddress>().expect_err(text).to_string();
        assert!(error.contains(shown) && !error.contains("s3c"), "{error}");
    }
    let name = Some("user:s3cret@console".to_owned());
    let args = RunArgs { console_server_name: name.clone(), log_level: name, ..args("wss://console") };
    let faults = Config::parse(args, None).expect_err("no name").to_string();
    assert!(!faults.contains("s3c"), "{faults}");
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = Config::parse(args("wss://console"), None).expect("valid");
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/twistlock/defender"));
    assert_eq!(config.install_bundle_dir, PathBuf::from("/var/lib/twistlock/certificates"));
    assert_eq!(config.custom_certs_dir, PathBuf::from("/var/lib/twistlock/custom-certificates"));
    assert_eq!(config.custom_certs_poll, Duration::from_secs(10));
    assert_eq!(config.server_name.to_str(), "console");
    assert_eq!((config.log_level, config.log_format), (LogLevel::Debug, LogFormat::Text));
    assert_eq!(config.hostname, None);
}

#[test]
fn an_empty_value_counts_as_absent() {
    let empty = || Some(String::new());
    let config = Config::parse(
        RunArgs {
            console_server_name: empty(),
            hostname: empty(),
            custom_certs_poll: empty(),
            log_level: empty(),
            log_format: empty(),
            data_dir: Some(PathBuf::new()),
            ..args("wss://console")
        },
        None,
    )
    .expect("valid");
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/twistlock/defender"));
    let faults = Config::parse(args(""), None).expect_err("no address").to_string();
    assert!(faults.contains("--console-address (WS_ADDRESS): missing"), "{faults}");
}

#[test]
fn every_fault_is_named_at_once() {
    let bad = |text: &str| Some(text.to_owned());
    let faults = Config::parse(
        RunArgs {
            console_address: bad("http://console"),
            console_server_name: bad("not a name"),
            hostname: bad("two words"),
            cluster: bad("-east"),
            custom_certs_poll: bad("10"),
            log_level: bad("loud"),
            log_format: bad("xml"),
            ..RunArgs::default()
        },
        None,
    )
    .expect_err("all wrong")
    .to_string();
    for setting in [CONSOLE_ADDRESS, SERVER_NAME, POLL, HOSTNAME, CLUSTER, LEVEL, FORMAT] {
        assert!(faults.contains(setting), "{setting}\n{faults}");
    }
    let zero = Config::parse(RunArgs { custom_certs_poll: bad("0s"), ..args("wss://console") }, None);
    assert!(zero.expect_err("zero").to_string().contains("without a pause"));
}
