//! What the Console asks of a Defender over its connection: its log, live and as a file, and a restart.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use system_tests::api::{Answer, Events};
use system_tests::wire::End;
use system_tests::{Api, Identity, SOON, TestConsole, TestDefender, Wire, eventually};
use uuid::Uuid;

use crate::stage::only_defender;

struct Pair {
    console: TestConsole,
    defender: TestDefender,
    api: Api,
    id: String,
}

impl Pair {
    async fn start() -> Self {
        let console = TestConsole::start().await;
        let api = console.api().await;
        let defender = TestDefender::of(&console).await;
        let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
        Self { console, defender, api, id }
    }

    async fn restart(&self) -> Answer {
        self.api.call(Method::POST, &format!("defenders/{}/restart", self.id), None).await
    }

    async fn tail(&self) -> Events {
        self.api.follow(&format!("defenders/{}/log/stream?lines=1000", self.id)).await
    }
}

async fn line(events: &Events, text: &str) -> Value {
    events.expect("line", |data| data["text"].as_str().is_some_and(|line| line.contains(text))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_shows_the_lines_so_far_and_each_new_one_and_goes_on_after_a_restart() {
    let pair = Pair::start().await;
    let events = pair.tail().await;
    line(&events, "Defender starts").await;
    line(&events, "Connected to Console").await;
    let connected = events.expect("connected", |_| true).await;

    std::fs::write(pair.defender.custom_dir().join("defender-ca.pem"), "junk").expect("written");
    let seen = line(&events, "Incomplete defender client custom certificates").await;
    // What comes over the wire may be ahead of what the test has read of standard error.
    eventually("the same line on standard error, word for word", SOON, async || {
        let logged = pair.defender.program().lines();
        let is_there = logged.iter().any(|line| Some(line.as_str()) == seen["text"].as_str());
        if is_there { Ok(()) } else { Err((seen.clone(), logged)) }
    })
    .await;
    std::fs::remove_file(pair.defender.custom_dir().join("defender-ca.pem")).expect("removed");

    assert_eq!(pair.restart().await.status, 204);
    let again = events.expect("connected", |data| data["boot"] != connected["boot"]).await;
    assert!(again["boot"].is_string(), "{again}");
    eventually("the first line of the new process", SOON, async || {
        let starts =
            events.all().iter().filter(|(_, data)| data.to_string().contains("Defender starts")).count();
        if starts == 2 { Ok(()) } else { Err(starts) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_says_when_the_defender_is_gone_and_resumes_when_it_is_back() {
    let mut pair = Pair::start().await;
    let events = pair.tail().await;
    line(&events, "Connected to Console").await;
    pair.defender.program_mut().kill();
    let gone = events.expect("disconnected", |_| true).await;
    assert!(gone["detail"].as_str().is_some_and(|text| text.contains("not connected")), "{gone}");
    pair.defender.start_again();
    eventually("connected again", SOON, async || {
        let count = events.count("connected");
        if count == 2 { Ok(()) } else { Err(events.all()) }
    })
    .await;
    let all = events.all();
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "line").collect();
    assert_eq!(names, ["connected", "disconnected", "connected"]);

    // A reader who comes to a Defender that is not there is told so, and need not come again.
    pair.defender.stop().await;
    pair.api.defender(&pair.id, "is gone", |shown| shown["connected"] == false).await;
    let early = pair.tail().await;
    early.expect("disconnected", |_| true).await;
    pair.defender.start_again();
    line(&early, "Connected to Console").await;
    drop(pair.console);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_over_a_new_connection_without_a_word() {
    let pair = Pair::start().await;
    let events = pair.tail().await;
    line(&events, "Connected to Console").await;
    let body = json!({"consoleSAN": ["another.example"]});
    assert_eq!(pair.api.call(Method::POST, "settings/certs", Some(body)).await.status, 200);
    // The HTTPS connection ends with the rotation too; a browser would come back to the line it saw last.
    events.expect("stream.ended", |_| true).await;
    let again = pair.tail().await;
    line(&again, "asks for a new connection").await;
    eventually("the new connection", SOON, async || {
        let count =
            again.all().iter().filter(|(_, data)| data.to_string().contains("Connected to Console")).count();
        if count == 2 { Ok(()) } else { Err(again.all()) }
    })
    .await;
    assert_eq!(again.count("disconnected"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_comes_as_a_file_with_as_many_lines_as_wanted() {
    let pair = Pair::start().await;
    let path = format!("defenders/{}/log", pair.id);
    let answer = pair.api.call(Method::GET, &path, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-type").starts_with("text/plain"), "{answer:?}");
    let disposition = answer.header("content-disposition");
    assert!(disposition.starts_with("attachment; filename=\"defender-") && disposition.ends_with(".log\""));
    let first: Vec<&str> = answer.text.lines().collect();
    assert!(first.len() > 3, "{answer:?}");
    // What is kept for the Console may be there before it is read from standard error.
    eventually("the same lines", SOON, async || {
        let logged = pair.defender.program().lines();
        let is_same = logged.len() >= first.len() && logged.iter().zip(&first).all(|(a, b)| a == b);
        if is_same { Ok(()) } else { Err(logged) }
    })
    .await;
    let answer = pair.api.call(Method::GET, &format!("{path}?lines=2"), None).await;
    assert_eq!(answer.text.lines().count(), 2, "{answer:?}");
    for wrong in ["?lines=0", "?lines=100001", "?lines=x", "?colour=green"] {
        assert_eq!(pair.api.call(Method::GET, &format!("{path}{wrong}"), None).await.status, 400, "{wrong}");
    }
    let nobody = format!("defenders/{}/log", Uuid::new_v4());
    assert_eq!(pair.api.call(Method::GET, &nobody, None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_the_same_process_and_identity_with_no_report_lost() {
    let mut pair = Pair::start().await;
    let stored = async |api: &Api| -> u64 {
        let page = api.call(Method::GET, "metrics", None).await.text;
        let line = page.lines().find_map(|line| line.strip_prefix("garrison_reports_stored_total "));
        line.and_then(|number| number.parse().ok()).expect("a number")
    };
    let count = async |wanted: u64| {
        eventually("a host report of each process, each once", SOON, async || {
            let stored = stored(&pair.api).await;
            if stored == wanted { Ok(()) } else { Err(stored) }
        })
        .await;
    };
    count(1).await;
    let pid = pair.defender.program().pid();
    for round in 1..=3 {
        let mark = pair.defender.program().mark();
        assert_eq!(pair.restart().await.status, 204);
        let program = pair.defender.program();
        program.line_after(mark, "starts afresh as the Console has asked").await;
        program.line_after(mark, "Defender starts").await;
        program.line_after(mark, "Connected to Console").await;
        count(1 + round).await;
    }
    assert!(pair.defender.program_mut().is_running());
    assert_eq!(pair.defender.program().pid(), pid);
    let all = pair.api.get("defenders").await;
    assert_eq!(all.as_array().map(Vec::len), Some(1), "no second identity: {all}");
    assert_eq!(pair.defender.program().count_after(0, "did not stop in time"), 0);
    let audits = pair.api.get("audits?search=defender.restarted").await;
    assert_eq!(audits.as_array().map(Vec::len), Some(3), "{audits}");
    assert_eq!((&audits[0]["user"], &audits[0]["object"]), (&json!("admin"), &json!(pair.id)));
    // It is still stopped like any other.
    pair.defender.program().signal(Signal::SIGTERM);
    assert_eq!(pair.defender.program_mut().exit(SOON).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_restarted_in_one_call_and_each_has_its_outcome() {
    let pair = Pair::start().await;
    let second = TestDefender::of(&pair.console).await;
    let both = eventually("two Defenders", SOON, async || {
        let all = pair.api.get("defenders?connected=true").await;
        match all.as_array().map(Vec::as_slice) {
            Some([a, b]) => Ok([a["id"].clone(), b["id"].clone()]),
            _ => Err(all),
        }
    })
    .await;
    let [nobody, absent] = [Uuid::new_v4(), Uuid::new_v4()];
    let identity = pair.api.bundle().await;
    let (wire, _) = Wire::join(pair.console.defenders, &identity, absent).await.expect("welcome");
    wire.close().await;
    pair.api.defender(&absent.to_string(), "is gone", |shown| shown["connected"] == false).await;
    let marks = [pair.defender.program().mark(), second.program().mark()];
    let ids = json!({"ids": [both[0], nobody, both[1], absent, both[0]]});
    let answer = pair.api.call(Method::POST, "defenders/restart", Some(ids)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let done = answer.json();
    let ok: Vec<_> = done.as_array().into_iter().flatten().map(|one| one["ok"] == true).collect();
    assert_eq!(ok, [true, false, true, false], "{done}");
    assert!(done[1]["error"].as_str().is_some_and(|text| text.contains("no Defender has this id")), "{done}");
    assert!(done[3]["error"].as_str().is_some_and(|text| text.contains("not connected")), "{done}");
    assert!(done[0]["error"].is_null());
    for (program, mark) in [pair.defender.program(), second.program()].into_iter().zip(marks) {
        program.line_after(mark, "Defender starts").await;
        program.line_after(mark, "Connected to Console").await;
    }
    let many: Vec<Uuid> = (0..1001).map(|_| Uuid::new_v4()).collect();
    let answer = pair.api.call(Method::POST, "defenders/restart", Some(json!({ "ids": many }))).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_may_neither_restart_nor_read_logs_and_an_auditor_may_only_read() {
    let pair = Pair::start().await;
    let password = "long enough for a test 7";
    for (role, read, restart) in
        [("viewer", 403, 403), ("auditor", 200, 403), ("defender-manager", 403, 204), ("operator", 200, 204)]
    {
        let body = json!({"username": role, "password": password, "role": role});
        assert_eq!(pair.api.call(Method::POST, "users", Some(body)).await.status, 201);
        let user = Api::sign_in(pair.console.https, role, password).await;
        let path = |rest: &str| format!("defenders/{}/{rest}", pair.id);
        assert_eq!(user.call(Method::GET, &path("log"), None).await.status, read, "{role}");
        if read == 403 {
            assert_eq!(user.call(Method::GET, &path("log/stream"), None).await.status, 403);
        }
        let mark = pair.defender.program().mark();
        assert_eq!(user.call(Method::POST, &path("restart"), None).await.status, restart, "{role}");
        if restart == 204 {
            pair.defender.program().line_after(mark, "Connected to Console").await;
        }
        let bulk = user.call(Method::POST, "defenders/restart", Some(json!({"ids": []}))).await;
        assert_eq!(bulk.status, if restart == 403 { 403 } else { 200 }, "{role}");
    }
}

/// A Defender by hand, which answers as a test wants.
struct Fake {
    console: TestConsole,
    api: Api,
    identity: Identity,
    id: Uuid,
}

impl Fake {
    async fn new() -> Self {
        let console = TestConsole::start().await;
        let api = console.api().await;
        let identity = api.bundle().await;
        Self { console, api, identity, id: Uuid::new_v4() }
    }

    async fn join(&self) -> Wire {
        Wire::join(self.console.defenders, &self.identity, self.id).await.expect("welcome").0
    }

    /// Asks the Console for something that needs the Defender, which then does `act`.
    async fn ask(&self, method: Method, path: &str, act: impl AsyncFnOnce()) -> Answer {
        let path = format!("defenders/{}/{path}", self.id);
        let (answer, ()) = tokio::join!(self.api.call(method, &path, None), act());
        answer
    }

    /// As `ask`, for the log, answered by one result.
    async fn log(&self, wire: &mut Wire, ok: bool, body: Value) -> Answer {
        self.ask(Method::GET, "log", async || {
            let command = wire.expect("command").await;
            assert_eq!(command["name"], "log");
            wire.send(&json!({"type": "result", "id": command["id"], "ok": ok, "body": body})).await;
        })
        .await
    }
}

fn kind(answer: &Answer) -> String {
    let kind = answer.json()["type"].as_str().unwrap_or_default().to_owned();
    kind.trim_start_matches("urn:garrison:problem:").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_that_cannot_or_will_not_is_told_apart() {
    let fake = Fake::new().await;
    let mut wire = fake.join().await;
    for (ok, body, status, expected) in [
        (false, json!({"error": "unknown command log"}), 409, "defender-too-old"),
        (false, json!({"error": "not today"}), 409, "defender-refused"),
        (false, json!(null), 409, "defender-refused"),
        (true, json!(null), 502, "defender-answer"),
        (true, json!({"lines": "no"}), 502, "defender-answer"),
        (true, json!({"boot": Uuid::new_v4(), "lines": [], "next": 0, "more": true}), 502, "defender-answer"),
        (
            true,
            json!({"boot": Uuid::new_v4(), "lines": [{"n": 2, "text": ""}, {"n": 2, "text": ""}], "next": 2}),
            502,
            "defender-answer",
        ),
    ] {
        let answer = fake.log(&mut wire, ok, body.clone()).await;
        assert_eq!((answer.status, kind(&answer).as_str()), (status, expected), "{body}: {answer:?}");
    }
    let hostile =
        json!({"boot": Uuid::new_v4(), "next": 1, "lines": [{"n": 1, "text": "a\r\nb\u{1b}[2J<script>"}]});
    let answer = fake.log(&mut wire, true, hostile).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "a\\r\\nb\\u{1b}[2J<script>\n"));

    let answer = fake.ask(Method::POST, "restart", async || drop(wire)).await;
    assert!(matches!(kind(&answer).as_str(), "defender-gone" | "defender-not-connected"), "{answer:?}");
    fake.api.defender(&fake.id.to_string(), "is gone", |shown| shown["connected"] == false).await;
    let answer = fake.ask(Method::GET, "log", async || {}).await;
    assert_eq!((answer.status, kind(&answer).as_str()), (409, "defender-not-connected"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_that_does_not_answer_is_given_up_and_does_not_use_up_the_console() {
    let fake = Fake::new().await;
    let mut wire = fake.join().await;
    let begun = Instant::now();
    let path = format!("defenders/{}/log", fake.id);
    let calls = (0..40).map(|_| fake.api.call(Method::GET, &path, None));
    let reading = async {
        // Pings are answered, commands are not.
        let _ = wire.message_within(Duration::from_millis(1)).await;
        while begun.elapsed() < Duration::from_secs(11) {
            let _ = wire.message_within(Duration::from_secs(1)).await;
        }
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(calls), reading);
    let count = |wanted: &str| answers.iter().filter(|answer| kind(answer) == wanted).count();
    assert_eq!((count("defender-timed-out"), count("defender-busy")), (12, 28), "{answers:?}");
    assert!(answers.iter().all(|answer| matches!(answer.status, 503 | 504)));
    // There is always a place for a restart, and its answer is taken.
    let answer = fake
        .ask(Method::POST, "restart", async || {
            loop {
                let command = wire.expect("command").await;
                if command["name"] == "restart" {
                    let result = json!({"type": "result", "id": command["id"], "ok": true, "body": {}});
                    return wire.send(&result).await;
                }
            }
        })
        .await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_nobody_asked_for_are_dropped_and_a_flood_of_them_is_closed_with_4000() {
    let fake = Fake::new().await;
    let mut wire = fake.join().await;
    let unasked =
        || json!({"type": "result", "id": Uuid::new_v4(), "ok": true, "body": {"lines": [1, 2, 3]}});
    for _ in 0..100 {
        wire.send(&unasked()).await;
    }
    let page = json!({"boot": Uuid::new_v4(), "lines": [{"n": 1, "text": "x"}], "next": 1});
    assert_eq!(fake.log(&mut wire, true, page).await.status, 200, "a few do no harm");
    for _ in 0..1000 {
        wire.send(&unasked()).await;
    }
    let end = wire.end(SOON).await;
    assert!(matches!(end, End::Closed(4000, _)), "{end:?}");
}
