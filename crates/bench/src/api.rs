//! `bench api`: a Console with a large fleet in its store. Time to ready, latencies of the list of Defenders beside a
//! server that answers with a constant of the same size, and what each page costs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use console::config::Database;
use console::fleet::Record;
use console::store::Store;
use console::store::fleet::{FleetRows, ReportRow};
use nix::sys::signal::Signal;
use protocol::message::{CertificateSource, CertificateSummary, DefenderIdentity};
use system_tests::console::PASSWORD;
use system_tests::{Program, SOON, TestConsole};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::cli::ApiOptions;
use crate::constant;
use crate::figures::{greatest, median, percentile};
use crate::http::Client;

/// Runs all of it on one Console.
pub(crate) async fn measure(options: &ApiOptions) -> Result<()> {
    let mut fresh = Vec::new();
    for _ in 1..options.rounds {
        fresh.push(start().await.1);
    }
    let (mut console, last) = start().await;
    fresh.push(last);
    println!("start to ready");
    print_starts("fresh store", &fresh, 300);
    stop(&mut console).await?;
    let id = fill(&console, options.defenders).await?;
    let mut filled = Vec::new();
    for round in 0..options.rounds {
        let begin = Instant::now();
        console.start_again().await;
        filled.push(begin.elapsed().as_secs_f64() * 1e3);
        if round + 1 < options.rounds {
            stop(&mut console).await?;
        }
    }
    print_starts(&format!("{} Defenders", options.defenders), &filled, 1000);
    list(&console, options).await?;
    pages(&console, id).await
}

async fn start() -> (TestConsole, f64) {
    let begin = Instant::now();
    let setup = TestConsole::setup().flag("--log-level", "info");
    let console = setup.start().await;
    (console, begin.elapsed().as_secs_f64() * 1e3)
}

fn print_starts(name: &str, milliseconds: &[f64], goal: u32) {
    println!("  {name:<16} median {:.0} ms {milliseconds:.0?} (goal: at most {goal})", median(milliseconds));
}

async fn stop(console: &mut TestConsole) -> Result<()> {
    console.program().signal(Signal::SIGTERM);
    ensure!(console.program_mut().exit(SOON).await.success(), "the Console did not stop in good order");
    Ok(())
}

/// Writes Defenders as the Console does, each with a report; the identity of one of them.
async fn fill(console: &TestConsole, defenders: u32) -> Result<Uuid> {
    let store = Store::open(&Database::Embedded(console.dir().join("data/console.db"))).await?;
    let now = OffsetDateTime::now_utc();
    let records: Vec<Record> = (0..defenders).map(|number| record(number, now)).collect();
    for chunk in records.chunks(4096) {
        let report = |record: &Record| ReportRow {
            defender: record.defender.id,
            seq: 1,
            kind: "host".to_owned(),
            received_at: now,
            body: "{\"cpus\":2}".to_owned(),
        };
        let rows = FleetRows {
            records: chunk.to_vec(),
            reports: chunk.iter().map(report).collect(),
            last_seqs: chunk.iter().map(|record| (record.defender.id, 1)).collect(),
            ..FleetRows::default()
        };
        store.write_fleet(&rows).await?;
    }
    store.close().await;
    records.first().map(|record| record.defender.id).context("no Defenders")
}

fn record(number: u32, now: OffsetDateTime) -> Record {
    let source =
        if number.is_multiple_of(4) { CertificateSource::Custom } else { CertificateSource::SelfSigned };
    Record {
        defender: DefenderIdentity {
            id: Uuid::new_v4(),
            hostname: format!("node-{number:05}.region-{}.example.com", number % 7),
            version: format!("0.{}.{}", number % 3, number % 5),
            os: "Debian GNU/Linux 13 (trixie)".to_owned(),
            kernel: format!("6.12.{}-amd64", number % 40),
            arch: if number.is_multiple_of(3) { "aarch64" } else { "x86_64" }.to_owned(),
            cluster: None,
        },
        certificate: CertificateSummary {
            source,
            not_after: now + time::Duration::hours(i64::from(number % 10_000)),
            sha256: format!("{number:064x}"),
        },
        address: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)),
        first_seen: now,
        last_seen: now - time::Duration::seconds(i64::from(number % 3600)),
        last_seq: 0,
        decommissioned_at: None,
    }
}

/// `GET defenders?limit=50` over many connections at once, and the same of a server that does nothing else.
async fn list(console: &TestConsole, options: &ApiOptions) -> Result<()> {
    let api = console.api().await;
    let bearer = format!("Authorization: Bearer {}\r\n", api.token());
    let path = "/api/v1/defenders?limit=50";
    let sample = Client::dial(console.https).await?.get(path, &bearer).await?;
    ensure!(sample.status == 200, "{}", sample.head);
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["constant-server", "--bytes", &sample.body.len().to_string(), "--dir"]).arg(dir.path());
    let reference = Program::start("constant server", command);
    let ready = reference.line(constant::READY).await;
    let port = ready.strip_prefix(constant::READY).context("the ready line")?.parse()?;
    println!(
        "GET {path}: {} bytes, {} connections, {} requests in turns of {} rounds",
        sample.bytes(),
        options.connections,
        options.requests,
        options.rounds
    );
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        ours.push(load(console.https, path, &bearer, options).await?);
        bare.push(load(port, path, "", options).await?);
    }
    for (name, rounds) in [("console", &ours), ("bare", &bare)] {
        let each = |share| rounds.iter().map(|round| percentile(round, share)).collect::<Vec<_>>();
        let worst = rounds.iter().map(|round| greatest(round)).fold(0.0, f64::max);
        let (p50, p99) = (median(&each(0.5)), median(&each(0.99)));
        println!("  {name:<8} p50 {p50:.1} ms  p99 {p99:.1} ms  max {worst:.1} ms");
    }
    println!("  goal: p99 at most 25 ms");
    for query in
        ["sort=last_seen&order=desc", "sort=version&offset=20000", "search=node-4999", "connected=true"]
    {
        let path = format!("{path}&{query}");
        let mut client = Client::dial(console.https).await?;
        let mut took = Vec::new();
        for _ in 0..20 {
            let answer = client.get(&path, &bearer).await?;
            ensure!(answer.status == 200, "{}", answer.head);
            took.push(answer.took.as_secs_f64() * 1e3);
        }
        println!(
            "  one alone, {query}: p50 {:.1} ms  max {:.1} ms (goal: at most 200)",
            median(&took),
            greatest(&took)
        );
    }
    Ok(())
}

/// Latencies in ms of requests over all connections at once.
async fn load(port: u16, path: &str, headers: &str, options: &ApiOptions) -> Result<Vec<f64>> {
    let each = options.requests.div_ceil(options.connections);
    let one = || async move {
        let mut client = Client::dial(port).await?;
        let mut took = Vec::new();
        for _ in 0..each {
            let answer = client.get(path, headers).await?;
            ensure!(answer.status == 200, "{}", answer.head);
            took.push(answer.took.as_secs_f64() * 1e3);
        }
        Ok(took)
    };
    let all = futures_util::future::try_join_all((0..options.connections).map(|_| one())).await?;
    Ok(all.into_iter().flatten().collect())
}

/// Each page as a browser gets it that has seen none: the page, and what it names of the assets.
async fn pages(console: &TestConsole, id: Uuid) -> Result<()> {
    let mut client = Client::dial(console.https).await?;
    let form = format!("username=admin&password={}&next=%2F", PASSWORD.replace(' ', "+"));
    let answer = client.post_form("/login", &form).await?;
    let cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next());
    let cookie = format!("Cookie: {}\r\n", cookie.with_context(|| format!("signing in: {}", answer.head))?);
    println!("pages, with the assets of each, and the time of the page alone");
    let one = format!("/defenders/{id}");
    let login = "/login".to_owned();
    let others = ["/", "/defenders", "/certificates", "/deploy", "/access", "/audit", "/settings", "/api"];
    for path in others.map(str::to_owned).into_iter().chain([one, login]) {
        let mut took = Vec::new();
        let mut page = client.get(&path, &cookie).await?;
        if page.status == 404 {
            println!("  {path:<20} is not there");
            continue;
        }
        let named = assets(&String::from_utf8_lossy(&page.body));
        for _ in 0..10 {
            page = client.get(&path, &format!("{cookie}{AS_BROWSERS_ASK}")).await?;
            took.push(page.took.as_secs_f64() * 1e3);
        }
        let mut bytes = page.bytes();
        for asset in named {
            let answer = client.get(&asset, AS_BROWSERS_ASK).await?;
            ensure!(answer.status == 200, "{asset}: {}", answer.head);
            bytes += answer.bytes();
        }
        let path = path.split_inclusive('/').take(2).collect::<String>();
        println!(
            "  {path:<20} {} {:.1} KB of {bytes_kb:.1} KB, p50 {:.1} ms  max {:.1} ms",
            page.status,
            kilobytes(page.bytes()),
            median(&took),
            greatest(&took),
            bytes_kb = kilobytes(bytes),
        );
    }
    println!("  goal: at most 100 KB and 300 ms");
    Ok(())
}

const AS_BROWSERS_ASK: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";

/// What a page names below `/assets/`, each once.
fn assets(page: &str) -> BTreeSet<String> {
    let parts = page.split("\"/assets/").skip(1);
    let names = parts.filter_map(|part| part.split(['"', '#']).next());
    names.map(|name| format!("/assets/{name}")).collect()
}

fn kilobytes(bytes: usize) -> f64 {
    crate::figures::number(bytes) / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_found_once_and_without_their_fragments() {
        let page =
            r##"<link href="/assets/a.css"><use href="/assets/i.svg#x"/><use href="/assets/i.svg#y"/>"##;
        assert_eq!(assets(page).into_iter().collect::<Vec<_>>(), ["/assets/a.css", "/assets/i.svg"]);
    }
}
