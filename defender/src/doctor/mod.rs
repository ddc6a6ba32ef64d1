//! `defender doctor`: what is wrong between this host and its Console, one step after the other, with the code of the
//! running program. It says no `hello`, so that a running Defender is not disturbed.
//!
//! ```text
//! mod.rs      the findings, and the order of the steps
//! offers.rs   what the Defender would connect with, and what comes of each
//! ```

mod offers;

use std::fmt;

use certs::Material;
use lifecycle::Instance;
use lifecycle::logging::error_chain;
use protocol::Version;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpStream;

use crate::ask::{Answer, unverified};
use crate::candidates::Kind;
use crate::clock;
use crate::config::Config;
use crate::dial::{About, DialError, Step, reach};
use crate::status;
use offers::{Offer, Talk};

/// What one step has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which step.
    pub step: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Something is wrong.
    Fail,
    /// As it should be.
    Ok,
    /// Not looked at.
    Skip,
}

/// One line; what others sent can neither end it nor forge one.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Fail => "FAIL",
            Verdict::Ok => "ok  ",
            Verdict::Skip => "skip",
        };
        write!(f, "{verdict}  {}: {}", self.step, status::one_line(&self.seen))?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, " — {}", status::one_line(remedy)))
    }
}

/// Looks at everything, in the order in which a connection needs it.
pub async fn examine(config: &Config, now: OffsetDateTime) -> Vec<Finding> {
    let mut findings = Findings::default();
    let offers = findings.certificates(config, now);
    match findings.way(config).await {
        Some(tcp) => match offers::try_all(config, tcp, &offers).await {
            Some((place, talk, refused)) => {
                findings.passed_over(&offers, place, &refused);
                if let Some(offer) = offers.get(place) {
                    findings.console(config, talk, offer).await;
                }
            }
            None => findings.skip(&BEYOND_THE_WAY, "this Defender has no certificates to connect with"),
        },
        None => findings.skip(&BEYOND_THE_WAY, "the Console was not reached"),
    }
    findings.defender(config, now);
    findings.0
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, step: &'static str, verdict: Verdict, seen: impl Into<String>, remedy: Option<String>) {
        self.0.push(Finding { step, verdict, seen: seen.into(), remedy });
    }

    fn ok(&mut self, step: &'static str, seen: impl Into<String>) {
        self.add(step, Verdict::Ok, seen, None);
    }

    fn fail(&mut self, step: &'static str, seen: impl Into<String>, remedy: impl Into<String>) {
        self.add(step, Verdict::Fail, seen, Some(remedy.into()));
    }

    fn skip(&mut self, steps: &[&'static str], seen: &str) {
        steps.iter().for_each(|step| self.add(step, Verdict::Skip, seen, None));
    }

    /// What the Defender would connect with, the best first.
    fn certificates(&mut self, config: &Config, now: OffsetDateTime) -> Vec<Offer> {
        let step = "certificates";
        let (offers, unusable) = offers::offers(config);
        let is_none_there = offers.is_empty() && unusable.is_empty();
        for (seen, remedy) in unusable {
            self.fail(step, seen, remedy);
        }
        if is_none_there {
            let (bundle, custom) = (config.install_bundle_dir.display(), config.custom_certs_dir.display());
            self.fail(
                step,
                format!("there is no install bundle in {bundle} and no complete set in {custom}"),
                "get an install bundle from the Console",
            );
        }
        if let Some(Offer { kind, material }) = offers.first() {
            let (words, until) = (kind.words(), material.leaf().not_after);
            match material.unfit(now) {
                Some(error) if *kind == Kind::Own => {
                    self.fail(step, format!("{words}: {error}"), OWN_EXPIRED);
                }
                Some(error) => self.fail(step, format!("{words}: {error}"), error.remedy()),
                None => {
                    self.ok(
                        step,
                        format!("{words}, good until {}", until.format(&Rfc3339).unwrap_or_default()),
                    );
                }
            }
        }
        offers
    }

    /// Better sets than the one that the Console takes.
    fn passed_over(&mut self, offers: &[Offer], place: usize, refused: &[DialError]) {
        let Some(used) = offers.get(place) else { return };
        for (offer, error) in offers.iter().zip(refused) {
            let (better, used) = (offer.kind.words(), used.kind.words());
            let seen = format!("{better}: {}; the Defender connects with {used} instead", error_chain(error));
            self.fail("certificates", seen, error.remedy());
        }
    }

    /// Proxy, name and route.
    async fn way(&mut self, config: &Config) -> Option<TcpStream> {
        let reached = reach(&config.target()).await;
        let address = config.console.authority();
        if let Some(proxy) = &config.proxy {
            match &reached {
                Ok(_) => self.ok("proxy", format!("{proxy} makes a tunnel to {address}")),
                Err(error) => self.fail("proxy", error_chain(error), error.remedy()),
            }
            self.skip(&["dns", "route"], "the proxy looks up and reaches the Console");
            return reached.ok();
        }
        self.skip(&["proxy"], "HTTPS_PROXY names none for this Console");
        let host = config.console.host();
        match &reached {
            Ok(tcp) => {
                let peer = tcp.peer_addr().map_or(address, |peer| peer.to_string());
                self.ok("dns", format!("{host} leads to {peer}"));
                self.ok("route", format!("{peer} takes connections"));
            }
            Err(error @ (DialError::Resolve { .. } | DialError::TimedOut { step: Step::Resolve })) => {
                self.fail("dns", error_chain(error), error.remedy());
                self.skip(&["route"], "there is no address to go to");
            }
            Err(error) => {
                self.ok("dns", format!("{host} has an address"));
                self.fail("route", error_chain(error), error.remedy());
            }
        }
        reached.ok()
    }

    /// TLS, the Console's certificate, and its answer to a question.
    async fn console(&mut self, config: &Config, talk: Talk, offer: &Offer) {
        let outcome = match talk {
            Talk::Unusable(error) => {
                self.fail("tls", error.to_string(), error.remedy());
                return self.skip(&BEYOND_TLS, "there is no TLS");
            }
            Talk::NoTls(DialError::ConsoleCertificate { reason, remedy, about }) => {
                self.ok("tls", "both sides speak TLS 1.3");
                return self.refused(config, &offer.material, about, (reason, remedy)).await;
            }
            Talk::NoTls(error) => {
                self.fail("tls", error_chain(&error), error.remedy());
                return self.skip(&BEYOND_TLS, "there is no TLS");
            }
            Talk::Answer(answer) => Ok(answer),
            Talk::Silence(error) => Err(error),
        };
        self.ok("tls", "both sides speak TLS 1.3");
        self.ok("trust", "a CA of ours has issued the Console's certificate");
        self.ok("chain", "the Console's certificate and its chain are what they should be");
        let name = config.target().server_name;
        self.ok("name", format!("the Console's certificate is made for {}", name.to_str()));
        match outcome {
            Ok(answer) => self.answered(&answer),
            Err(error) => {
                self.skip(&["clock"], "the Console did not say what time it is");
                self.fail("access", error_chain(&error), error.remedy());
                self.skip(&["version"], "the Console did not say");
            }
        }
    }

    fn answered(&mut self, answer: &Answer) {
        match answer.ahead_seconds {
            None => self.skip(&["clock"], "the Console did not say what time it is"),
            Some(ahead) if clock::is_tolerable(ahead) => {
                self.ok("clock", format!("it differs from the Console's by {} s", ahead.abs()));
            }
            Some(ahead) => self.fail("clock", clock::words(ahead), clock::SET_CLOCK),
        }
        if answer.status != UPGRADE_REQUIRED {
            let seen = format!("what answers is no Defender listener: HTTP status {}", answer.status);
            self.fail(
                "access",
                seen,
                "check host and port of --console-address (WS_ADDRESS); the port is 8084",
            );
            return self.skip(&["version"], "the Console did not say");
        }
        self.ok("access", "the Console takes this Defender's certificate");
        let own = Version::own();
        match answer.version {
            None => self.skip(&["version"], "the Console did not say"),
            Some(console) if console.serves(own) => {
                self.ok("version", format!("the Console's is {console}, ours is {own}"));
            }
            Some(console) => self.fail(
                "version",
                format!("the Console's is {console}, ours is {own}, which is too old for it"),
                "install the Defender version of the Console",
            ),
        }
    }

    /// We refuse the Console's certificate. The verifier looks at the names last.
    async fn refused(&mut self, config: &Config, material: &Material, about: About, why: (String, String)) {
        let (reason, remedy) = why;
        let seen = format!("the Console's certificate is refused: {reason}");
        let unjudged = "not judged: see the step that failed";
        match about {
            About::Trust => {
                self.fail("trust", seen, remedy);
                self.skip(&["chain", "name", "clock"], unjudged);
            }
            About::Chain => {
                self.skip(&["trust"], unjudged);
                self.fail("chain", seen, remedy);
                self.skip(&["name", "clock"], unjudged);
            }
            About::Name => {
                self.ok("trust", "a CA of ours has issued the Console's certificate");
                self.ok("chain", "the Console's certificate and its chain are what they should be");
                self.fail("name", seen, remedy);
                self.skip(&["clock"], unjudged);
            }
            About::Clock => {
                self.skip(&["trust", "chain", "name"], unjudged);
                self.out_of_date(config, material, seen, remedy).await;
            }
        }
        self.skip(&["access", "version"], "the Console was not asked");
    }

    /// Either the certificate is out of date, or a clock is wrong.
    async fn out_of_date(&mut self, config: &Config, material: &Material, seen: String, remedy: String) {
        match unverified(&config.target(), material).await.and_then(|answer| answer.ahead_seconds) {
            None => self.fail("clock", format!("{seen}; the Console's clock could not be read"), remedy),
            Some(ahead) if clock::is_tolerable(ahead) => {
                let clocks = format!("the clocks differ by {} s only", ahead.abs());
                self.fail("clock", format!("{seen}; {clocks}"), remedy);
            }
            Some(ahead) => self.fail("clock", format!("{seen}; {}", clock::words(ahead)), clock::SET_CLOCK),
        }
    }

    /// What the running Defender says of itself.
    fn defender(&mut self, config: &Config, now: OffsetDateTime) {
        if !Instance::is_held(&config.data_dir) {
            return self.skip(&["defender"], "none runs with this data directory");
        }
        match status::judge(&config.data_dir, now) {
            (true, line) => self.ok("defender", line),
            (false, line) => self.fail("defender", line, "mend what failed above, or see its log"),
        }
    }
}

const OWN_EXPIRED: &str = "set the clock if it is wrong; else start the Defender: the Console gives it a new certificate, or has an administrator approve its return first";

const BEYOND_THE_WAY: [&str; 7] = ["tls", "trust", "chain", "name", "clock", "access", "version"];
const BEYOND_TLS: [&str; 6] = ["trust", "chain", "name", "clock", "access", "version"];

/// What a Console answers on its Defender listener to a request that is no upgrade.
const UPGRADE_REQUIRED: u16 = 426;

#[cfg(test)]
mod tests;
