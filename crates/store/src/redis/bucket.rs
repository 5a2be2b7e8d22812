//! Token buckets: what their script is given, and what it answers.

use gateway_engine::state::{Take, Taken};
use redis::Value;

use super::reply::{Malformed, array, integer, text};
use super::script::{Request, SCRIPTS};

/// `None`: nothing is to be taken.
pub(super) fn request(take: &Take) -> Option<Request> {
    if take.buckets.is_empty() {
        return None;
    }
    let request = Request::script(&SCRIPTS.take, &format!("gw:b:{}", take.key));
    Some(
        take.buckets
            .iter()
            .fold(request, |request, (per_minute, tokens)| request.arg(*per_minute).arg(*tokens)),
    )
}

pub(super) fn taken(value: &Value) -> Result<Taken, Malformed> {
    match array(value)? {
        [] => Ok(Taken::All),
        [bucket, wait] => {
            let bucket = usize::try_from(integer(bucket)?).map_err(|_| Malformed)?;
            let wait: f64 = text(wait)?.parse().map_err(|_| Malformed)?;
            Ok(Taken::Nothing { bucket, wait_ms: wait as u64 })
        }
        _ => Err(Malformed),
    }
}
