//! Lists of Defenders: sorted, filtered, as CSV; the host report; many at once.

use super::*;

async fn text_of(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(body.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn lists_are_sorted_and_filtered_by_what_the_parameters_name() {
    let api = Api::new().await;
    for (hostname, version) in [("b", "0.9.0"), ("c", "0.10.0"), ("a", "0.9.0")] {
        api.connect_as(hostname, version).await;
    }
    for (query, expected) in [
        ("", ["a", "b", "c"].as_slice()),
        ("order=desc", &["c", "b", "a"]),
        ("sort=version", &["a", "b", "c"]),
        ("sort=version&order=desc", &["c", "b", "a"]),
        ("version=0.9.0", &["a", "b"]),
        ("os=Debian&arch=x86_64&source=self-signed&expires_within=30d&limit=1", &["a"]),
        ("source=custom", &[]),
        ("os=%27%20OR%201%3D1%20--", &[]),
        ("version=%00", &[]),
        ("search=%25", &[]),
        ("search=0.10", &["c"]),
        ("search=%C3%A4%", &[]),
    ] {
        let list = json_of(api.get(&format!("defenders?{query}")).await).await;
        let names: Vec<_> = list.as_array().expect("a list").iter().map(|d| d["hostname"].clone()).collect();
        assert_eq!(names, expected, "{query}");
    }
    for bad in [
        "sort=password",
        "sort=hostname;DROP",
        "sort=",
        "order=up",
        "source=x",
        "expires_within=soon",
        "expires_within=-1d",
        "format=xml",
        "version=a&version=b",
        "search=%ff",
        "os=%C3%28",
    ] {
        let response = api.get(&format!("defenders?{bad}")).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
}

#[tokio::test]
async fn the_whole_list_comes_as_csv_and_hostile_names_stay_text() {
    let api = Api::new().await;
    for hostname in ["=HYPERLINK(\"http://evil\")", "a,\"b\"", "<script>", "plain"] {
        api.connect(hostname).await;
    }
    let response = api.get("defenders?format=csv&limit=1&offset=2&sort=hostname&order=desc").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
    let text = text_of(response).await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("id,hostname,version,connected,"), "{text}");
    assert!(lines[1].contains(",plain,0.1.0,true,"), "{text}");
    assert!(
        text.contains(",\"'=HYPERLINK(\"\"http://evil\"\")\",") && text.contains(",\"a,\"\"b\"\"\","),
        "{text}"
    );

    let mut request = get_as("defenders/names?search=plain", "admin");
    request.headers_mut().insert(header::ACCEPT, "text/csv".parse().expect("valid"));
    assert_eq!(text_of(api.call(request).await).await, "hostname\r\nplain\r\n");
}

#[tokio::test]
async fn the_filters_know_what_they_can_be_set_to() {
    let api = Api::new().await;
    for version in ["0.1.0", "0.1.0", "0.2.0"] {
        api.connect_as("web", version).await;
    }
    let facets = json_of(api.get("defenders/facets").await).await;
    assert_eq!((&facets["connected"], &facets["disconnected"]), (&json!(3), &json!(0)));
    let versions = json!([{"value": "0.1.0", "count": 2}, {"value": "0.2.0", "count": 1}]);
    assert_eq!(facets["versions"], versions);
}

#[tokio::test]
async fn a_host_report_is_shown_once_there_is_one() {
    let api = Api::new().await;
    let id = api.connect("web").await;
    let path = format!("defenders/{id}/host");
    let problem = assert_problem(api.get(&path).await, StatusCode::NOT_FOUND, "not-found").await;
    assert!(problem["detail"].as_str().expect("a text").contains("report"), "{problem}");
    let insert =
        "INSERT INTO reports (defender, seq, kind, received_at, body) VALUES ($1, $2, 'host', 0, $3)";
    for (seq, body) in [(1_i64, "{\"cores\":1}"), (2, "{\"cores\":2}")] {
        let query = sqlx::query(insert).bind(id.to_string()).bind(seq).bind(body);
        query.execute(api.state.store.pool()).await.expect("inserts");
    }
    let shown = json_of(api.get(&path).await).await;
    assert_eq!(shown, json!({"received_at": "1970-01-01T00:00:00Z", "report": {"cores": 2}}));
    let unknown = format!("defenders/{}/host", Uuid::new_v4());
    assert_problem(api.get(&unknown).await, StatusCode::NOT_FOUND, "not-found").await;
}

#[tokio::test]
async fn many_are_decommissioned_in_one_call_each_with_an_entry_in_the_audit_log() {
    let api = Api::new().await;
    let (one, two, stays) = (api.connect("one").await, api.connect("two").await, api.connect("stays").await);
    let nobody = Uuid::new_v4();
    let body = json!({ "ids": [two, nobody, one, two] });
    let answer = json_of(api.admin(Method::POST, "defenders/decommission", body).await).await;
    let done = |id: Uuid| json!({"id": id, "ok": true, "error": null});
    assert_eq!((&answer[0], &answer[2]), (&done(two), &done(one)));
    assert_eq!(
        (&answer[1]["id"], &answer[1]["ok"], &answer[3]),
        (&json!(nobody), &json!(false), &Value::Null)
    );
    assert!(answer[1]["error"].is_string());
    let left = json_of(api.get("defenders").await).await;
    assert_eq!((left.as_array().map(Vec::len), &left[0]["id"]), (Some(1), &json!(stays)));
    let audits = json_of(api.get("audits?search=decommission").await).await;
    assert_eq!(audits.as_array().map(Vec::len), Some(2), "{audits}");

    api.add_user("eve", "viewer").await;
    let mut request = get_as("defenders/decommission", "eve");
    *request.method_mut() = Method::POST;
    assert_problem(api.call(request).await, StatusCode::FORBIDDEN, "forbidden").await;
    let many: Vec<_> = (0..1001).map(|_| Uuid::new_v4()).collect();
    for bad in [json!({ "ids": many }), json!({ "ids": ["x"] }), json!({}), json!({ "ids": [], "x": 1 })] {
        let response = api.admin(Method::POST, "defenders/decommission", bad).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
}
