//! Every kind of bad file: each gives one clear line that names the file, and never hangs, panics, or changes what
//! runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use system_tests::openssl::{KeyKind, Role, Validity, transform};
use system_tests::place::{Manner, write};
use system_tests::{Channel, OpensslPki, PemSet, TestConsole, TestDefender};

use crate::stage::{Stage, served};
use crate::start_table::start_in_vain;

/// A bad set as files, and the file that is at fault.
struct Sample {
    name: &'static str,
    set: PemSet,
    /// What to do to the file at fault once the set is in place.
    spoil: Option<fn(&Path)>,
    fault: Fault,
    /// A part of the line that names the cause.
    cause: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Certificate,
    Key,
}

impl Fault {
    fn file(self, channel: Channel) -> &'static str {
        match self {
            Self::Certificate => channel.certificate_file(),
            Self::Key => channel.key_file(),
        }
    }
}

/// Samples that must end a start and be refused while running.
fn unusable(pki: &OpensslPki, channel: Channel) -> Vec<Sample> {
    let good = || pki.set_for(channel);
    let other_role = match channel {
        Channel::Defender => Role::Server,
        Channel::Https | Channel::WebSocket => Role::Client,
    };
    let cert = |name, change: &dyn Fn(&PemSet) -> String| {
        let mut set = good();
        set.cert = change(&set);
        Sample { name, set, spoil: None, fault: Fault::Certificate, cause: "" }
    };
    let key = |name, change: &dyn Fn(&PemSet) -> String| {
        let mut set = good();
        set.key = change(&set);
        Sample { name, set, spoil: None, fault: Fault::Key, cause: "" }
    };
    let file =
        |name, fault, spoil: fn(&Path)| Sample { name, set: good(), spoil: Some(spoil), fault, cause: "" };
    let base64 = |text: &str| text.lines().nth(1).expect("base64").to_owned();
    let mut samples = vec![
        cert("malformed certificate", &|_| "not a certificate at all\n".to_owned()),
        cert("empty certificate", &|_| String::new()),
        cert("truncated certificate", &|set| set.cert[..set.cert.len() / 2].to_owned()),
        cert("certificate cut inside its DER", &|set| {
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64(&set.cert))
        }),
        cert("key in the certificate file", &|set| set.key.clone()),
        cert("authority before the leaf", &|set| format!("{}{}", set.ca, set.cert)),
        key("malformed key", &|_| "not a key at all\n".to_owned()),
        key("empty key", &|_| String::new()),
        key("truncated key", &|set| set.key[..set.key.len() / 2].to_owned()),
        key("certificate in the key file", &|set| set.cert.clone()),
        key("encrypted key", &|set| {
            let encrypted = transform(&set.key, "pkcs8 -topk8 -v2 aes-256-cbc -passout pass:secret");
            String::from_utf8(encrypted).expect("PEM")
        }),
        Sample { cause: "does not match", ..key("key of another certificate", &|_| good().key) },
        Sample {
            name: "wrong extended key usage",
            set: pki.leaf(other_role, KeyKind::Ec, Validity::Now),
            spoil: None,
            fault: Fault::Certificate,
            cause: "",
        },
        Sample {
            name: "RSA key of 1024 bits",
            set: pki.leaf(
                if other_role == Role::Server { Role::Client } else { Role::Server },
                KeyKind::Rsa(1024),
                Validity::Now,
            ),
            spoil: None,
            fault: Fault::Certificate,
            cause: "",
        },
        file("DER certificate", Fault::Certificate, |path| {
            let pem = fs::read_to_string(path).expect("PEM");
            write(path, &transform(&pem, "x509 -outform DER"));
        }),
        file("DER key", Fault::Key, |path| {
            let pem = fs::read_to_string(path).expect("PEM");
            write(path, &transform(&pem, "pkey -outform DER"));
        }),
        file("certificate over 1 MiB", Fault::Certificate, |path| {
            let padding = "# comment\n".repeat(120_000);
            let pem = fs::read_to_string(path).expect("PEM");
            write(path, format!("{padding}{pem}").as_bytes());
        }),
        file("folder instead of a file", Fault::Certificate, |path| {
            fs::remove_file(path).expect("there");
            fs::create_dir(path).expect("free");
        }),
        file("FIFO instead of a file", Fault::Key, |path| {
            fs::remove_file(path).expect("there");
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("free");
        }),
        file("device instead of a file", Fault::Key, |path| {
            fs::remove_file(path).expect("there");
            symlink("/dev/zero", path).expect("free");
        }),
        file("link loop", Fault::Certificate, |path| {
            fs::remove_file(path).expect("there");
            symlink(path, path).expect("free");
        }),
    ];
    if channel == Channel::Https {
        samples.push(cert("NUL bytes", &|_| "\0".repeat(4096)));
    }
    samples
}

async fn every_sample_ends_a_start(channel: Channel) {
    let pki = OpensslPki::new();
    let samples = unusable(&pki, channel);
    assert!(samples.len() > 15);
    for sample in samples {
        let name = sample.name;
        let spoil = |dir: &Path| {
            if let Some(spoil) = sample.spoil {
                spoil(&dir.join(sample.fault.file(channel)));
            }
        };
        let files = channel.files(&sample.set);
        let ended = match channel {
            Channel::Defender => {
                let setup = TestDefender::setup("wss://localhost:1").custom(&files);
                spoil(&setup.custom_dir());
                setup.start_in_vain().await
            }
            Channel::Https | Channel::WebSocket => {
                let setup = TestConsole::setup().custom(&files);
                spoil(&setup.custom_dir());
                setup.start_in_vain().await
            }
        };
        let lines = ended.program.lines();
        assert_eq!(ended.code(), Some(1), "{name}: {lines:#?}");
        let critical: Vec<_> = lines.iter().filter(|line| line.starts_with("CRIT ")).collect();
        let start = format!("Failed to construct {} TLS config error reading ", channel.log_name());
        assert!(
            matches!(critical.as_slice(), [line] if line.contains(&start)
                && line.contains(sample.fault.file(channel)) && line.contains(sample.cause)),
            "{name}: one CRIT line that names {} in {lines:#?}",
            sample.fault.file(channel)
        );
        assert!(!lines.iter().any(|line| line.contains("panicked")), "{name}: {lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_of_the_https_channel_end_a_start_with_one_line_each() {
    every_sample_ends_a_start(Channel::Https).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_of_the_websocket_channel_end_a_start_with_one_line_each() {
    every_sample_ends_a_start(Channel::WebSocket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_of_the_defender_end_a_start_with_one_line_each() {
    every_sample_ends_a_start(Channel::Defender).await;
}

/// While running, dates count too.
async fn every_sample_is_refused_while_running(channel: Channel) {
    let stage = Stage::start().await;
    let mut samples = unusable(&stage.pki, channel);
    let role = if channel == Channel::Defender { Role::Client } else { Role::Server };
    for (name, validity) in [("expired leaf", Validity::Expired), ("leaf not valid yet", Validity::NotYet)] {
        let set = stage.pki.leaf(role, KeyKind::Ec, validity);
        samples.push(Sample { name, set, spoil: None, fault: Fault::Certificate, cause: "" });
    }
    let before = stage.all_in_effect().await;
    let text = format!("Failed to load {} custom certificates: ", channel.log_name());
    for sample in samples {
        let name = sample.name;
        let file = stage.dir(channel).join(sample.fault.file(channel));
        let mark = stage.program(channel).mark();
        clear(&file);
        stage.place(channel, Manner::Renamed, &channel.files(&sample.set));
        if let Some(spoil) = sample.spoil {
            spoil(&file);
        }
        let line = stage.program(channel).line_after(mark, &text).await;
        assert!(line.starts_with("ERRO "), "{name}: {line}");
        // A set seen half-way is refused for that; what counts is the last word.
        let file_name = sample.fault.file(channel);
        system_tests::eventually(
            &format!("{name}: an error names {file_name}"),
            system_tests::SOON,
            async || {
                let lines = stage.program(channel).lines();
                let told = |line: &&String| {
                    line.contains(&text) && line.contains(file_name) && line.contains(sample.cause)
                };
                if lines.iter().skip(mark).any(|line| told(&line)) { Ok(()) } else { Err(lines) }
            },
        )
        .await;
        assert_eq!(stage.all_in_effect().await, before, "{name}: what runs goes on");
        assert_eq!(stage.program(channel).count_after(mark, "CRIT "), 0, "{name}");
        clear(&file);
    }
    let good = stage.pki.set_for(channel);
    stage.rotate(channel, Manner::Renamed, &good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_of_the_https_channel_are_refused_while_running() {
    every_sample_is_refused_while_running(Channel::Https).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_of_the_websocket_channel_are_refused_while_running() {
    every_sample_is_refused_while_running(Channel::WebSocket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_of_the_defender_are_refused_while_running() {
    every_sample_is_refused_while_running(Channel::Defender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_but_sound_files_are_taken() {
    let stage = Stage::start().await;
    type Change = fn(&PemSet) -> PemSet;
    let odd: [(&str, Change); 4] = [
        ("CRLF line ends", |set| PemSet {
            cert: set.cert.replace('\n', "\r\n"),
            key: set.key.replace('\n', "\r\n"),
            ca: set.ca.clone(),
        }),
        ("byte order mark", |set| PemSet {
            cert: format!("\u{feff}{}", set.cert),
            key: format!("\u{feff}{}", set.key),
            ca: set.ca.clone(),
        }),
        ("bag attributes", |set| {
            let bag = |what: &str| {
                format!("Bag Attributes\n    friendlyName: {what}\nKey Attributes: <No Attributes>\n")
            };
            PemSet { cert: bag("leaf") + &set.cert, key: bag("key") + &set.key, ca: set.ca.clone() }
        }),
        ("text and blank lines around", |set| PemSet {
            cert: format!("\n# the Console's certificate\n\n{}\n\n", set.cert),
            key: format!("\n{}\n", set.key),
            ca: set.ca.clone(),
        }),
    ];
    for channel in [Channel::Https, Channel::WebSocket] {
        for (name, change) in &odd {
            let set = stage.pki.server();
            let mark = stage.program(channel).mark();
            stage.place(channel, Manner::Renamed, &channel.files(&change(&set)));
            let taken =
                stage.program(channel).try_line(mark, channel.rotated_text(), system_tests::SOON).await;
            assert!(taken.is_some(), "{channel:?}: {name} is not taken");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dangling_link_is_a_missing_file_and_not_an_error() {
    let setup = TestConsole::setup();
    symlink("/nowhere/console-cert.pem", setup.custom_dir().join("console-cert.pem")).expect("free");
    write(&setup.custom_dir().join("console-key.pem"), OpensslPki::new().server().key.as_bytes());
    let console = setup.start().await;
    assert_eq!(console.api().await.certificate("console-https").await["source"], "self-signed");
    assert_eq!(console.program().count_after(0, "ERRO "), 0, "{:?}", console.program().lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_permission_is_unusable_at_start_and_refused_while_running() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("only root can start a program as another user: not tried");
        return;
    }
    const NOBODY: u32 = 65534;
    let pki = OpensslPki::new();
    let deny = |path: &Path| {
        let status = std::process::Command::new("chown").arg("root").arg(path).status();
        assert!(status.is_ok_and(|status| status.success()));
    };
    let setup = TestConsole::setup().custom(&Channel::Https.files(&pki.server())).as_user(NOBODY);
    let console = setup.start().await;
    let before = served(console.https).await;
    let key = console.custom_dir().join("console-key.pem");
    let mark = console.program().mark();
    Manner::Renamed.place(&console.custom_dir(), &Channel::Https.files(&pki.server()));
    deny(&key);
    let line =
        console.program().line_after(mark, "Failed to load console https server custom certificates").await;
    assert!(line.contains("console-key.pem") || line.contains("console-cert.pem"), "{line}");
    assert_eq!(served(console.https).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_a_remedy() {
    let mut set = OpensslPki::new().server();
    set.key = OpensslPki::new().server().key;
    let (_, ended) = start_in_vain(Channel::Https, &Channel::Https.files(&set)).await;
    let line = ended.program.line("CRIT ").await;
    assert!(line.contains("remedy="), "{line}");
}

/// Removes whatever is at `path`.
fn clear(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path).expect("ours");
    } else {
        let _ = fs::remove_file(path);
    }
}
