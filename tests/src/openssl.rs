//! Certificates made by the `openssl` program, which this project did not write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use crate::program::run;

/// A certificate chain, its key, and the authority to trust, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemSet {
    /// Leaf first.
    pub cert: String,
    /// PKCS#8.
    pub key: String,
    /// The authority that the set's `defender-ca.pem` names.
    pub ca: String,
}

/// What a leaf is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `clientAuth`.
    Client,
    /// `serverAuth`, with names and addresses of this machine.
    Server,
}

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    Ec,
    /// RSA of so many bits.
    Rsa(u32),
}

/// When a leaf is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Until yesterday.
    Expired,
    /// From yesterday for a year.
    Now,
    /// From next year on.
    NotYet,
}

/// A certificate authority in a directory of its own.
pub struct OpensslPki {
    dir: TempDir,
    /// Certificate of the authority, PEM.
    pub ca: String,
    /// Intermediate that signs the leaves, PEM; empty when the authority does.
    intermediate: String,
}

impl OpensslPki {
    /// An authority with an ECDSA key. Its name is unique: two authorities of one name confuse path building.
    pub fn new() -> Self {
        Self::with_key(KeyKind::Ec)
    }

    /// An authority with a key of this kind.
    pub fn with_key(kind: KeyKind) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        new_key(kind, &dir.path().join("ca.key"));
        let subject = format!("/CN=Test authority {}", unique());
        openssl(
            dir.path(),
            "req -x509 -new -sha256 -key ca.key -out ca.pem -days 3650 -subj SUBJECT -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign",
            &subject,
        );
        let ca = read(&dir.path().join("ca.pem"));
        Self { dir, ca, intermediate: String::new() }
    }

    /// An authority whose leaves are signed by an intermediate, which their chains carry.
    pub fn with_intermediate() -> Self {
        let mut pki = Self::new();
        let dir = pki.dir.path();
        fs::rename(dir.join("ca.key"), dir.join("root.key")).expect("renaming");
        fs::rename(dir.join("ca.pem"), dir.join("root.pem")).expect("renaming");
        new_key(KeyKind::Ec, &dir.join("ca.key"));
        let subject = format!("/CN=Test intermediate {}", unique());
        openssl(dir, "req -new -key ca.key -out ca.csr -subj SUBJECT", &subject);
        fs::write(
            dir.join("ca.ext"),
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
        )
        .expect("writing");
        openssl(
            dir,
            "x509 -req -sha256 -in ca.csr -CA root.pem -CAkey root.key -CAcreateserial -out ca.pem -days 365 -extfile ca.ext",
            "",
        );
        pki.intermediate = read(&dir.join("ca.pem"));
        pki
    }

    /// A leaf for the Console's listeners, valid now, ECDSA.
    pub fn server(&self) -> PemSet {
        self.leaf(Role::Server, KeyKind::Ec, Validity::Now)
    }

    /// A leaf for a Defender, valid now, ECDSA.
    pub fn client(&self) -> PemSet {
        self.leaf(Role::Client, KeyKind::Ec, Validity::Now)
    }

    /// A leaf that the channel can use, valid now, ECDSA.
    pub fn set_for(&self, channel: crate::Channel) -> PemSet {
        match channel {
            crate::Channel::Defender => self.client(),
            crate::Channel::Https | crate::Channel::WebSocket => self.server(),
        }
    }

    /// Any leaf.
    pub fn leaf(&self, role: Role, kind: KeyKind, validity: Validity) -> PemSet {
        let (usage, names) = match role {
            Role::Client => ("clientAuth", ""),
            Role::Server => {
                ("serverAuth", "subjectAltName=DNS:localhost,DNS:custom.test,IP:127.0.0.1,IP:::1\n")
            }
        };
        self.leaf_with(kind, validity, &format!("extendedKeyUsage={usage}\n{names}"))
    }

    /// A leaf with these lines of extensions, beside the basic ones.
    pub fn leaf_with(&self, kind: KeyKind, validity: Validity, extensions: &str) -> PemSet {
        let dir = self.dir.path();
        let name = format!("leaf-{}", unique());
        let file = |extension: &str| dir.join(format!("{name}.{extension}"));
        new_key(kind, &file("key"));
        let subject = format!("/O=Garrison tests/CN={name}");
        openssl(dir, &format!("req -new -key {name}.key -out {name}.csr -subj SUBJECT"), &subject);
        let basic = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n";
        fs::write(
            file("cnf"),
            format!(
                "[ca]\ndefault_ca=own\n[own]\ndatabase={name}.db\nnew_certs_dir=.\nserial={name}.serial\ncertificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\npolicy=any\nunique_subject=no\nx509_extensions=leaf\n[any]\ncommonName=supplied\norganizationName=optional\n[leaf]\n{basic}subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n{extensions}"
            ),
        )
        .expect("writing");
        fs::write(file("db"), "").expect("writing");
        fs::write(file("serial"), format!("{:08X}", 0x1000_0000 + unique() % 0x0fff_ffff)).expect("writing");
        let (begin, end) = match validity {
            Validity::Expired => (-60, -1),
            Validity::Now => (-1, 365),
            Validity::NotYet => (365, 730),
        };
        openssl(
            dir,
            &format!(
                "ca -batch -notext -config {name}.cnf -in {name}.csr -out {name}.pem -startdate {} -enddate {}",
                days_from_now(begin),
                days_from_now(end)
            ),
            "",
        );
        PemSet { cert: read(&file("pem")) + &self.intermediate, key: read(&file("key")), ca: self.ca.clone() }
    }
}

/// When a revocation list is to be replaced by the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextUpdate {
    /// In a month.
    InAMonth,
    /// It was to be yesterday.
    Yesterday,
}

impl OpensslPki {
    /// A revocation list, PEM, of whoever signs the leaves, naming these certificates (PEM, the first of each).
    pub fn crl(&self, revoked: &[&str], next: NextUpdate) -> String {
        self.list("ca", revoked, next)
    }

    /// The same, of the root above the intermediate.
    pub fn crl_of_root(&self, revoked: &[&str]) -> String {
        self.list("root", revoked, NextUpdate::InAMonth)
    }

    /// The intermediate, PEM.
    pub fn intermediate(&self) -> &str {
        &self.intermediate
    }

    fn list(&self, signer: &str, revoked: &[&str], next: NextUpdate) -> String {
        let dir = self.dir.path();
        let name = format!("list-{}", unique());
        let put = |extension: &str, text: &str| {
            fs::write(dir.join(format!("{name}.{extension}")), text).expect("writing");
        };
        put(
            "cnf",
            &format!(
                "[ca]\ndefault_ca=own\n[own]\ndatabase={name}.db\ncrlnumber={name}.number\ncertificate={signer}.pem\nprivate_key={signer}.key\ndefault_md=sha256\ncrl_extensions=list\n[list]\nauthorityKeyIdentifier=keyid\n"
            ),
        );
        put("db", "");
        put("number", "01");
        for one in revoked {
            put("pem", one);
            openssl(dir, &format!("ca -batch -config {name}.cnf -revoke {name}.pem"), "");
        }
        let (last, next) = match next {
            NextUpdate::InAMonth => (-1, 30),
            NextUpdate::Yesterday => (-2, -1),
        };
        openssl(
            dir,
            &format!(
                "ca -batch -config {name}.cnf -gencrl -out {name}.crl -crl_lastupdate {} -crl_nextupdate {}",
                days_from_now(last),
                days_from_now(next)
            ),
            "",
        );
        read(&dir.join(format!("{name}.crl")))
    }
}

impl Default for OpensslPki {
    fn default() -> Self {
        Self::new()
    }
}

/// What `openssl` makes of a text: arguments separated by blanks, the text in a file named `in`.
pub fn transform(input: &str, arguments: &str) -> Vec<u8> {
    let dir = TempDir::new().expect("a temporary directory");
    crate::place::write(&dir.path().join("in"), input.as_bytes());
    openssl(dir.path(), &format!("{arguments} -in in -out out"), "");
    fs::read(dir.path().join("out")).expect("reading")
}

fn new_key(kind: KeyKind, file: &Path) {
    let parameters = match kind {
        KeyKind::Ec => "EC -pkeyopt ec_paramgen_curve:P-256".to_owned(),
        KeyKind::Rsa(bits) => format!("RSA -pkeyopt rsa_keygen_bits:{bits}"),
    };
    let folder = file.parent().expect("in a folder");
    let name = file.file_name().expect("a file").to_string_lossy();
    openssl(folder, &format!("genpkey -algorithm {parameters} -out {name}"), "");
}

/// Runs `openssl` in `dir`; `SUBJECT` stands for an argument that may hold blanks.
fn openssl(dir: &Path, arguments: &str, subject: &str) {
    let mut command = std::process::Command::new("openssl");
    command.current_dir(dir).args(arguments.split(' ').map(|word| word.replace("SUBJECT", subject)));
    let output = command.output().expect("the `openssl` program: `cargo xtask test` installs it");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn read(path: &PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// `YYYYMMDDHHMMSSZ`.
fn days_from_now(days: i64) -> String {
    let output = run("date", &["-u", "-d", &format!("{days} days"), "+%Y%m%d%H%M%SZ"]);
    String::from_utf8(output.stdout).expect("ASCII").trim().to_owned()
}

/// A number that no other authority or leaf of this machine has, most likely.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) * 100_000 + NEXT.fetch_add(1, Ordering::Relaxed)
}
