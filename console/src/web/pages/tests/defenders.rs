//! The list of Defenders: hostile texts, roles, filters and pages of it.

use axum::http::StatusCode;
use protocol::message::Hello;
use uuid::Uuid;

use super::*;
use crate::refusals::{Cause, Peer};

async fn page(api: &Api, path: &str, username: &str) -> String {
    let response = api.call(browse(path, username)).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    text_of(response).await
}

#[tokio::test]
async fn what_a_host_calls_itself_is_text_wherever_it_is_shown() {
    let api = Api::new().await;
    let hostile = "<script>alert(1)</script>\"'&'; DROP TABLE defenders;-- \u{202e}gpj.exe";
    let id = api.connect_as(hostile, "<b onload=x>").await;
    for path in ["/defenders", "/defenders?search=%3Cscript%3E", "/"] {
        let page = page(&api, path, "admin").await;
        for raw in ["<script>alert", "<b onload", "\"'&'"] {
            assert!(!page.contains(raw), "{path}: {page}");
        }
    }
    let list = page(&api, "/defenders", "admin").await;
    assert!(
        list.contains("&#60;script&#62;alert(1)") && list.contains(&format!("href=\"/defenders/{id}\"")),
        "{list}"
    );
    // Whatever turns the writing round does so within its own element only.
    assert!(list.contains("<a class=\"text\" dir=\"auto\""), "{list}");
}

#[tokio::test]
async fn a_viewer_sees_the_list_and_nothing_that_changes_it() {
    let api = Api::new().await;
    api.add_user("eve", "viewer").await;
    api.connect("web-1").await;
    let (admin, eve) = (page(&api, "/defenders", "admin").await, page(&api, "/defenders", "eve").await);
    for change in ["decommission", "data-pick", "Install a Defender", "data-call"] {
        assert!(admin.contains(change), "{change}");
        assert!(!eve.contains(change), "{change}: {eve}");
    }
    assert!(eve.contains("web-1") && !eve.contains("href=\"/audit\""), "{eve}");
}

#[tokio::test]
async fn filters_sorts_and_pages_are_in_the_links_and_empty_fields_do_not_count() {
    let api = Api::new().await;
    for number in 0..60 {
        api.connect(&format!("web-{number:02}")).await;
    }
    let list =
        page(&api, "/defenders?search=WEB&connected=&version=&sort=hostname&order=desc", "admin").await;
    let position = |name: &str| list.find(&format!(">{name}<")).unwrap_or(usize::MAX);
    assert!(position("web-59") < position("web-58") && position("web-09") == usize::MAX);
    assert!(list.contains("1–50 of 60") && list.contains("aria-sort=\"descending\""), "{list}");
    let next = "/defenders?search=WEB&#38;sort=hostname&#38;order=desc&#38;offset=50";
    assert!(list.contains(&format!("rel=\"next\" href=\"{next}\"")), "{list}");
    assert!(list.contains("/api/v1/defenders?search=WEB&#38;sort=hostname&#38;order=desc&#38;format=csv"));
    let second = page(&api, &next.replace("&#38;", "&"), "admin").await;
    assert!(
        second.contains("51–60 of 60") && second.contains("rel=\"prev\"") && !second.contains("rel=\"next\"")
    );
    let none = page(&api, "/defenders?search=nothing-like-it", "admin").await;
    assert!(none.contains("No Defender matches") && none.contains("none of 0"));
}

#[tokio::test]
async fn a_wrong_parameter_is_a_page_that_names_it() {
    let api = Api::new().await;
    let response = api.call(browse("/defenders?limit=1001", "admin")).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(text_of(response).await.contains("Limit is at most 1000."));
    let response = api.call(browse("/defenders?colour=blue", "admin")).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_a_defender_the_page_tells_how_to_install_one() {
    let api = Api::new().await;
    for path in ["/", "/defenders"] {
        let page = page(&api, path, "admin").await;
        assert!(page.contains("id=\"no-defenders\"") && page.contains("href=\"/deploy\""), "{page}");
    }
}

#[tokio::test]
async fn who_was_refused_is_shown_with_the_cause_and_the_next_step_to_everybody() {
    let api = Api::new().await;
    api.add_user("eve", "viewer").await;
    let list = page(&api, "/defenders", "eve").await;
    assert!(!list.contains("refused-title"), "nobody was");
    let here = "192.0.2.7".parse().expect("an address");
    let now = time::OffsetDateTime::now_utc();
    let peer = Peer { hostname: Some("<b>web-9".to_owned()), ..Peer::default() };
    api.state.refusals.note(Cause::TooOld, "it is of <last> year", here, peer, now);
    // With and without Defenders in the list.
    for _ in 0..2 {
        let list = page(&api, "/defenders", "eve").await;
        for text in [
            "Too old",
            "it is of &#60;last&#62; year",
            "&#60;b&#62;web-9",
            "192.0.2.7",
            "version of the Defender",
        ] {
            assert!(list.contains(text), "{text}: {list}");
        }
        api.connect("web-1").await;
    }
    let feed = page(&api, "/", "eve").await;
    assert!(feed.contains("was refused") && feed.contains("href=\"/defenders#refused\""), "{feed}");
    let response = api.call(get_as("defenders/refused?search=WEB-9", "eve")).await;
    assert_eq!(
        (response.status(), &response.headers()["total-count"]),
        (StatusCode::OK, &"1".parse().expect("a value"))
    );
    assert!(text_of(response).await.contains("\"cause\":\"too-old\""));
}

#[tokio::test]
async fn a_defender_with_a_copy_is_marked_in_the_list_and_on_its_page() {
    let api = Api::new().await;
    let id = api.connect("web-1").await;
    let record = api.state.fleet.rows().remove(0).record.clone();
    let here = "192.0.2.7".parse().expect("an address");
    for (boot, hostname) in [(1, "web-1"), (2, "<i>copy"), (1, "web-1")] {
        let mut hello = Hello {
            defender: record.defender.clone(),
            boot: Uuid::from_u128(boot),
            certificate: record.certificate.clone(),
            authorities: Vec::new(),
            time: Some(time::OffsetDateTime::now_utc() + time::Duration::minutes(192)),
        };
        hostname.clone_into(&mut hello.defender.hostname);
        let arrival = api.state.fleet.arrive(&hello, here, time::OffsetDateTime::now_utc());
        std::mem::forget(arrival.expect("welcome"));
    }
    assert!(page(&api, "/defenders", "admin").await.contains("Has a copy"));
    let shown = page(&api, &format!("/defenders/{id}"), "admin").await;
    assert!(shown.contains("&#60;i&#62;copy") && shown.contains("delete its data directory"), "{shown}");
    assert!(shown.contains("3 hours ahead of the Console"), "{shown}");
    assert!(page(&api, "/", "admin").await.contains("has a copy"));
}
