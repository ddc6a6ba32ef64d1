use axum::http::StatusCode;

use super::model::DESCRIPTION;
use crate::web::pages::tests::{browse, text_of};
use crate::web::tests::Api;

#[test]
fn every_call_has_an_example_and_every_link_leads_to_a_schema() {
    let calls: Vec<_> = DESCRIPTION.groups.iter().flat_map(|group| &group.calls).collect();
    assert!(calls.len() > 30);
    for call in &calls {
        assert!(call.curl.contains(&call.path) && !call.about.is_empty(), "{}", call.anchor);
        let links = call.body.iter().chain(call.answers.iter().filter_map(|answer| answer.content.as_ref()));
        for link in links.filter_map(|content| content.shape.link.as_ref()) {
            assert!(DESCRIPTION.shapes.iter().any(|named| &named.name == link), "{link}");
        }
    }
    let mut anchors: Vec<_> = calls.iter().map(|call| &call.anchor).collect();
    anchors.sort();
    anchors.dedup();
    assert_eq!(anchors.len(), calls.len(), "anchors are unique");
}

#[tokio::test]
async fn the_page_is_small_filters_without_a_script_and_asks_nobody_else() {
    let api = Api::new().await;
    let response = api.call(browse("/api", "admin")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let page = text_of(response).await;
    assert!(page.contains("GET /api/v1/defenders") && page.contains("schema-Problem"));
    assert!(!page.contains("<style") && !page.contains(" style="));
    let few = text_of(api.call(browse("/api?search=delete+backups", "admin")).await).await;
    assert!(few.contains("id=\"backups_remove\"") && !few.contains("id=\"users_list\""));
    let none = text_of(api.call(browse("/api?search=%3Cscript%3Ealert(1)", "admin")).await).await;
    assert!(none.contains("No call matches") && !none.contains("<script>alert"));
}
