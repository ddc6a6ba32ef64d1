//! Names that Defenders use and a custom server certificate does not have. It is warned of; nothing is refused for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use certs::Material;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Meeting;
use crate::store::StoreError;

/// A name that is not in the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MissingName {
    /// Name or address.
    pub name: String,
    /// How many Defenders reached this Console by it when they last came, since the Console started.
    pub defenders: u64,
    /// How many install bundles and files of deployment have it that can still be used.
    pub exported: u64,
}

/// What was warned of for which certificate.
#[derive(Debug, Default)]
pub(super) struct Warned(BTreeMap<String, BTreeSet<String>>);

impl Meeting {
    /// The names that Defenders use, connected or yet to come, and `material` does not have; at most a hundred, those
    /// that most use first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn missing_names(&self, material: &Material) -> Result<Vec<MissingName>, StoreError> {
        let exported = self.0.store.exported_names(OffsetDateTime::now_utc()).await?;
        let is_missing = |name: &str| !material.is_for(name);
        let fleet = &self.0.fleet;
        let mut names: BTreeMap<String, MissingName> = BTreeMap::new();
        let mut add = |name: String, defenders: u64, exported: u64| {
            let one = names.entry(name.clone()).or_insert(MissingName { name, defenders: 0, exported: 0 });
            one.defenders += defenders;
            one.exported += exported;
        };
        for (name, count) in self.0.dialed.count(is_missing, |id| !fleet.is_decommissioned(id)) {
            add(name, count, 0);
        }
        for (name, count) in exported.into_iter().filter(|(name, _)| is_missing(name)) {
            add(name, 0, count);
        }
        let mut names: Vec<_> = names.into_values().collect();
        names.sort_by(|a, b| (b.defenders, b.exported, &a.name).cmp(&(a.defenders, a.exported, &b.name)));
        names.truncate(MOST_SHOWN);
        Ok(names)
    }

    /// Warns of names that are missing in `material`, once for each certificate and name.
    pub(super) async fn warn_of_names(&self, material: &Material, warned: &mut Warned) {
        match self.missing_names(material).await {
            Ok(missing) => warned.warn(&material.leaf().sha256, &missing),
            Err(error) => tracing::warn!(
                error = lifecycle::logging::error_chain(&error),
                "Cannot compare the custom server certificate with the names that Defenders use"
            ),
        }
    }
}

impl Warned {
    fn warn(&mut self, sha256: &str, missing: &[MissingName]) {
        if !self.0.contains_key(sha256) && self.0.len() >= MOST_CERTIFICATES {
            self.0.clear();
        }
        let told = self.0.entry(sha256.to_owned()).or_default();
        let before = told.len();
        told.extend(missing.iter().map(|one| one.name.clone()));
        if told.len() == before {
            return;
        }
        let names: Vec<String> = missing.iter().take(FEW).map(ToString::to_string).collect();
        let more = missing.len().saturating_sub(FEW);
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        let count = |count: fn(&MissingName) -> u64| missing.iter().map(count).sum::<u64>();
        tracing::warn!(
            defenders = count(|one| one.defenders),
            exported = count(|one| one.exported),
            sha256,
            remedy = REMEDY,
            "Names that Defenders use are not in the custom console defender server certificate: {}{more}",
            names.join(", ")
        );
    }
}

impl fmt::Display for MissingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What to do about missing names.
pub const REMEDY: &str = "have the certificate issued with these names too, or have those Defenders expect one that \
    it has (--console-server-name); until then they cannot connect anew";

/// As many as a log line names.
const FEW: usize = 10;
const MOST_SHOWN: usize = 100;
const MOST_CERTIFICATES: usize = 16;
