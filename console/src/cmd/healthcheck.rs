//! `console healthcheck`: whether the Console of this host and these settings is ready, for containers without a shell.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::config::Config;

/// Asks the HTTPS listener and prints one line. Exit status 0 when it is ready, else 1.
#[must_use]
pub fn run(config: &Config, out: &mut impl Write) -> ExitCode {
    let address = own(config.https_listen);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(ping(address)));
    let (line, code) = match answer {
        Ok(()) => (format!("ready at {address}"), ExitCode::SUCCESS),
        Err(error) => (format!("not ready at {address}: {error:#}"), ExitCode::FAILURE),
    };
    // Nobody reads what was to be printed: the answer is the exit status.
    let _ = writeln!(out, "{line}");
    code
}

async fn ping(address: SocketAddr) -> anyhow::Result<()> {
    // A second provider for the same process is refused, and then the first one serves.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder()
        // It calls its own host, says nothing and learns only whether it is ready: whose certificate that is, custom
        // and for what names, does not matter.
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .context("setting up TLS")?;
    let answer = client.get(format!("https://{address}/api/v1/_ping")).send().await.context("asking it")?;
    anyhow::ensure!(answer.status().is_success(), "it says {}", answer.status());
    Ok(())
}

/// Where this host reaches its own listener.
fn own(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        // Both kinds are listened for; in a container there may be no IPv6.
        IpAddr::V6(ip) if ip == Ipv6Addr::UNSPECIFIED => IpAddr::V4(Ipv4Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(ip, listen.port())
}

const PATIENCE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_calls_its_own_host() {
        for (listen, called) in
            [("[::]:8083", "127.0.0.1:8083"), ("0.0.0.0:1", "127.0.0.1:1"), ("192.0.2.7:2", "192.0.2.7:2")]
        {
            assert_eq!(own(listen.parse().expect("an address")).to_string(), called);
        }
    }

    #[test]
    fn nobody_there_is_a_failure() {
        let serve = crate::cli::Serve { https_listen: Some("127.0.0.1:1".to_owned()), ..Default::default() };
        let config = Config::parse(serve).expect("good");
        let mut out = Vec::new();
        assert_eq!(run(&config, &mut out), ExitCode::FAILURE);
        assert!(String::from_utf8(out).expect("text").contains("not ready at 127.0.0.1:1"));
    }
}
