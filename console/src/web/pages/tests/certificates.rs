//! The page of certificates: what runs, why files were refused, how to rotate.

use axum::http::StatusCode;

use super::*;

#[tokio::test]
async fn each_channel_shows_its_certificate_its_issuer_and_its_source() {
    let api = Api::new().await;
    let response = api.call(browse("/certificates", "admin")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let page = text_of(response).await;
    for tls in [&api.state.https, &api.state.defender] {
        let live = tls.current();
        let leaf = live.material.leaf();
        assert!(page.contains(&leaf.sha256) && page.contains(&leaf.serial), "{page}");
        for name in &leaf.sans {
            assert!(page.contains(&format!(">{name}<")), "{name}");
        }
    }
    let ca = api.state.defender.current().material.ca_facts().next().expect("a CA").sha256.clone();
    assert!(page.contains(&ca) && page.contains("data-source=\"self-signed\""), "{page}");
}

#[tokio::test]
async fn a_directory_that_was_not_there_at_the_start_is_said_to_be_so() {
    let api = Api::new().await;
    let page = text_of(api.call(browse("/certificates", "admin")).await).await;
    assert!(page.contains("<code>/nowhere</code> was not there when this Console started"), "{page}");
}
