//! Checks of the settings that say where state and records live.

use serde_json::Value;

use super::fields::{A_COUNT, A_STRING, Fields, is_count};
use gateway_model::config::{WhenFull, words};

const A_STATE: &str = "must be \"memory:\", \"sqlite:PATH\", or a URL that begins with redis://, rediss://, \
                       redis+cluster:// or rediss+cluster://";
const A_DATABASE: &str = "must be \"sqlite:PATH\" or a URL that begins with postgres:// or postgresql://";

/// What state can be kept in, by the beginning of its address.
const STATES: [&str; 5] = ["sqlite:", "redis://", "rediss://", "redis+cluster://", "rediss+cluster://"];
const DATABASES: [&str; 3] = ["sqlite:", "postgres://", "postgresql://"];

pub fn stores(settings: &mut Fields<'_, '_>) {
    let begins = |value: &Value, beginnings: &[&str]| {
        let has = |beginning: &&str| {
            value.as_str().is_some_and(|text| text.len() > beginning.len() && text.starts_with(*beginning))
        };
        beginnings.iter().any(has)
    };
    settings.optional("state", |value| value == "memory:" || begins(value, &STATES), A_STATE);
    settings.optional("database", |value| begins(value, &DATABASES), A_DATABASE);
    settings.optional("journal", is_path, A_STRING);
    if let Some(mut retention) = settings.optional_object("retention") {
        retention.optional("rowsDays", is_count, A_COUNT);
        retention.optional("maxBytes", is_count, A_COUNT);
    }
    if let Some(mut records) = settings.optional_object("records") {
        records.optional("queue", is_count, A_COUNT);
        records.optional_one_of("whenFull", words::<WhenFull>());
    }
}

fn is_path(value: &Value) -> bool {
    value.as_str().is_some_and(|path| !path.is_empty())
}
