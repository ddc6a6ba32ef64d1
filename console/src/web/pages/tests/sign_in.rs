//! Signing in and out with forms, the first run, and what hostile forms come to.

use super::*;
use crate::store::audits::Chain;

const FORM: &str = "application/x-www-form-urlencoded";

fn post(path: &str, body: impl Into<Body>, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::post(path).header(header::CONTENT_TYPE, FORM);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(body.into()).expect("valid")
}

fn token(response: &Response<Body>) -> Option<String> {
    let cookie = response.headers().get(header::SET_COOKIE)?.to_str().expect("ASCII");
    let (token, attributes) = cookie.strip_prefix("__Host-garrison=")?.split_once("; ")?;
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict");
    Some(token.to_owned())
}

async fn status_of(api: &Api, path: &str, token: &str) -> StatusCode {
    let request = Request::get(path).header(header::COOKIE, format!("__Host-garrison={token}"));
    api.call(request.body(Body::empty()).expect("valid")).await.status()
}

const RIGHT: &str = "username=admin&password=correct+horse";

#[tokio::test]
async fn a_form_signs_in_and_leads_on_and_another_one_signs_out() {
    let api = Api::new().await;
    let response = api.call(post("/login", format!("{RIGHT}&next=%2Faudit%3Fuser%3Dx"), &[])).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()[header::LOCATION], "/audit?user=x");
    let token = token(&response).expect("a cookie");
    assert_eq!(status_of(&api, "/", &token).await, StatusCode::OK);
    assert_eq!(
        status_of(&api, "/login?next=/audit", &token).await,
        StatusCode::SEE_OTHER,
        "signed in already"
    );

    let cookie = format!("__Host-garrison={token}");
    for foreign in [vec![], vec![("sec-fetch-site", "cross-site")], vec![("origin", "https://evil.example")]]
    {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(foreign);
        assert_eq!(api.call(post("/logout", "", &headers)).await.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(status_of(&api, "/", &token).await, StatusCode::OK, "still signed in");
    let without = api.call(post("/logout", "", &[("sec-fetch-site", "cross-site")])).await;
    assert_eq!(without.status(), StatusCode::FORBIDDEN);
    assert!(!without.headers().contains_key(header::SET_COOKIE), "the browser would forget the cookie");
    let own = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    for _ in 0..2 {
        let response = api.call(post("/logout", "", &own)).await;
        assert_eq!(response.headers()[header::LOCATION], "/login");
        let forgotten = response.headers()[header::SET_COOKIE].to_str().expect("ASCII");
        assert!(forgotten.starts_with("__Host-garrison=; ") && forgotten.ends_with("Max-Age=0"));
    }
    assert_eq!(status_of(&api, "/", &token).await, StatusCode::SEE_OTHER);
    let log = api.call(get_as("audits", "admin")).await;
    let log = text_of(log).await;
    assert!(log.contains("user.signed-out") && log.contains("session") && !log.contains(&token), "{log}");
}

#[tokio::test]
async fn signing_in_again_takes_a_new_token_and_ends_the_one_shown() {
    let api = Api::new().await;
    let first = token(&api.call(post("/login", RIGHT, &[])).await).expect("a cookie");
    let planted = format!("__Host-garrison={}", "A".repeat(43));
    let second = token(&api.call(post("/login", RIGHT, &[("cookie", &planted)])).await).expect("a cookie");
    assert!(!planted.contains(&second), "a token that somebody planted is never taken over");
    let cookie = format!("__Host-garrison={first}");
    let third = token(&api.call(post("/login", RIGHT, &[("cookie", &cookie)])).await).expect("a cookie");
    for (token, status) in [(first, StatusCode::SEE_OTHER), (second, StatusCode::OK), (third, StatusCode::OK)]
    {
        assert_eq!(status_of(&api, "/", &token).await, status);
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_page_that_keeps_the_name_and_guessing_has_to_wait() {
    let api = Api::new().await;
    let wrong = "username=admin%22%3E%3Cscript%3E&password=secret+guess&next=%2Faudit";
    for attempt in 0..6 {
        let response = api.call(post("/login", wrong, &[])).await;
        let expected = if attempt < 5 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(response.status(), expected);
        assert!(!response.headers().contains_key(header::SET_COOKIE));
        assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE), "no dialog of the browser");
        assert_eq!(response.headers().contains_key(header::RETRY_AFTER), attempt == 5);
        let page = text_of(response).await;
        assert!(page.contains("admin&#34;&#62;&#60;script&#62;\"") && !page.contains("secret"), "{page}");
        assert!(page.contains("value=\"/audit\""), "{page}");
        let text = if attempt < 5 { "ask an administrator" } else { "Try again in 1 second." };
        assert!(page.contains(text), "{page}");
    }
}

#[tokio::test]
async fn nobody_is_led_elsewhere_or_signed_in_by_another_site() {
    let api = Api::new().await;
    for next in
        ["//evil.example", "/%5Cevil.example", "https://evil.example", "/%0D%0ASet-Cookie:x", "%2F%09%2Fx"]
    {
        let response = api.call(post("/login", format!("{RIGHT}&next={next}"), &[])).await;
        assert_eq!(response.headers()[header::LOCATION], "/", "{next}");
    }
    for foreign in [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "null")] {
        let response = api.call(post("/login", RIGHT, &[foreign])).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{foreign:?}");
        assert!(!response.headers().contains_key(header::SET_COOKIE));
    }
    let link = Request::get("/login?next=/audit").header("sec-fetch-site", "cross-site");
    let response = api.call(link.body(Body::empty()).expect("valid")).await;
    assert_eq!(response.headers()["refresh"], "0; url=/login?next=%2Faudit", "asks for the cookie again");
}

#[tokio::test]
async fn forms_that_cannot_be_read_are_4xx_and_leave_no_trace() {
    let api = Api::new().await;
    let before = api.state.store.verify_audits().await.expect("works");
    let samples: [(Vec<u8>, StatusCode); 9] = [
        (b"username=admin&password=%ff".to_vec(), StatusCode::BAD_REQUEST),
        (b"username=admin&password=\xff".to_vec(), StatusCode::BAD_REQUEST),
        (b"username=admin&username=eve&password=x".to_vec(), StatusCode::BAD_REQUEST),
        (b"username=admin&password=x&role=administrator".to_vec(), StatusCode::BAD_REQUEST),
        (b"{\"username\":\"admin\"}".to_vec(), StatusCode::BAD_REQUEST),
        (vec![b'a'; 16 * 1024 + 1], StatusCode::PAYLOAD_TOO_LARGE),
        (vec![b'a'; 2 * 1024 * 1024], StatusCode::PAYLOAD_TOO_LARGE),
        (b"username=%27+OR+1%3D1+--&password=x".to_vec(), StatusCode::UNAUTHORIZED),
        (b"".to_vec(), StatusCode::UNAUTHORIZED),
    ];
    for (body, status) in samples {
        let shown = String::from_utf8_lossy(&body[..body.len().min(50)]).into_owned();
        let response = api.call(post("/login", body, &[])).await;
        assert_eq!(response.status(), status, "{shown}");
        assert!(!response.headers().contains_key(header::SET_COOKIE));
        assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY), "{shown}");
    }
    let json = Request::post("/login").header(header::CONTENT_TYPE, "application/json");
    let response = api.call(json.body(Body::from("{}")).expect("valid")).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    for path in ["/login/../audit", "/login/%2e%2e/audit", "/..%2f..%2fetc/passwd"] {
        let request = Request::get(path).header(header::ACCEPT, "text/html").body(Body::empty());
        assert_eq!(api.call(request.expect("valid")).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(api.state.store.verify_audits().await.expect("works"), before);
    assert!(matches!(before, Chain::Unbroken { entries: 1 }));
}

#[tokio::test]
async fn the_first_run_makes_an_administrator_who_is_signed_in_and_is_over_then() {
    let api = Api::without_users().await;
    let setup_token = api.state.access.setup_token();
    assert_eq!(api.call(browse("/login", "nobody")).await.headers()[header::LOCATION], "/setup");
    let form = async |path: &str| text_of(api.call(stranger(path)).await).await;
    assert!(form("/setup").await.contains("Setup token for the first administrator:"));
    for (body, status, text) in [
        (
            format!("username=root&password=correct+horse&setup_token=x{setup_token}"),
            403,
            "not the setup token",
        ),
        (format!("username=root&password=short&setup_token={setup_token}"), 400, "8 to 1024 characters"),
        (format!("username=%3Cb%3E&password=correct+horse&setup_token={setup_token}"), 400, "user name has"),
        (format!("username=root&password=correct+horse&setup_token={setup_token}&x=1"), 400, "a field"),
    ] {
        let response = api.call(post("/setup", body, &[])).await;
        assert_eq!(response.status().as_u16(), status);
        let page = text_of(response).await;
        assert!(page.contains(text) && !page.contains(&setup_token) && !page.contains("<b>"), "{page}");
    }
    let body = format!("username=root&password=correct+horse&setup_token=+{setup_token}%0A");
    let foreign = api.call(post("/setup", body.clone(), &[("sec-fetch-site", "cross-site")])).await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let response = api.call(post("/setup", body.clone(), &[])).await;
    assert_eq!(response.headers()[header::LOCATION], "/");
    assert_eq!(status_of(&api, "/", &token(&response).expect("a cookie")).await, StatusCode::OK);
    let late = api.call(post("/setup", body, &[])).await;
    assert_eq!(late.headers()[header::LOCATION], "/login");
    assert_eq!(api.call(stranger("/setup")).await.headers()[header::LOCATION], "/login");
}
