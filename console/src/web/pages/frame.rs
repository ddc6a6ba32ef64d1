//! What surrounds the content of every page: title, navigation, banners, who is signed in.

use certs::{Channel, Subscriber};
use rustls::ServerConfig;
use time::OffsetDateTime;

use super::{Visitor, words};
use crate::alerts::{Kind, Severity};
use crate::web::AppState;

/// The context of `layout/app.html`; every page has one as its field `frame`.
#[derive(Debug, Clone)]
pub(in crate::web) struct Frame {
    /// Title of the page; the name of the product follows it.
    pub(in crate::web) title: String,
    /// Which entry of the navigation is the present one.
    pub(in crate::web) active: Entry,
    /// Who looks at it.
    pub(in crate::web) visitor: Visitor,
    /// What everybody should know on every page.
    pub(in crate::web) banners: Vec<Banner>,
}

/// Something that everybody should know, on every page.
#[derive(Debug, Clone)]
pub(in crate::web) struct Banner {
    /// How urgent it is.
    pub(in crate::web) tone: Tone,
    /// A sentence.
    pub(in crate::web) text: String,
    /// Where to mend it: URL and what the link says.
    pub(in crate::web) link: Option<(String, String)>,
}

impl Banner {
    /// Whether something is broken now.
    pub(in crate::web) fn is_bad(&self) -> bool {
        self.tone == Tone::Bad
    }
}

/// How urgent something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Tone {
    /// Something is broken now.
    Bad,
    /// Something will break.
    Warn,
}

/// An entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Entry {
    Access,
    Api,
    Audit,
    Authority,
    Certificates,
    Defenders,
    Deploy,
    Overview,
    Settings,
}

impl Frame {
    /// The frame of one page.
    pub(in crate::web) fn new(
        state: &AppState,
        visitor: Visitor,
        active: Entry,
        title: impl Into<String>,
    ) -> Self {
        Self { title: title.into(), active, visitor, banners: banners(state) }
    }

    /// The entries that this visitor may open, in the order of the navigation.
    pub(in crate::web) fn entries(&self) -> impl Iterator<Item = Entry> {
        let is_auditor = self.visitor.is_auditor();
        Entry::ALL.into_iter().filter(move |entry| *entry != Entry::Audit || is_auditor)
    }
}

impl Entry {
    const ALL: [Self; 9] = [
        Self::Overview,
        Self::Defenders,
        Self::Certificates,
        Self::Authority,
        Self::Deploy,
        Self::Access,
        Self::Audit,
        Self::Settings,
        Self::Api,
    ];

    /// What the link says.
    pub(in crate::web) fn name(self) -> &'static str {
        match self {
            Self::Access => "Access",
            Self::Api => "API",
            Self::Audit => "Audit",
            Self::Authority => "Authority",
            Self::Certificates => "Certificates",
            Self::Defenders => "Defenders",
            Self::Deploy => "Deploy",
            Self::Overview => "Overview",
            Self::Settings => "Settings",
        }
    }

    /// Where it leads.
    pub(in crate::web) fn path(self) -> &'static str {
        match self {
            Self::Access => "/access",
            Self::Api => "/api",
            Self::Audit => "/audit",
            Self::Authority => "/authority",
            Self::Certificates => "/certificates",
            Self::Defenders => "/defenders",
            Self::Deploy => "/deploy",
            Self::Overview => "/",
            Self::Settings => "/settings",
        }
    }

    /// The key that follows `g` on the keyboard.
    pub(in crate::web) fn key(self) -> char {
        match self {
            Self::Access => 'a',
            Self::Api => 'i',
            Self::Audit => 'u',
            Self::Authority => 't',
            Self::Certificates => 'c',
            Self::Defenders => 'd',
            Self::Deploy => 'p',
            Self::Overview => 'o',
            Self::Settings => 's',
        }
    }

    /// Its icon in `assets/icons.svg`.
    pub(in crate::web) fn icon(self) -> &'static str {
        match self {
            Self::Access => "people",
            Self::Api => "braces",
            Self::Audit => "list",
            Self::Authority => "key",
            Self::Certificates => "certificate",
            Self::Defenders => "shield",
            Self::Deploy => "download",
            Self::Overview => "gauge",
            Self::Settings => "sliders",
        }
    }
}

/// What everybody should know now.
fn banners(state: &AppState) -> Vec<Banner> {
    let now = OffsetDateTime::now_utc();
    let channels = [(Channel::ConsoleHttps, &state.https), (Channel::ConsoleDefender, &state.defender)];
    let mut banners: Vec<Banner> =
        channels.into_iter().filter_map(|(channel, tls)| about(channel, tls, now)).collect();
    banners.extend(alerts(state));
    banners
}

/// The worst of the open alerts one by one, the rest as a number. What is said of a channel above is not said again.
fn alerts(state: &AppState) -> Vec<Banner> {
    let mut shown = state.alerts.banner();
    shown.retain(|alert| alert.kind != Kind::CertificatesRefused);
    let more = shown.len().saturating_sub(MOST_ALERTS);
    shown.truncate(MOST_ALERTS);
    let link = || Some(("/#alerts".to_owned(), "See all alerts".to_owned()));
    let mut banners: Vec<Banner> = shown
        .into_iter()
        .map(|alert| {
            let tone = if alert.severity == Severity::Critical { Tone::Bad } else { Tone::Warn };
            Banner { tone, text: alert.summary, link: link() }
        })
        .collect();
    if more > 0 {
        let text = format!("{more} more alerts are open.");
        banners.push(Banner { tone: Tone::Warn, text, link: link() });
    }
    banners
}

/// Banners for alerts on one page.
const MOST_ALERTS: usize = 3;

fn about(channel: Channel, tls: &Subscriber<ServerConfig>, now: OffsetDateTime) -> Option<Banner> {
    let name = words::channel(channel);
    let (tone, text) = if tls.current().material.leaf().not_after <= now {
        (Tone::Bad, format!("The certificate of {name} has expired: those who connect will be refused."))
    } else if tls.last_error().is_some() {
        (Tone::Warn, format!("The newest files for {name} were refused. What ran before goes on."))
    } else {
        return None;
    };
    let link = format!("/certificates#{}", channel.id());
    Some(Banner { tone, text, link: Some((link, "See why and how to mend it".to_owned())) })
}
