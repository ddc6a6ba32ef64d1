//! Tests of `cli.rs`.

use super::*;

fn run(arguments: &[&str]) -> RunArgs {
    match Cli::read(arguments).expect("accepted") {
        Cli::Run(args, _) => *args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_flags_of_run_are_accepted_before_and_beside_the_subcommand() {
    for arguments in [
        &["defender", "--console-address", "wss://a", "--hostname", "h"][..],
        &["defender", "run", "--console-address", "wss://a", "--hostname", "h"],
        &["defender", "--console-address", "wss://a", "run", "--hostname", "h"],
        &["defender", "--console-address", "wss://b", "run", "--console-address", "wss://a", "--hostname=h"],
    ] {
        let args = run(arguments);
        assert_eq!(args.console_address.as_deref(), Some("wss://a"), "{arguments:?}");
        assert_eq!(args.hostname.as_deref(), Some("h"), "{arguments:?}");
    }
}

#[test]
fn status_takes_the_data_directory_in_both_places() {
    for arguments in [["defender", "status", "--data-dir", "/x"], ["defender", "--data-dir", "/x", "status"]]
    {
        let Cli::Status(args) = Cli::read(arguments).expect("accepted") else { panic!("not status") };
        assert_eq!(args.data_dir, Some(PathBuf::from("/x")));
    }
}

#[test]
fn wrong_usage_is_exit_status_2_and_help_is_0() {
    for arguments in [
        &["defender", "--nonsense"][..],
        &["defender", "certs"],
        &["defender", "certs", "check"],
        &["defender", "fly"],
        &["defender", "--hostname", ""],
        &["defender", "run", "--hostname="],
        &["defender", "--console-server-name", "", "run"],
        &["defender", "--console-address="],
        &["defender", "run", "--custom-certs-poll", ""],
        &["defender", "--custom-certs-dir="],
        &["defender", "doctor", "--log-level="],
        &["defender", "status", "--data-dir", ""],
    ] {
        assert_eq!(Cli::read(arguments).expect_err("refused").exit_code(), 2, "{arguments:?}");
    }
    for arguments in [["defender", "--help"], ["defender", "--version"]] {
        assert_eq!(Cli::read(arguments).expect_err("no run").exit_code(), 0, "{arguments:?}");
    }
}

#[test]
fn help_names_every_variable_and_default() {
    let help = TopLevel::command().render_long_help().to_string();
    for text in [
        "WS_ADDRESS",
        "DEFENDER_CONSOLE_SERVER_NAME",
        "DEFENDER_DATA_DIR",
        "DEFENDER_INSTALL_BUNDLE_DIR",
        "INSTALL_BUNDLE",
        "DEFENDER_CUSTOM_CERTS_DIR",
        "DEFENDER_CUSTOM_CERTS_POLL",
        "DEFENDER_HOSTNAME",
        "DEFENDER_LOG_LEVEL",
        "DEFENDER_LOG_FORMAT",
        DATA_DIR,
        INSTALL_BUNDLE_DIR,
        CUSTOM_CERTS_DIR,
        "Console:",
        "Certificates:",
    ] {
        assert!(help.contains(text), "{text}\n{help}");
    }
}

#[test]
fn the_bundle_never_shows_itself() {
    assert_eq!(format!("{:?}", BundleText::new("secret".to_owned())), "BundleText(***)");
}
