//! TLS dials that say what they saw. Roots, identity, versions are the caller's; nothing is verified unless
//! roots are given.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use certs::tls::Anybody;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::wire::Identity;

/// How to dial.
#[derive(Clone)]
pub struct Dialer {
    config: Arc<ClientConfig>,
    host: IpAddr,
    name: ServerName<'static>,
}

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// SHA-256 of the server's leaf, hexadecimal.
    pub leaf_sha256: String,
    /// Full or resumed.
    pub kind: HandshakeKind,
    /// Key exchange group.
    pub group: NamedGroup,
    /// Application protocol agreed.
    pub alpn: Option<String>,
}

impl Dialer {
    /// Trusts any server.
    pub fn blind() -> Self {
        Self::build(None, None, rustls::ALL_VERSIONS)
    }

    /// Trusts servers that these authorities (PEM) vouch for.
    pub fn trusting(cas: &[&str]) -> Self {
        Self::build(Some(cas), None, rustls::ALL_VERSIONS)
    }

    /// As a Defender: with a client certificate, trusting the identity's authority.
    pub fn with_identity(identity: &Identity) -> Self {
        Self::build(Some(&[&identity.ca]), Some(identity), &[&rustls::version::TLS13])
    }

    /// Trusts any server, and offers these versions only.
    pub fn versions(versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        Self::build(None, None, versions)
    }

    /// Counts the tickets that come.
    pub fn counting(identity: &Identity) -> (Self, Arc<Tickets>) {
        let tickets = Arc::new(Tickets::default());
        let mut dialer = Self::with_identity(identity);
        let config = Arc::make_mut(&mut dialer.config);
        config.resumption = Resumption::store(Arc::clone(&tickets) as Arc<dyn ClientSessionStore>);
        (dialer, tickets)
    }

    /// Dials another address than that of this host, asking for another name than `localhost`.
    pub fn to(self, host: impl Into<IpAddr>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        Self { host: host.into(), name, ..self }
    }

    /// Offers these application protocols.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        let offered = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::make_mut(&mut self.config).alpn_protocols = offered;
        self
    }

    fn build(
        cas: Option<&[&str]>,
        identity: Option<&Identity>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions that the provider has");
        let builder = match cas {
            Some(cas) => {
                let mut roots = RootCertStore::empty();
                for ca in cas {
                    let certificates = CertificateDer::pem_slice_iter(ca.as_bytes());
                    certificates.for_each(|der| roots.add(der.expect("PEM")).expect("an authority"));
                }
                builder.with_root_certificates(roots)
            }
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody::new())),
        };
        let config = match identity {
            Some(identity) => {
                let chain = CertificateDer::pem_slice_iter(identity.cert.as_bytes());
                let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").expect("a name");
        Self { config: Arc::new(config), host: Ipv4Addr::LOCALHOST.into(), name }
    }

    /// Connects and shakes hands. A server's judgement of a client certificate comes later, with the first read.
    ///
    /// # Errors
    /// A refused or reset connection, a failed handshake.
    pub async fn dial(&self, port: u16) -> io::Result<TlsStream<TcpStream>> {
        self.dial_from(TcpStream::connect((self.host, port)).await?).await
    }

    /// Shakes hands on a connection that is open.
    ///
    /// # Errors
    /// A failed handshake.
    pub async fn dial_from(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        tcp.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), tcp).await
    }

    /// Shakes hands and says what was seen.
    ///
    /// # Errors
    /// As `dial`.
    pub async fn look(&self, port: u16) -> io::Result<Seen> {
        Ok(seen(&self.dial(port).await?))
    }

    /// One HTTPS request over a connection of its own: the status, the body, and what the handshake showed.
    ///
    /// # Errors
    /// As `dial`, and when the answer is cut.
    pub async fn get(&self, port: u16, path: &str) -> io::Result<(u16, String, Seen)> {
        let mut stream = self.dial(port).await?;
        let host = self.name.to_str();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned(), seen(&stream)))
    }
}

/// What the handshake of an open connection showed.
pub fn seen(stream: &TlsStream<TcpStream>) -> Seen {
    let (_, connection) = stream.get_ref();
    let leaf = connection.peer_certificates().and_then(|chain| chain.first()).expect("a server has one");
    Seen {
        leaf_sha256: sha256(leaf),
        kind: connection.handshake_kind().expect("done"),
        group: connection.negotiated_key_exchange_group().expect("done").name(),
        alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
    }
}

/// SHA-256 of the first certificate of a PEM text, as `certificates` of the API gives it.
pub fn leaf_sha256(pem: &str) -> String {
    sha256(&CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate"))
}

/// SHA-256 of anything, lower-case hexadecimal.
pub fn sha256(data: &[u8]) -> String {
    let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, data);
    certs::hex::encode(digest)
}

/// Makes aws-lc-rs the provider for libraries that ask for a default (reqwest).
pub fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = aws_lc_rs::default_provider().install_default();
    });
}

/// A session store that counts what a server sends.
#[derive(Debug)]
pub struct Tickets {
    count: AtomicUsize,
    store: ClientSessionMemoryCache,
}

impl Default for Tickets {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), store: ClientSessionMemoryCache::new(32) }
    }
}

impl Tickets {
    /// How many came.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.store.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.store.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.store.set_tls12_session(name, value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.store.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.store.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.store.insert_tls13_ticket(name, value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.store.take_tls13_ticket(name)
    }
}
