//! Tests of `material.rs`, `certificate.rs` and `key.rs`: what is taken, what is refused and with which words.

mod accepted;
mod refused;
mod unfit;
