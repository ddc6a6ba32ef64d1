//! A handshake in memory with the configurations of the two programs, at the time that each side believes it is.

use std::sync::Arc;
use std::time::Duration;

use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;

/// A clock that stands.
#[derive(Debug)]
struct Stands(OffsetDateTime);

impl TimeProvider for Stands {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.unix_timestamp()).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// What the Console sees of the Defender's chain once both sides have accepted each other.
pub(super) fn shake_hands(
    console: (&ServerConfig, OffsetDateTime),
    defender: (&ClientConfig, OffsetDateTime),
) -> Result<Vec<CertificateDer<'static>>, rustls::Error> {
    let (mut server, mut client) = (console.0.clone(), defender.0.clone());
    server.time_provider = Arc::new(Stands(console.1));
    client.time_provider = Arc::new(Stands(defender.1));
    let name = ServerName::try_from("console.test").expect("a name");
    let mut server = ServerConnection::new(Arc::new(server))?;
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    // Three flights: hello, the server's, the client's with its certificate.
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).expect("memory");
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).expect("memory");
            client.process_new_packets()?;
        }
    }
    assert!(!server.is_handshaking() && !client.is_handshaking(), "three flights are enough");
    Ok(server.peer_certificates().expect("client certificates are required").to_vec())
}
