//! The `host` report: facts of the host, and whether its custom certificates would be used. Blocking: it reads files.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use certs::{CertificateFacts, Channel, Found, Material, RawMaterial};
use nix::sys::utsname::{UtsName, uname};
use nix::unistd::{SysconfVar, sysconf};
use protocol::Version;
use protocol::message::DefenderIdentity;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::sets::{Set, Sets};

/// Where the facts come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name shown in the Console; `None`: the host's.
    pub hostname: Option<String>,
    /// Name of the cluster, where it was told.
    pub cluster: Option<String>,
    /// The custom certificates directory.
    pub custom_dir: PathBuf,
    /// Whether it was there at start.
    pub custom_watched: bool,
    /// What is dialed with.
    pub sets: Sets,
}

/// The body of the report. Compared as a whole: nothing in it changes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Name shown in the Console.
    pub hostname: String,
    /// `PRETTY_NAME` of the OS release.
    pub os: String,
    /// The OS release's fields that programs compare; absent ones are left out.
    pub os_release: BTreeMap<&'static str, String>,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture.
    pub arch: String,
    /// Name of the cluster, where it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Processors online.
    pub cpus: Option<u64>,
    /// Memory in all.
    pub memory_bytes: Option<u64>,
    /// When the kernel started.
    #[serde(with = "time::serde::rfc3339::option")]
    pub boot_time: Option<OffsetDateTime>,
    /// Addresses of all interfaces, without loopback and link-local ones, sorted.
    pub addresses: Vec<IpAddr>,
    /// Container runtimes whose socket is on this host.
    pub container_runtimes: Vec<&'static str>,
    /// Version of this program.
    pub defender_version: String,
    /// State of the custom certificates directory.
    pub custom_certificates: CustomCertificates,
    /// What the Defender can dial with, the best first.
    pub sets: Vec<Set>,
}

/// What is on disk, and what would come of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CustomCertificates {
    /// The directory as configured.
    pub directory: PathBuf,
    /// Whether it was there at start, so that changes are noticed.
    pub watched: bool,
    /// Each file of a set.
    pub files: BTreeMap<&'static str, Presence>,
    /// The certificate in the files, where they can be read.
    pub certificate: Option<Leaf>,
    /// Whether the files are all there and a running Defender would take them.
    pub would_load: bool,
    /// Why not.
    pub problem: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// What an operator compares of a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leaf {
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// End of its validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// SHA-256 of the DER form, hexadecimal.
    pub sha256: String,
}

/// Whether a file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Missing, or a link to nowhere.
    Absent,
    /// There, of whatever content.
    Present,
}

/// Collects the facts.
#[must_use]
pub fn look(source: &Source) -> Facts {
    let release = os_release();
    let kernel = uname().ok();
    let field = |key| release.get(key).cloned();
    Facts {
        hostname: source.hostname.clone().unwrap_or_else(hostname),
        os: field("PRETTY_NAME").or_else(|| field("NAME")).unwrap_or_else(|| "Linux".to_owned()),
        os_release: [("id", "ID"), ("version_id", "VERSION_ID"), ("version_codename", "VERSION_CODENAME")]
            .into_iter()
            .filter_map(|(name, key)| Some((name, field(key)?)))
            .collect(),
        kernel: system_name(kernel.as_ref(), |name| name.release()),
        arch: system_name(kernel.as_ref(), |name| name.machine()),
        cluster: source.cluster.clone(),
        cpus: sysconf(SysconfVar::_NPROCESSORS_ONLN)
            .ok()
            .flatten()
            .and_then(|count| u64::try_from(count).ok()),
        memory_bytes: fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_bytes(&text)),
        boot_time: fs::read_to_string("/proc/stat").ok().and_then(|text| boot_time(&text)),
        addresses: addresses(),
        container_runtimes: container_runtimes(Path::new("/")),
        defender_version: Version::own().to_string(),
        custom_certificates: custom_certificates(
            &source.custom_dir,
            source.custom_watched,
            OffsetDateTime::now_utc(),
        ),
        sets: source.sets.look(),
    }
}

impl Facts {
    /// What `hello` says of the host.
    #[must_use]
    pub fn identity(&self, id: Uuid) -> DefenderIdentity {
        DefenderIdentity {
            id,
            hostname: self.hostname.clone(),
            version: self.defender_version.clone(),
            os: self.os.clone(),
            kernel: self.kernel.clone(),
            arch: self.arch.clone(),
            cluster: self.cluster.clone(),
        }
    }
}

fn hostname() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| UNKNOWN.to_owned())
}

fn system_name(name: Option<&UtsName>, field: impl Fn(&UtsName) -> &std::ffi::OsStr) -> String {
    name.map_or_else(|| UNKNOWN.to_owned(), |name| field(name).to_string_lossy().into_owned())
}

/// The fields of os-release(5), from the first of its two places.
fn os_release() -> BTreeMap<String, String> {
    let text =
        ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| fs::read_to_string(path).ok());
    parse_os_release(&text.unwrap_or_default())
}

fn parse_os_release(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), unquote(value.trim())))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Shell quoting, as far as os-release(5) uses it.
fn unquote(value: &str) -> String {
    let quoted = |quote| value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    if let Some(literal) = quoted('\'') {
        return literal.to_owned();
    }
    let mut text = String::new();
    let mut characters = quoted('"').unwrap_or(value).chars();
    while let Some(c) = characters.next() {
        text.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    text
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn boot_time(stat: &str) -> Option<OffsetDateTime> {
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    OffsetDateTime::from_unix_timestamp(seconds.trim().parse().ok()?).ok()
}

/// Link-local addresses are left out: each container brings one, and they name no host.
fn addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = nix::ifaddrs::getifaddrs()
        .map(|interfaces| interfaces.filter_map(|interface| ip_address(&interface)).collect())
        .unwrap_or_default();
    found.retain(|address| !address.is_loopback() && !is_link_local(address));
    found.sort();
    found.dedup();
    found
}

fn ip_address(interface: &nix::ifaddrs::InterfaceAddress) -> Option<IpAddr> {
    let address = interface.address?;
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn container_runtimes(root: &Path) -> Vec<&'static str> {
    let is_there = |socket: &str| root.join(socket).exists();
    let found = RUNTIMES.iter().filter(|(_, sockets)| sockets.iter().any(|socket| is_there(socket)));
    found.map(|(name, _)| *name).collect()
}

fn custom_certificates(dir: &Path, watched: bool, now: OffsetDateTime) -> CustomCertificates {
    let files = Channel::Defender
        .files()
        .names()
        .map(|name| (name, if dir.join(name).exists() { Presence::Present } else { Presence::Absent }));
    let mut certificate = None;
    let refused = match RawMaterial::read(Channel::Defender, dir) {
        _ if !dir.is_dir() => Some(("the directory does not exist".to_owned(), None)),
        Ok(Found::Missing(names)) => Some((format!("missing: {}", names.join(", ")), None)),
        Ok(Found::Complete(raw)) => match Material::parse(raw) {
            Ok(material) => {
                certificate = Some(Leaf::from(material.leaf()));
                material.unfit(now).map(|error| (error.to_string(), Some(error.remedy())))
            }
            Err(error) => Some((error.to_string(), Some(error.remedy()))),
        },
        Err(error) => Some((error.to_string(), Some(error.remedy()))),
    };
    let would_load = refused.is_none();
    let (problem, remedy) = refused.map_or((None, None), |(problem, remedy)| (Some(problem), remedy));
    CustomCertificates {
        directory: dir.to_owned(),
        watched,
        files: files.collect(),
        certificate,
        would_load,
        problem,
        remedy,
    }
}

impl From<&CertificateFacts> for Leaf {
    fn from(facts: &CertificateFacts) -> Self {
        Self {
            subject: facts.subject.clone(),
            issuer: facts.issuer.clone(),
            not_after: facts.not_after,
            sha256: facts.sha256.clone(),
        }
    }
}

const UNKNOWN: &str = "unknown";

/// Sockets below the root directory, by runtime; sorted by name.
const RUNTIMES: [(&str, &[&str]); 4] = [
    ("containerd", &["run/containerd/containerd.sock", "run/k3s/containerd/containerd.sock"]),
    ("cri-o", &["run/crio/crio.sock"]),
    ("docker", &["run/docker.sock", "var/run/docker.sock"]),
    ("podman", &["run/podman/podman.sock"]),
];

#[cfg(test)]
mod tests;
