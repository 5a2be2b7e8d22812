//! A usage row's values as both databases keep them.

use gateway_engine::records::UsageRow;
use uuid::Uuid;

/// No call has more tokens: sums stay below what an integer holds.
const MOST_TOKENS: u64 = 1_000_000_000_000;

/// The bytes of a row's UUID; of an id that is none, its text.
pub(crate) fn id(row: &UsageRow) -> Vec<u8> {
    match Uuid::try_parse(&row.request_id) {
        Ok(id) => id.as_bytes().to_vec(),
        Err(_) => row.request_id.as_bytes().to_vec(),
    }
}

pub(crate) fn at_ms(row: &UsageRow) -> i64 {
    row.at_ms.max(0)
}

pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn tokens(count: u64) -> i64 {
    integer(count.min(MOST_TOKENS))
}
