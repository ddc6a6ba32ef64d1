//! What was asked for, judged: where the Console is, who asks, whom to trust. Then the files are read.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use manifests::{Faults, HostPort};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::ConsoleFlags;
use super::trust::HTTPS;
use crate::cli::ProxyVariables;
use crate::proxy::{Proxy, is_direct};

/// Which Console is asked, and by whom.
#[derive(Debug)]
pub struct Asked {
    pub(super) address: HostPort,
    /// None where a token says who asks.
    pub(super) user: Option<String>,
    /// The proxy on the way there.
    pub(super) proxy: Option<Proxy>,
    /// Of the password or the token.
    secret_file: PathBuf,
    pub(super) trust: Trust,
}

/// Whose word is taken that it is that Console.
#[derive(Debug)]
pub(super) enum Trust {
    /// CA certificates of a file.
    File(PathBuf),
    /// The CA certificate with this SHA-256.
    Fingerprint([u8; 32]),
    /// What the system trusts.
    System,
}

/// What the files hold.
pub(super) struct Secrets {
    /// Or the token.
    pub(super) password: Zeroizing<String>,
    /// Of [`Trust::File`].
    pub(super) cas: Vec<CertificateDer<'static>>,
}

/// Every fault of a command line.
#[derive(Debug)]
pub struct Wrong(Vec<String>, Option<Faults>);

impl Asked {
    /// Judges all of it; `faults` are those of the file that is asked for.
    ///
    /// # Errors
    /// Every fault at once, each with the flag.
    pub fn parse(console: &ConsoleFlags, faults: Option<Faults>) -> Result<Self, Wrong> {
        let mut wrong = Vec::new();
        let mut note = |flag: &str, cause: &str| wrong.push(format!("error: {flag}: {cause}\n"));
        let missing = |given: &Option<String>| given.as_deref().unwrap_or_default().trim().is_empty();
        let address = if missing(&console.address) {
            note("--address", &format!("it is missing; {ADDRESS_FORM}"));
            None
        } else {
            let parsed = address(console.address.as_deref().unwrap_or_default().trim());
            parsed.map_err(|cause| note("--address", &cause)).ok()
        };
        let who = who(console, &mut note);
        let trust = match (&console.ca, console.ca_fingerprint.as_deref()) {
            (Some(_), Some(_)) => {
                Err("--ca and --ca-fingerprint say the same in two ways; give one of the two")
            }
            (Some(file), None) => Ok(Trust::File(file.clone())),
            (None, Some(text)) => fingerprint(text)
                .map(Trust::Fingerprint)
                .ok_or("it is no SHA-256; write 64 hexadecimal digits, with or without colons"),
            (None, None) => Ok(Trust::System),
        };
        let trust = trust.map_err(|cause| note("--ca-fingerprint", cause)).ok();
        let proxy = address.as_ref().map(|address| proxy(address, ProxyVariables::of_this_process()));
        let proxy = proxy.transpose().map_err(|cause| note("HTTPS_PROXY", &cause)).ok().flatten().flatten();
        match (address, who, trust, faults) {
            (Some(address), Some((user, secret_file)), Some(trust), None) if wrong.is_empty() => {
                Ok(Self { address, user, proxy, secret_file, trust })
            }
            (_, _, _, faults) => Err(Wrong(wrong, faults)),
        }
    }

    /// Reads password and CA certificates.
    pub(super) fn read(&self) -> anyhow::Result<Secrets> {
        let file = self.secret_file.display();
        let (what, content) = match self.user {
            Some(_) => ("password", "the user's password"),
            None => ("token", "a token of the Console's"),
        };
        let text = std::fs::read_to_string(&self.secret_file)
            .map(Zeroizing::new)
            .with_context(|| format!("reading the {what} from {file}; name a file that you may read"))?;
        let password = text.strip_suffix('\n').unwrap_or(&text);
        let password = Zeroizing::new(password.strip_suffix('\r').unwrap_or(password).to_owned());
        anyhow::ensure!(!password.is_empty(), "{file} is empty; write {content} into it");
        let cas = match &self.trust {
            Trust::File(file) => {
                let shown = file.display();
                let found: Result<Vec<_>, _> =
                    CertificateDer::pem_file_iter(file).and_then(Iterator::collect).with_context(|| {
                        format!("reading CA certificates from {shown}; name a readable PEM file")
                    });
                let found = found?;
                anyhow::ensure!(
                    !found.is_empty(),
                    "{shown} holds no certificate; name a PEM file with the CA's"
                );
                found
            }
            Trust::Fingerprint(_) | Trust::System => Vec::new(),
        };
        Ok(Secrets { password, cas })
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| f.write_str(line))?;
        self.1.as_ref().map_or(Ok(()), |faults| write!(f, "{faults}"))
    }
}

/// Who asks, and the file of the password; without a name that of the token.
fn who(console: &ConsoleFlags, note: &mut impl FnMut(&str, &str)) -> Option<(Option<String>, PathBuf)> {
    let is_given = |file: &Option<PathBuf>| file.as_ref().is_some_and(|file| !file.as_os_str().is_empty());
    if is_given(&console.token_file) {
        if console.user.is_some() || is_given(&console.password_file) {
            note("--token-file", "a token says who asks; leave --user and --password-file out");
            return None;
        }
        return Some((None, console.token_file.clone()?));
    }
    let user = console.user.clone().unwrap_or_default();
    let is_name = !user.is_empty() && !user.contains(':') && !user.chars().any(char::is_control);
    if !is_name {
        note("--user", "it is missing or no name; write the name of an administrator or operator");
    }
    if !is_given(&console.password_file) {
        note("--password-file", "it is missing; write the name of a file that holds the user's password");
        return None;
    }
    is_name.then_some((Some(user), console.password_file.clone()?))
}

/// The proxy on the way to the address, if there is to be one.
fn proxy(address: &HostPort, variables: ProxyVariables) -> Result<Option<Proxy>, String> {
    let direct = variables.no_proxy.unwrap_or_default();
    let port = address.port(HTTPS);
    let given = variables.https_proxy.filter(|_| !is_direct(&direct, address.host(), port));
    given.map(|text| Proxy::parse(&text).map_err(|fault| fault.to_string())).transpose()
}

/// `https://HOST[:PORT]`, nothing behind it.
fn address(text: &str) -> Result<HostPort, String> {
    let shown = if text.contains('@') { "it" } else { text };
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("{shown} has no scheme; {ADDRESS_FORM}"));
    };
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(format!("{shown} does not start with https://, and a password is sent; {ADDRESS_FORM}"));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(format!("{shown} has a path, which is added here; {ADDRESS_FORM}"));
    }
    rest.parse().map_err(|_| format!("{shown} has no readable host and port; {ADDRESS_FORM}"))
}

/// 64 hexadecimal digits; colons, as `openssl` writes them, are passed over.
fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    certs::hex::decode(digits)?.try_into().ok()
}

const ADDRESS_FORM: &str = "write https://HOST[:PORT], for example https://console.example.com:8083";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_s_address_is_a_url_without_path_over_https() {
        for good in ["https://console:8083", "https://console.example.com/", "HTTPS://[::1]:8083"] {
            assert!(address(good).is_ok(), "{good}: {:?}", address(good));
        }
        for (bad, cause) in [
            ("console:8083", "no scheme"),
            ("http://console:8083", "https://"),
            ("wss://console:8084", "https://"),
            ("https://console/api", "path"),
            ("https://console?x", "path"),
            ("https://", "no readable host"),
            ("https://console:0", "no readable host"),
            ("https://u:secret@console", "no readable host"),
        ] {
            let told = address(bad).expect_err(bad);
            assert!(told.contains(cause) && !told.contains("secret"), "{bad}: {told}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(fingerprint(&plain), Some([0xab; 32]));
        assert_eq!(fingerprint(&colons), Some([0xab; 32]));
        for bad in ["", "ab", &"zz".repeat(32), &"+a".repeat(32), &"ab".repeat(33)] {
            assert_eq!(fingerprint(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let flags = manifests::flags::DefenderFlags {
            cluster_address: Some("wss://c".to_owned()),
            ..Default::default()
        };
        let faults = manifests::Defender::parse(&flags).err();
        let told = Asked::parse(&ConsoleFlags::default(), faults).expect_err("faults").to_string();
        for flag in ["--address: ", "--user: ", "--password-file: ", "--cluster-address: "] {
            assert!(told.contains(flag), "{flag} in {told}");
        }
    }
}
