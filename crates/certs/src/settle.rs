//! When to look: pure.
