//! Quantities, images and tolerations, as Kubernetes writes them.

use k8s_openapi::api::core::v1::Toleration;

/// An amount of processors, memory or disk, and its value for comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Amount {
    pub(crate) text: String,
    pub(crate) value: f64,
}

/// Reads `100m`, `1`, `256Mi`, `10Gi`.
pub(crate) fn amount(text: &str) -> Result<Amount, String> {
    let fault = || {
        format!(
            "{text:?} is no amount; write a number and perhaps m, k, M, G, T, Ki, Mi, Gi or Ti, for example 500m or 2Gi"
        )
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_number = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit());
    let unit = text.get(digits.len()..).and_then(|unit| UNITS.iter().find(|(name, _)| *name == unit));
    match (digits.parse::<f64>(), unit) {
        (Ok(number), Some((_, factor))) if is_number && number > 0.0 && number.is_finite() => {
            Ok(Amount { text: text.to_owned(), value: number * factor })
        }
        _ => Err(fault()),
    }
}

/// `[REGISTRY/]NAME:TAG`, `[REGISTRY/]NAME@sha256:DIGEST`.
pub(crate) fn image(text: &str) -> Result<String, String> {
    let form = "write [REGISTRY/]NAME:TAG or [REGISTRY/]NAME@sha256:DIGEST";
    if text.contains("://") {
        return Err(format!("{text:?} has a scheme; {form}"));
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let digest_fits = digest.is_none_or(|digest| {
        digest.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
    });
    let last = name.rsplit('/').next().unwrap_or_default();
    let tag = last.split_once(':').map(|(_, tag)| tag);
    let repository = tag.map_or(name, |tag| name.strip_suffix(tag).unwrap_or(name).trim_end_matches(':'));
    if tag.is_none() && digest.is_none() {
        return Err(format!("{text:?} has no tag, so that nobody can say which version runs; {form}"));
    }
    if digest_fits && tag.is_none_or(is_tag) && is_repository(repository) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no image; {form}"))
    }
}

/// `HOST[:PORT][/PATH]` that images are pulled from.
pub(crate) fn registry(text: &str) -> Result<String, String> {
    if is_repository(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no registry; write HOST[:PORT][/PATH] without a scheme, for example registry.example.com/mirror"
        ))
    }
}

/// `KEY[=VALUE][:EFFECT]`, or `*` for every taint.
pub(crate) fn toleration(text: &str) -> Result<Toleration, String> {
    let fault = || {
        let effects = EFFECTS.join(", ");
        Err(format!(
            "{text:?} is no toleration; write KEY[=VALUE][:EFFECT] with an effect of {effects}, or *"
        ))
    };
    if text == "*" {
        return Ok(Toleration { operator: Some("Exists".to_owned()), ..Toleration::default() });
    }
    let (taint, effect) = match text.rsplit_once(':') {
        Some((taint, effect)) => (taint, Some(effect)),
        None => (text, None),
    };
    let (key, value) = match taint.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (taint, None),
    };
    let fits = super::is_key(key)
        && value.is_none_or(super::is_label_value)
        && effect.is_none_or(|effect| EFFECTS.contains(&effect));
    if !fits {
        return fault();
    }
    Ok(Toleration {
        key: Some(key.to_owned()),
        operator: Some(if value.is_some() { "Equal" } else { "Exists" }.to_owned()),
        value: value.map(str::to_owned),
        effect: effect.map(str::to_owned),
        toleration_seconds: None,
    })
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && !tag.starts_with(['.', '-'])
}

/// `[HOST[:PORT]/]PATH`; only the host may have upper-case letters and a port.
fn is_repository(text: &str) -> bool {
    let mut parts = text.split('/');
    let first = parts.next().unwrap_or_default();
    let (host, port) = match first.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (first, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let part_fits = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    text.len() <= 255 && port_fits && part_fits(&host.to_ascii_lowercase()) && parts.all(part_fits)
}

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

const UNITS: [(&str, f64); 12] = [
    ("", 1.0),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
];
