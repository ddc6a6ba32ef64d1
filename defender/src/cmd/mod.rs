//! The commands that are not `run`, one file each.

pub mod certs_check;
pub mod doctor;
pub mod export;
pub mod install_service;
pub mod status;
