//! Tests of `commands.rs`.

use lifecycle::Tasks;
use protocol::{MAX_MESSAGE_BYTES, Payload, ToConsole};

use super::*;

struct Desk {
    journal: Journal,
    boot: Uuid,
    restart: CancellationToken,
    orders: mpsc::Sender<Command>,
    answers: mpsc::Receiver<Answer>,
}

impl Desk {
    fn new() -> Self {
        let (journal, boot, restart) = (Journal::new(4 << 20), Uuid::new_v4(), CancellationToken::new());
        let ((orders, receiver), (sender, answers)) = (mpsc::channel(64), mpsc::channel(64));
        let commands = Commands::new(journal.clone(), boot, restart.clone());
        Tasks::new().spawn("commands", async move {
            commands.run(receiver, sender).await;
        });
        Self { journal, boot, restart, orders, answers }
    }

    async fn order(&self, name: &str, args: &str) -> Uuid {
        let id = Uuid::new_v4();
        let args = RawValue::from_string(args.to_owned()).expect("JSON");
        self.orders.send(Command { id, name: name.to_owned(), args }).await.expect("taken");
        id
    }

    async fn ask(&mut self, name: &str, args: &str) -> Answer {
        let id = self.order(name, args).await;
        let answer = self.answers.recv().await.expect("an answer");
        assert_eq!(answer.result.id, id);
        answer
    }

    async fn page(&mut self, args: &str) -> LogPage {
        let answer = self.ask(LOG, args).await;
        assert!(answer.result.ok, "{}", answer.result.body);
        serde_json::from_str(answer.result.body.get()).expect("a page")
    }
}

fn numbers(page: &LogPage) -> Vec<u64> {
    page.lines.iter().map(|line| line.n).collect()
}

#[tokio::test]
async fn the_log_is_read_from_the_end_and_then_on() {
    let mut desk = Desk::new();
    (1..=5).for_each(|n| desk.journal.add(&format!("line {n}")));
    let page = desk.page(r#"{"lines":2}"#).await;
    assert_eq!((numbers(&page), page.next, page.more, page.boot), (vec![4, 5], 5, false, desk.boot));
    assert_eq!(page.lines[0].text, "line 4");
    let boot = desk.boot;
    desk.journal.add("line 6");
    let page = desk.page(&format!(r#"{{"after":5,"boot":"{boot}"}}"#)).await;
    assert_eq!((numbers(&page), page.next), (vec![6], 6));
    let page = desk.page(&format!(r#"{{"after":99,"boot":"{boot}"}}"#)).await;
    assert_eq!((numbers(&page), page.next), (vec![], 6));
    let page = desk.page(&format!(r#"{{"after":5,"boot":"{}"}}"#, Uuid::new_v4())).await;
    assert_eq!(numbers(&page), [1, 2, 3, 4, 5, 6], "numbers of another process mean nothing here");
    assert_eq!(numbers(&desk.page("null").await).len(), 6);
}

#[tokio::test]
async fn a_reader_who_waits_hears_the_next_line_at_once_and_nothing_when_none_comes() {
    let mut desk = Desk::new();
    desk.journal.add("first");
    desk.order(LOG, r#"{"after":1,"wait_seconds":30}"#).await;
    let begun = std::time::Instant::now();
    // Answered meanwhile: nothing waits for the one who waits.
    assert_eq!(numbers(&desk.page("null").await), [1]);
    desk.journal.add("second");
    let answer = desk.answers.recv().await.expect("an answer");
    let page: LogPage = serde_json::from_str(answer.result.body.get()).expect("a page");
    assert_eq!(numbers(&page), [2]);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(numbers(&desk.page(r#"{"after":2,"wait_seconds":0}"#).await), Vec::<u64>::new());
}

#[tokio::test]
async fn a_page_fits_a_message_whatever_the_lines_hold_and_all_pages_hold_all() {
    let mut desk = Desk::new();
    for n in 0..500 {
        let noise = lifecycle::random::bytes::<4000>();
        let text: String = noise.iter().map(|byte| char::from(b'!' + byte % 90)).collect();
        desk.journal.add(&format!("{n} {text}{}", "\"\\".repeat(1000)));
    }
    let (mut after, mut seen, boot) = (0, 0, desk.boot);
    loop {
        let answer = desk.ask(LOG, &format!(r#"{{"after":{after},"boot":"{boot}"}}"#)).await;
        let page: LogPage = serde_json::from_str(answer.result.body.get()).expect("a page");
        let json = match protocol::encode(&ToConsole::Result(answer.result)).expect("JSON") {
            Payload::Text(text) => text.len(),
            Payload::Binary(data) => zstd_length(&data),
        };
        assert!(json < MAX_MESSAGE_BYTES, "{json}");
        seen += page.lines.len();
        after = page.next;
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, 500);
}

fn zstd_length(data: &[u8]) -> usize {
    let message: ToConsole =
        protocol::codec::decode_binary(data, MAX_MESSAGE_BYTES).expect("within the limit");
    let ToConsole::Result(result) = message else { panic!("not a result") };
    result.body.get().len() + 100
}

#[tokio::test]
async fn a_restart_follows_its_answer_and_unknown_commands_are_refused() {
    let mut desk = Desk::new();
    let answer = desk.ask(RESTART, "null").await;
    assert!(answer.result.ok && answer.then == Then::Restart);
    assert!(!desk.restart.is_cancelled(), "not before the answer has gone out");
    Commands::new(desk.journal.clone(), desk.boot, desk.restart.clone()).answered(answer.then);
    assert!(desk.restart.is_cancelled());
    for (name, args, error) in [
        ("fly", "{}", "unknown command fly"),
        (LOG, "\"all\"", "the arguments of log cannot be read"),
        (LOG, r#"{"lines":-1}"#, "the arguments of log cannot be read"),
    ] {
        let answer = desk.ask(name, args).await;
        let failure: Failure = serde_json::from_str(answer.result.body.get()).expect("a failure");
        assert!(!answer.result.ok && failure.error.starts_with(error), "{failure:?}");
    }
}

#[tokio::test]
async fn more_commands_than_it_can_carry_out_are_refused_at_once() {
    let mut desk = Desk::new();
    for _ in 0..MOST_AT_ONCE {
        desk.order(LOG, r#"{"after":0,"wait_seconds":30}"#).await;
    }
    let answer = desk.ask(LOG, "null").await;
    assert!(!answer.result.ok && answer.result.body.get().contains("try again"), "{}", answer.result.body);
    desk.journal.add("a line");
    for _ in 0..MOST_AT_ONCE {
        assert!(desk.answers.recv().await.expect("an answer").result.ok);
    }
}
