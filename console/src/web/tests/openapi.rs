//! The description and the routes say the same.

use std::collections::BTreeSet;

use super::*;

const METHODS: [Method; 7] =
    [Method::DELETE, Method::GET, Method::OPTIONS, Method::PATCH, Method::POST, Method::PUT, Method::TRACE];

async fn description(api: &Api) -> Value {
    let request = Request::get("/api/v1/openapi.json").body(Body::empty()).expect("valid");
    let response = api.call(request).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    json_of(response).await
}

/// Every operation: method, path, what the description says.
fn operations(description: &Value) -> Vec<(Method, String, Value)> {
    let paths = description["paths"].as_object().expect("an object");
    let operations = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().expect("an object").iter().map(move |(method, operation)| {
            let method = method.to_uppercase().parse().expect("a method");
            (method, path.clone(), operation.clone())
        })
    });
    operations.collect()
}

fn request(method: &Method, path: &str) -> Request<Body> {
    let path = path
        .replace("{id}", &Uuid::nil().to_string())
        .replace("{username}", "nobody")
        .replace("{name}", "nothing");
    Request::builder().method(method).uri(format!("/api/v1{path}")).body(Body::empty()).expect("valid")
}

#[tokio::test]
async fn every_route_is_described_and_every_description_has_its_route() {
    let api = Api::new().await;
    let mut routes = BTreeSet::new();
    for (path, _) in table() {
        let path = format!("/{path}");
        for method in &METHODS {
            if api.call(request(method, &path)).await.status() != StatusCode::METHOD_NOT_ALLOWED {
                routes.insert(format!("{method} {path}"));
            }
        }
    }
    assert!(routes.contains("DELETE /users/{username}") && routes.len() > 20, "{routes:?}");
    let described: BTreeSet<_> = operations(&description(&api).await)
        .into_iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    assert_eq!(routes, described);
}

#[tokio::test]
async fn only_the_calls_of_strangers_are_described_as_open_and_all_others_refuse_them() {
    let api = Api::new().await;
    let mut open = BTreeSet::new();
    for (method, path, operation) in operations(&description(&api).await) {
        let status = api.call(request(&method, &path)).await.status();
        let is_open = operation["security"] == json!([{}]);
        let takes_credentials = path == "/authenticate" || path == "/signup";
        assert_eq!(status != StatusCode::UNAUTHORIZED, is_open, "{method} {path}: {status}");
        assert_eq!(operation["responses"]["401"].is_object(), !is_open || path == "/authenticate", "{path}");
        assert!(!takes_credentials || is_open);
        if is_open {
            open.insert(path);
        }
    }
    let expected = ["/_ping", "/authenticate", "/certs/ca.pem", "/openapi.json", "/signup"];
    assert_eq!(open.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn operations_are_complete_and_references_lead_somewhere() {
    let api = Api::new().await;
    let description = description(&api).await;
    assert!(description["openapi"].as_str().expect("a text").starts_with("3.1"));
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(description["servers"][0]["url"], "/api/v1");
    let schemes = &description["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["bearer"]["scheme"], &schemes["basic"]["scheme"]),
        (&json!("bearer"), &json!("basic"))
    );
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&description) {
        assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{method} {path}");
        let responses = operation["responses"].as_object().expect("an object");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
        for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
        }
        let id = operation["operationId"].as_str().expect("a text").to_owned();
        assert!(ids.insert(id.clone()), "{id} twice");
    }
    let text = description.to_string();
    let references: BTreeSet<_> =
        text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 5, "{references:?}");
    for reference in references {
        assert!(description.pointer(reference).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn paths_that_are_no_text_are_a_problem_too() {
    let api = Api::new().await;
    for (path, status) in [("users/%ff", StatusCode::BAD_REQUEST), ("users/a%00b", StatusCode::NOT_FOUND)] {
        let response = api.admin(Method::DELETE, path, json!({})).await;
        let code = if status == StatusCode::NOT_FOUND { "not-found" } else { "bad-request" };
        assert_problem(response, status, code).await;
    }
}

#[tokio::test]
async fn the_roles_of_each_call_are_those_that_are_let_in() {
    let api = Api::new().await;
    let roles = ["auditor", "defender-manager", "operator", "viewer"];
    let mut tokens = Vec::new();
    for role in roles {
        api.add_user(role, role).await;
        tokens.push((role, api.token(role).await));
    }
    let mut wrong = Vec::new();
    for (method, path, operation) in operations(&description(&api).await) {
        let Some(listed) = operation["x-roles"].as_array() else { continue };
        assert!(listed.contains(&json!("administrator")), "{method} {path}");
        for (role, token) in &tokens {
            let mut call = request(&method, &path);
            let value = format!("Bearer {token}").parse().expect("ASCII");
            call.headers_mut().insert(header::AUTHORIZATION, value);
            let is_refused = api.call(call).await.status() == StatusCode::FORBIDDEN;
            if is_refused == listed.contains(&json!(role)) {
                wrong.push(format!("{method} {path} as {role}, who is refused: {is_refused}"));
            }
        }
    }
    assert!(wrong.is_empty(), "see openapi/roles.rs: {wrong:#?}");
}

#[tokio::test]
async fn a_parameter_that_a_call_does_not_take_is_a_400_and_strangers_still_hear_401() {
    let api = Api::new().await;
    api.state.ready.set();
    for (method, path, operation) in operations(&description(&api).await) {
        let asks =
            operation["parameters"].as_array().is_some_and(|all| all.iter().any(|p| p["in"] == "query"));
        let uri = format!("{}?nonsense=1", request(&method, &path).uri());
        let is_open = operation["security"] == json!([{}]);
        let stranger = Request::builder().method(&method).uri(&uri).body(Body::empty()).expect("valid");
        let expected = if is_open { StatusCode::BAD_REQUEST } else { StatusCode::UNAUTHORIZED };
        assert_eq!(api.call(stranger).await.status(), expected, "{method} {path}");
        let mut known = get_as(uri.trim_start_matches("/api/v1/"), "admin");
        *known.method_mut() = method.clone();
        // An id that nobody has is a 404 with parameters that are taken, before they are looked at or after.
        let status = api.call(known).await.status();
        assert!(status == StatusCode::BAD_REQUEST || asks, "{method} {path}: {status}");
    }
    let ping = Request::get("/api/v1/_ping?").body(Body::empty()).expect("valid");
    assert_eq!(api.call(ping).await.status(), StatusCode::OK);
}
