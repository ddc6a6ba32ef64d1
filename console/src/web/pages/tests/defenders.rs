//! The list of Defenders: hostile texts, roles, filters and pages of it.

use axum::http::StatusCode;

use super::*;
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
