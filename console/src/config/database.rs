//! The address of a PostgreSQL database, which holds a password.

use std::fmt;
use std::str::FromStr;

use sqlx::any::AnyConnectOptions;
use zeroize::Zeroizing;

/// A `postgres://` URL. `Display` and `Debug` show it without its password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    url: Zeroizing<String>,
    shown: String,
}

impl DatabaseUrl {
    /// The URL with its password, for the driver only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.url
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    /// Errors do not repeat the text: it may hold a password.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "write postgres://USER:PASSWORD@HOST[:PORT]/DATABASE";
        let (scheme, _) = text.split_once("://").ok_or_else(|| format!("it is no URL; {form}"))?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(format!(
                "only PostgreSQL is supported; {form}, or leave it out for the embedded database"
            ));
        }
        let url = text
            .parse::<AnyConnectOptions>()
            .map_err(|_| format!("it cannot be read as a URL; {form}, with special characters as %XX"))?
            .database_url;
        let user = match url.username() {
            "" => String::new(),
            user => format!("{user}@"),
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let shown = format!("{scheme}://{user}{}{port}{}", url.host_str().unwrap_or_default(), url.path());
        Ok(Self { url: Zeroizing::new(text.to_owned()), shown })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
