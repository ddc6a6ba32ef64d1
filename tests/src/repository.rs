//! Where the repository is: its documents and deployment files are under test, and `target/` has what tests run beside.

use std::path::Path;

/// The top level of the repository.
///
/// # Panics
/// Never: this package lies below it.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("below the top level")
}
