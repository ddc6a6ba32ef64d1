//! The unit of systemd for a Defender of a host: settings -> text. Who writes it is in `cmd/install_service.rs`; the copy
//! in `deploy/systemd/` is what this writes without settings.

use std::fmt::Write as _;
use std::path::Path;

use crate::cli::{self, RunArgs};

/// The unit that runs `program` with these settings; those that are the default are left to the program.
#[must_use]
pub fn render(program: &Path, args: &RunArgs) -> String {
    let data_dir = args.data_dir.as_deref().unwrap_or(Path::new(cli::DATA_DIR));
    let mut unit = String::from(HEAD);
    for (variable, value) in settings(args) {
        // Writing to a String does not fail.
        let _ = writeln!(unit, "Environment=\"{variable}={}\"", escaped(&value));
    }
    let _ = write!(unit, "EnvironmentFile=-{DEFAULTS}\nExecStart={}\n", escaped(&program.to_string_lossy()));
    unit.push_str(if data_dir == Path::new(cli::DATA_DIR) { STATE } else { "" });
    let _ = writeln!(unit, "ReadWritePaths={}", escaped(&data_dir.to_string_lossy()));
    unit.push_str(HARDENING);
    unit
}

/// The variables of the settings that are not the default.
fn settings(args: &RunArgs) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let path =
        |value: &Option<std::path::PathBuf>| value.as_ref().map(|path| path.to_string_lossy().into_owned());
    let all = [
        ("WS_ADDRESS", text(&args.console_address), ""),
        ("DEFENDER_CONSOLE_SERVER_NAME", text(&args.console_server_name), ""),
        ("DEFENDER_DATA_DIR", path(&args.data_dir).unwrap_or_default(), cli::DATA_DIR),
        ("DEFENDER_HOSTNAME", text(&args.hostname), ""),
        ("DEFENDER_CLUSTER", text(&args.cluster), ""),
        (
            "DEFENDER_INSTALL_BUNDLE_DIR",
            path(&args.install_bundle_dir).unwrap_or_default(),
            cli::INSTALL_BUNDLE_DIR,
        ),
        (
            "DEFENDER_CUSTOM_CERTS_DIR",
            path(&args.custom_certs_dir).unwrap_or_default(),
            cli::CUSTOM_CERTS_DIR,
        ),
        ("DEFENDER_CUSTOM_CERTS_POLL", text(&args.custom_certs_poll), cli::CUSTOM_CERTS_POLL),
        ("DEFENDER_LOG_LEVEL", text(&args.log_level), cli::LOG_LEVEL),
        ("DEFENDER_LOG_FORMAT", text(&args.log_format), cli::LOG_FORMAT),
    ];
    let given = all.into_iter().filter(|(_, value, usual)| !value.is_empty() && value != usual);
    given.map(|(variable, value, _)| (variable, value)).collect()
}

/// As systemd reads it: a percent sign begins a specifier, a dollar sign in a command a variable.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
}

/// Further settings: a file of `NAME=VALUE`, which wins. A proxy's URL, which may hold a password, belongs there.
pub const DEFAULTS: &str = "/etc/default/garrison-defender";

const HEAD: &str = "# A Garrison Defender as a service of the host, written by `defender install-service`.
[Unit]
Description=Garrison Defender
After=network-online.target
Wants=network-online.target
# A Console that is away is waited for; what ends again and again is wrong in its settings.
StartLimitIntervalSec=5min
StartLimitBurst=10

[Service]
# Started is who can be asked for its status.
Type=notify
";

const STATE: &str = "StateDirectory=twistlock/defender\nStateDirectoryMode=0700\n";

/// What a Defender needs: its data directory, the network, and to read certificates and facts of the host.
const HARDENING: &str = "Restart=on-failure
RestartSec=2
# Wrong settings do not mend themselves.
RestartPreventExitStatus=2
UMask=0077
# Root without capabilities is no more than the owner of its files.
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
# Nothing can be written but the data directory.
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
# Memory and start of the host are read from /proc, so the rest of it stays visible, but for other users' processes.
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
# Netlink tells the addresses of the host.
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_for_those_who_install_by_hand_is_the_same() {
        let text = render(Path::new("/usr/local/bin/garrison-defender"), &RunArgs::default());
        let kept = include_str!("../../deploy/systemd/garrison-defender.service");
        assert_eq!(text, kept, "write it anew: defender install-service --output FILE");
    }

    #[test]
    fn settings_are_variables_and_nothing_in_them_is_taken_for_syntax() {
        let text = |text: &str| Some(text.to_owned());
        let args = RunArgs {
            console_address: text("wss://console:8084"),
            hostname: text("100%-\"web\\1\""),
            log_level: text(cli::LOG_LEVEL),
            data_dir: Some("/srv/defender".into()),
            ..RunArgs::default()
        };
        let unit = render(Path::new("/opt/defender"), &args);
        for expected in [
            "Environment=\"WS_ADDRESS=wss://console:8084\"\n",
            "Environment=\"DEFENDER_HOSTNAME=100%%-\\\"web\\\\1\\\"\"\n",
            "Environment=\"DEFENDER_DATA_DIR=/srv/defender\"\n",
            "ExecStart=/opt/defender\n",
            "ReadWritePaths=/srv/defender\n",
        ] {
            assert!(unit.contains(expected), "{expected} in {unit}");
        }
        assert!(!unit.contains("LOG_LEVEL") && !unit.contains("StateDirectory"), "{unit}");
    }
}
