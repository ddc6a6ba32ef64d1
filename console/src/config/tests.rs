use super::*;

fn faults(given: Serve) -> Vec<String> {
    let Err(Faults(faults)) = Config::parse(given) else { return Vec::new() };
    faults.iter().map(ToString::to_string).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn variable(flag: &str) -> String {
    use clap::CommandFactory as _;
    let command = crate::cli::Cli::command();
    let mut flags = command.get_arguments();
    let found = flags.find(|argument| argument.get_long() == flag.strip_prefix("--")).expect("a flag");
    found.get_env().and_then(std::ffi::OsStr::to_str).expect("each flag has a variable").to_owned()
}

#[test]
fn nothing_given_is_the_contract_s_defaults() {
    let config = Config::parse(Serve::default()).expect("defaults are valid");
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/twistlock/console"));
    assert_eq!(config.database, Database::Embedded("/var/lib/twistlock/console/console.db".into()));
    assert_eq!(config.https_listen.to_string(), "[::]:8083");
    assert_eq!(config.defender_listen.to_string(), "[::]:8084");
    assert_eq!((config.http_listen, config.public_url.clone()), (None, None));
    assert_eq!(config.custom_certs_dir, PathBuf::from("/var/lib/twistlock/custom-certificates"));
    let seconds = [config.custom_certs_poll, config.rotation_grace, config.heartbeat].map(|d| d.as_secs());
    assert_eq!(seconds, [10, 60, 30]);
    assert_eq!(config.admin, FirstAdministrator { username: "admin".to_owned(), password_file: None });
    assert_eq!((config.log_level, config.log_format), (LogLevel::Debug, LogFormat::Text));
    let names = config.server_names("host-1.example.com");
    assert_eq!(
        names.iter().take(4).collect::<Vec<_>>(),
        ["host-1.example.com", "localhost", "127.0.0.1", "::1"]
    );
    assert!(names.iter().any(|name| name == "twistlock-console.twistlock.svc"), "{names:?}");
}

#[test]
fn every_fault_is_reported_at_once_with_its_setting_and_the_accepted_form() {
    let faults = faults(Serve {
        data_dir: Some(OsString::new()),
        database_url: text("mysql://root:hunter2@db/x"),
        https_listen: text("localhost:8083"),
        defender_listen: text("8084"),
        http_listen: text("127.0.0.1:99999"),
        public_url: text("ftp://console.example.com"),
        trusted_proxies: vec!["10.0.0.0/8".to_owned(), "0.0.0.0/0".to_owned(), "proxy".to_owned()],
        https_proxy_protocol: text("yes"),
        custom_certs_poll: text("0s"),
        san: vec!["not a name".to_owned(), "1.2.3".to_owned(), "a.*.example".to_owned(), "*.com".to_owned()],
        rotation_grace: text("-1s"),
        admin_user: text("a b"),
        heartbeat: text("999ms"),
        log_level: text("trace"),
        log_format: text("xml"),
        ..Serve::default()
    });
    let expected = [
        ("--data-dir", "a path is missing"),
        ("--trusted-proxies", "would trust everybody"),
        ("--trusted-proxies", "10.0.0.0/8"),
        ("--https-proxy-protocol", "true or false"),
        ("--database-url", "only PostgreSQL"),
        ("--https-listen", "IP:PORT"),
        ("--defender-listen", "IP:PORT"),
        ("--http-listen", "IP:PORT"),
        ("--public-url", "write https://HOST[:PORT]"),
        ("--custom-certs-poll", "longer than 0s"),
        ("--san", "DNS name"),
        ("--san", "\"1.2.3\""),
        ("--san", "\"a.*.example\""),
        ("--san", "\"*.com\""),
        ("--rotation-grace", "250ms"),
        ("--admin-user", "1 to 64"),
        ("--heartbeat", "1s to 10m"),
        ("--log-level", "debug, info, warn or error"),
        ("--log-format", "text or json"),
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, (flag, form)) in faults.iter().zip(expected) {
        assert!(
            fault.starts_with(&format!("{flag} ({}): ", variable(flag))) && fault.contains(form),
            "{fault} should hold {form}"
        );
        assert!(!fault.contains("hunter2"), "{fault}");
    }
}

#[test]
fn what_operators_write_is_taken() {
    let config = Config::parse(Serve {
        database_url: text("postgresql://garrison:p%40ss@db.example:5433/fleet?sslmode=disable"),
        https_listen: text("127.0.0.1:0"),
        defender_listen: text("127.0.0.1:0"),
        http_listen: text("0.0.0.0:8081"),
        public_url: text("https://console.example.com:8443/"),
        san: ["Console.Example.com", "*.example.com", "192.0.2.7", "2001:DB8::7"].map(str::to_owned).to_vec(),
        rotation_grace: text("0s"),
        heartbeat: text("10m"),
        ..Serve::default()
    })
    .expect("valid");
    assert_eq!(config.public_url.as_ref().map(PublicUrl::as_str), Some("https://console.example.com:8443"));
    let names = config.server_names("localhost");
    assert_eq!(names[..5], ["console.example.com", "*.example.com", "192.0.2.7", "2001:db8::7", "localhost"]);
    assert_eq!(names.iter().filter(|name| *name == "localhost").count(), 1);
    assert_eq!(config.rotation_grace, Duration::ZERO);
    let Database::Postgres(url) = config.database else { panic!("PostgreSQL was asked for") };
    assert_eq!(url.to_string(), "postgresql://garrison@db.example:5433/fleet");
    assert_eq!(format!("{url:?}"), url.to_string());
    assert!(url.reveal().contains("p%40ss"));
}

#[test]
fn only_proxies_that_are_named_can_announce_their_clients() {
    let serve = |proxies: &[&str], switch: &str| Serve {
        trusted_proxies: proxies.iter().map(|&text| text.to_owned()).collect(),
        defender_proxy_protocol: text(switch),
        ..Serve::default()
    };
    assert!(faults(serve(&[], "true"))[0].contains("--trusted-proxies"));
    assert!(faults(serve(&[], "false")).is_empty());
    assert_eq!(faults(serve(&["nobody"], "true")).len(), 1, "told once");
    let proxies = Config::parse(serve(&["10.0.0.0/8", "192.0.2.7"], "true")).expect("valid").proxies;
    assert_eq!(proxies.defender, proxies.trusted);
    assert!(proxies.https.is_empty() && proxies.trusted.contains([10, 1, 2, 3].into()));
}

#[test]
fn public_urls_that_are_none_are_refused() {
    let samples = [
        "console.example.com",
        "/console",
        "https://",
        "https://:8083",
        "https://user@console",
        "https://user:s3cretpw@console",
        "https://console?x=1",
        "https://console/#top",
        "https://con sole",
        "https://console:port",
        "https://console:99999",
        "https://*.example.com",
        "http://console.example.com",
        "https://console.example.com/garrison",
    ];
    for sample in samples {
        let faults = faults(Serve { public_url: text(sample), ..Serve::default() });
        assert_eq!(faults.len(), 1, "{sample}");
        assert!(!faults[0].contains("s3cretpw"), "{faults:?}");
    }
    for sample in ["https://localhost", "https://[2001:db8::1]:8083", "https://192.0.2.1/"] {
        assert!(faults(Serve { public_url: text(sample), ..Serve::default() }).is_empty(), "{sample}");
    }
}

#[test]
fn two_listeners_on_one_address_are_a_fault_except_on_port_0() {
    let both = |address: &str| Serve {
        https_listen: text(address),
        defender_listen: text(address),
        ..Serve::default()
    };
    assert_eq!(faults(both("127.0.0.1:8083")).len(), 1);
    assert!(faults(both("127.0.0.1:0")).is_empty());
}
