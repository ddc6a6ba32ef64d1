//! axe-core, which `cargo xtask test` installs below `target/`, looks at a page as people with assistive technology
//! meet it.

use super::{Page, target};

/// What it finds against WCAG 2.0 to 2.2, levels A and AA: rule, element, what to do.
pub(super) async fn violations(page: &Page) -> Vec<String> {
    let place = target("axe/node_modules/axe-core/axe.min.js");
    let script = std::fs::read_to_string(&place)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask test` installs it", place.display()));
    if page.eval("typeof axe").await == "undefined" {
        page.eval(&format!("{script}\n;true")).await;
    }
    let found = page.eval(RUN).await;
    let found = found.as_array().expect("a list");
    found.iter().map(|violation| violation.as_str().unwrap_or_default().to_owned()).collect()
}

/// The size of targets is a rule of 2.2 that axe-core leaves out unless told.
const RUN: &str = "axe.run(document, {
    runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] },
    rules: { 'target-size': { enabled: true } },
    resultTypes: ['violations'],
}).then(({ violations }) => violations.flatMap(({ id, nodes }) =>
    nodes.map(node => `${id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`)))";
