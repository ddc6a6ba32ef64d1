//! The DevTools protocol: JSON over a WebSocket. Calls have numbers, answers repeat them; everything else is an event.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// One connection to a Chromium.
pub(super) struct Wire {
    sink: tokio::sync::Mutex<SplitSink<WebSocketStream<TcpStream>, Message>>,
    heard: Arc<Mutex<Heard>>,
    _reader: JoinSet<()>,
}

#[derive(Default)]
struct Heard {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    events: Vec<Value>,
}

impl Wire {
    pub(super) async fn open(url: &str) -> Self {
        let address = url.trim_start_matches("ws://").split('/').next().expect("an address");
        let stream = TcpStream::connect(address).await.expect("Chromium listens");
        // Screenshots are large.
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let opened = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await;
        let (sink, stream) = opened.expect("Chromium takes the upgrade").0.split();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut reader = JoinSet::new();
        reader.spawn(read(stream, Arc::clone(&heard)));
        Self { sink: tokio::sync::Mutex::new(sink), heard, _reader: reader }
    }

    /// A call that must succeed.
    pub(super) async fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let answer = self.try_call(session, method, parameters).await;
        answer.unwrap_or_else(|fault| panic!("{method}: {fault}"))
    }

    /// A call; what Chromium says against it.
    pub(super) async fn try_call(
        &self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
    ) -> Result<Value, String> {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut heard = self.heard.lock().expect("not poisoned");
            heard.last += 1;
            let id = heard.last;
            heard.waiting.insert(id, sender);
            id
        };
        let mut call = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            call["sessionId"] = json!(session);
        }
        let sent = self.sink.lock().await.send(Message::text(call.to_string())).await;
        sent.map_err(|error| error.to_string())?;
        let answer =
            tokio::time::timeout(PATIENCE, answer).await.map_err(|_| "no answer in time".to_owned())?;
        let mut answer = answer.map_err(|_| "Chromium has ended".to_owned())?;
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["result"].take()),
        }
    }

    /// What a page has told so far.
    pub(super) fn events(&self, session: &str) -> Vec<Value> {
        let heard = self.heard.lock().expect("not poisoned");
        heard.events.iter().filter(|event| event["sessionId"] == session).cloned().collect()
    }
}

async fn read(mut stream: SplitStream<WebSocketStream<TcpStream>>, heard: Arc<Mutex<Heard>>) {
    while let Some(Ok(message)) = stream.next().await {
        let Ok(text) = message.to_text() else { continue };
        let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
        let mut heard = heard.lock().expect("not poisoned");
        match value["id"].as_u64().and_then(|id| heard.waiting.remove(&id)) {
            Some(waiting) => {
                let _ = waiting.send(value);
            }
            None => heard.events.push(value),
        }
    }
    // Whoever waits hears that nothing comes any more.
    heard.lock().expect("not poisoned").waiting.clear();
}

/// axe-core takes its time for a large page on a small machine.
const PATIENCE: Duration = Duration::from_secs(90);
