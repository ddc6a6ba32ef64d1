//! Judged pieces of what was asked for. Each function takes the text of one flag and answers with the piece, or with
//! what is wrong and the accepted form.
//!
//! ```text
//! mod.rs       names, paths, pairs KEY=VALUE
//! address.rs   hosts, HOST[:PORT], URLs
//! pods.rs      quantities, images, tolerations
//! ```

pub(crate) mod address;
pub(crate) mod pods;
#[cfg(test)]
mod tests;

pub use address::{HostPort, PublicUrl, San};

/// A DNS label: the name of a Namespace or of a file of a Secret's owner.
pub(crate) fn label_name(text: &str) -> Result<String, String> {
    if is_label(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no name; write 1 to 63 lower-case letters, digits and - (not at an end)"))
    }
}

/// A DNS subdomain: the name of most objects.
pub(crate) fn object_name(text: &str) -> Result<String, String> {
    if text.len() <= 253 && text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no name; write 1 to 253 lower-case letters, digits, - and . (not at an end)"
        ))
    }
}

/// The name of a cluster, shown beside its Defenders.
pub(crate) fn cluster_name(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len()) && is_label_value(text);
    if fits { Ok(text.to_owned()) } else { Err(format!("{text:?} is no name; write {LABEL_VALUE}")) }
}

/// An absolute path without `.` and `..`.
pub(crate) fn path(text: &str) -> Result<String, String> {
    let parts = text.strip_prefix('/').map(|rest| rest.split('/'));
    let fits = parts.is_some_and(|mut parts| parts.all(|part| part != "." && part != ".."))
        && !text.contains("//")
        && !text.contains(':')
        && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no path; write an absolute one without . and .. and without a colon"))
    }
}

/// `KEY=VALUE` of a label, or of a node's label.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let form = || format!("{text:?} is no label; write KEY=VALUE, for example team=security");
    let (key, value) = text.split_once('=').ok_or_else(form)?;
    if is_key(key) && is_label_value(value) {
        Ok((key.to_owned(), value.to_owned()))
    } else {
        Err(format!("{}; a value is {LABEL_VALUE}", form()))
    }
}

/// `KEY=VALUE` of an annotation.
pub(crate) fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if is_key(key) && !value.chars().any(char::is_control) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => {
            Err(format!("{text:?} is no annotation; write KEY=VALUE, for example example.com/team=security"))
        }
    }
}

/// `KEY=VALUE` of a CSI driver's attribute.
pub(crate) fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !text.chars().any(char::is_control) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => {
            Err(format!("{text:?} is no attribute; write KEY=VALUE, for example secretProviderClass=console"))
        }
    }
}

/// Whether this can be the key of a label or annotation: `[DOMAIN/]NAME`.
pub(crate) fn is_key(text: &str) -> bool {
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    let domain_fits = domain.is_none_or(|domain| domain.len() <= 253 && domain.split('.').all(is_label));
    domain_fits && !name.is_empty() && is_label_value(name)
}

/// Whether this can be the value of a label; it may be empty.
pub(crate) fn is_label_value(text: &str) -> bool {
    let ends_fit = |end: Option<char>| end.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && ends_fit(text.chars().next())
        && ends_fit(text.chars().next_back())
}

/// Whether this is a DNS label in lower case.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

const LABEL_VALUE: &str = "at most 63 letters, digits, - _ and . (not at an end)";
