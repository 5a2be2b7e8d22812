//! Boards of notices: what their scripts are given, and what they answer.

use gateway_engine::state::Notice;
use redis::Value;

use super::reply::{Malformed, array, integer, text};
use super::script::{Request, SCRIPTS};

/// A century: what is to last longer is not told apart from it.
const LONGEST_MS: i64 = 3_155_760_000_000;

pub(super) fn post(board: &str, notice: &Notice) -> Request {
    let lasts = notice.lasts_ms.clamp(0, LONGEST_MS);
    Request::script(&SCRIPTS.post, &key(board)).arg(&notice.name).arg(&notice.text).arg(lasts)
}

pub(super) fn read(board: &str) -> Request {
    Request::script(&SCRIPTS.notices, &key(board))
}

fn key(board: &str) -> String {
    format!("gw:n:{board}")
}

pub(super) fn notices(value: &Value) -> Result<Vec<Notice>, Malformed> {
    array(value)?
        .chunks(3)
        .map(|notice| match notice {
            [name, words, left] => {
                Ok(Notice { name: text(name)?.into(), text: text(words)?.into(), lasts_ms: integer(left)? })
            }
            _ => Err(Malformed),
        })
        .collect()
}
