//! The page at `/`: what this is and where the API is. No script, no style, nothing from elsewhere.

use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse};

pub(super) async fn home() -> impl IntoResponse {
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(HOME))
}

const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HOME: &str = concat!(
    r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Garrison Console</title>
</head>
<body>
<main>
<h1>Garrison Console</h1>
<p>Version "#,
    env!("CARGO_PKG_VERSION"),
    r#". Defenders connect to this Console; programs use its API below <code>/api/v1</code>.</p>
<ul>
<li><a href="/api/v1/_ping">/api/v1/_ping</a>: whether the Console is ready</li>
<li><a href="/api/v1/certs/ca.pem">/api/v1/certs/ca.pem</a>: the Console's own certificate authority</li>
<li><code>POST /api/v1/authenticate</code> with <code>{"username":…,"password":…}</code>: a token for the rest</li>
<li><a href="/api/v1/defenders">/api/v1/defenders</a>: the Defenders</li>
<li><a href="/api/v1/certificates">/api/v1/certificates</a>: what the listeners run on</li>
</ul>
</main>
</body>
</html>
"#
);
