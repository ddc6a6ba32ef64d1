//! An HTTP/1.1 client over one kept TLS connection, as bare as it can be, so that a server is measured and not the
//! client. Answers must say how long they are.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use system_tests::Dialer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// One connection.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    port: u16,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// From the request to the last byte.
    pub(crate) took: Duration,
}

impl Client {
    /// To a server on this machine, whose certificate is not verified.
    pub(crate) async fn dial(port: u16) -> Result<Self> {
        Ok(Self { stream: Dialer::blind().dial(port).await?, port })
    }

    /// `GET`, with header lines of ours, each ended by `\r\n`.
    pub(crate) async fn get(&mut self, path: &str, headers: &str) -> Result<Answer> {
        self.call(&format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n{headers}\r\n", self.port)).await
    }

    /// Posts a form from a page of the same server.
    pub(crate) async fn post_form(&mut self, path: &str, form: &str) -> Result<Answer> {
        let (port, length) = (self.port, form.len());
        self.call(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: https://localhost:{port}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        ))
        .await
    }

    async fn call(&mut self, request: &str) -> Result<Answer> {
        let begin = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        // What TLS could not write at once would stay with it.
        self.stream.flush().await?;
        let mut received = Vec::with_capacity(32 * 1024);
        let end = loop {
            if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let length = self.stream.read_buf(&mut received).await?;
            ensure!(length > 0 && received.len() < MOST, "no answer");
        };
        let mut body = received.split_off(end);
        let head = String::from_utf8(received)?;
        let length = header(&head, "content-length").and_then(|length| length.parse().ok());
        let length: usize = length.or(head.starts_with("HTTP/1.1 304").then_some(0)).context("no length")?;
        while body.len() < length {
            let more = self.stream.read_buf(&mut body).await?;
            ensure!(more > 0 && body.len() < MOST, "the answer is cut off");
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
        Ok(Answer { status, head, body, took: begin.elapsed() })
    }
}

impl Answer {
    /// Bytes of the answer before they are encrypted.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

const MOST: usize = 16 * 1024 * 1024;
