//! A Console and a Defender, all three channels on custom sets of one authority.

use std::path::PathBuf;

use serde_json::Value;
use system_tests::api::Events;
use system_tests::place::{Files, Manner};
use system_tests::tls::leaf_sha256;
use system_tests::{
    Api, Channel, Dialer, Identity, OpensslPki, PemSet, Program, SOON, TestConsole, TestDefender, Wire,
    eventually,
};

pub struct Stage {
    pub pki: OpensslPki,
    pub console: TestConsole,
    pub defender: TestDefender,
    pub api: Api,
    /// The Defender's id.
    pub id: String,
}

impl Stage {
    pub async fn start() -> Self {
        Self::start_with(OpensslPki::new(), |setup| setup).await
    }

    pub async fn start_with(
        pki: OpensslPki,
        change: impl FnOnce(system_tests::console::ConsoleSetup) -> system_tests::console::ConsoleSetup,
    ) -> Self {
        let setup = TestConsole::setup()
            .custom(&Channel::Https.files(&pki.server()))
            .custom(&Channel::WebSocket.files(&pki.server()));
        let console = change(setup).start().await;
        let defender = TestDefender::setup(&console.address())
            .custom(&Channel::Defender.files(&pki.client()))
            .connect()
            .await;
        Self::of(pki, console, defender).await
    }

    /// Of programs that run.
    pub async fn of(pki: OpensslPki, console: TestConsole, defender: TestDefender) -> Self {
        let api = console.api().await;
        let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
        Self { pki, console, defender, api, id }
    }

    /// Where the channel's files are.
    pub fn dir(&self, channel: Channel) -> PathBuf {
        match channel {
            Channel::Defender => self.defender.custom_dir(),
            Channel::Https | Channel::WebSocket => self.console.custom_dir(),
        }
    }

    /// The program that the channel belongs to.
    pub fn program(&self, channel: Channel) -> &Program {
        match channel {
            Channel::Defender => self.defender.program(),
            Channel::Https | Channel::WebSocket => self.console.program(),
        }
    }

    /// SHA-256 of the leaf that a peer of the channel sees now.
    pub async fn in_effect(&self, channel: Channel) -> String {
        match channel {
            Channel::Defender => {
                let defender = self.api.get(&format!("defenders/{}", self.id)).await;
                defender["certificate"]["sha256"].as_str().expect("a fingerprint").to_owned()
            }
            Channel::Https => served(self.console.https).await,
            Channel::WebSocket => served(self.console.defenders).await,
        }
    }

    /// What a peer of each channel sees now.
    pub async fn all_in_effect(&self) -> Vec<(Channel, String)> {
        let mut all = Vec::new();
        for channel in Channel::ALL {
            all.push((channel, self.in_effect(channel).await));
        }
        all
    }

    pub fn place(&self, channel: Channel, manner: Manner, files: &Files) {
        manner.place(&self.dir(channel), files);
    }

    /// Places a set in one manner and waits until peers see it.
    pub async fn rotate(&self, channel: Channel, manner: Manner, set: &PemSet) {
        let mark = self.program(channel).mark();
        self.place(channel, manner, &channel.files(set));
        self.taken(channel, mark, set).await;
    }

    /// Waits until the line is there and peers see the set.
    pub async fn taken(&self, channel: Channel, mark: usize, set: &PemSet) {
        self.program(channel).line_after(mark, channel.rotated_text()).await;
        let wanted = leaf_sha256(&set.cert);
        eventually(&format!("{channel:?} shows the new leaf"), SOON, async || {
            let seen = self.in_effect(channel).await;
            if seen == wanted { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// The event stream.
    pub async fn events(&self) -> Events {
        self.api.events().await
    }
}

/// SHA-256 of the leaf that a port serves.
pub async fn served(port: u16) -> String {
    Dialer::blind().look(port).await.expect("a handshake").leaf_sha256
}

/// Why a handshake with this certificate fails.
pub async fn refusal(console: &TestConsole, identity: &Identity) -> String {
    match Wire::connect(console.defenders, identity).await {
        Ok(_) => panic!("let in"),
        Err(error) => error.to_string(),
    }
}

/// The one Defender of a Console, once it is connected.
pub async fn only_defender(api: &Api) -> Value {
    eventually("one Defender is connected", SOON, async || {
        let all = api.get("defenders?connected=true").await;
        match all.as_array().map(Vec::as_slice) {
            Some([one]) => Ok(one.clone()),
            _ => Err(all),
        }
    })
    .await
}

/// No Defender has been reported gone.
pub fn assert_never_disconnected(events: &Events) {
    let all = events.all();
    let gone: Vec<_> =
        all.iter().filter(|(name, _)| name == "defender.disconnected" || name == "stream.ended").collect();
    assert!(gone.is_empty(), "{gone:?} among {all:?}");
}
