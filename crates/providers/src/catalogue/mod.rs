//! The OpenAI-compatible services: one row of data each.
//!
//! `docs/providers.md` shows them; a test holds it against the rows.

mod china;
mod global;
mod local;
mod service;

use super::build::KeyHeader;
use super::family::Family;
use super::openai::Dialect;
use service::{Service, row};

/// All rows.
fn services() -> impl Iterator<Item = &'static Service> {
    [global::SERVICES, china::SERVICES, local::SERVICES].into_iter().flatten()
}

/// A family for each row.
pub fn describe_services() -> impl Iterator<Item = Family> {
    services().map(Service::describe)
}

/// How a service departs from OpenAI.
#[cfg(test)]
pub fn dialect_of(family: &str) -> Option<Dialect> {
    services().find(|service| service.family == family).map(|service| service.dialect)
}

#[cfg(test)]
mod tests;
