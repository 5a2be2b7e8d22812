//! What went wrong, in words that say what to do.

use std::time::Duration;

use gateway_engine::state::StoreErrorKind;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// A failure of one call or dial.
#[derive(Debug)]
pub(super) struct Trouble {
    pub kind: StoreErrorKind,
    /// The connection is gone: the next one may do.
    pub is_closed: bool,
    /// Redis could answer no call now, whatever it asks for.
    pub is_general: bool,
    pub message: String,
}

const BACK: &str =
    "it is dialled again in the background; check that Redis runs and can be reached from here";

impl Trouble {
    pub fn late(bound: Duration) -> Self {
        Self::away(format!("Redis did not answer within {} ms; {BACK}", bound.as_millis()))
    }

    pub fn no_connection(bound: Duration) -> Self {
        Self::away(format!("there was no connection to Redis within {} ms; {BACK}", bound.as_millis()))
    }

    pub fn away(message: String) -> Self {
        Self { kind: StoreErrorKind::Away, is_closed: false, is_general: true, message }
    }

    /// Redis answers, and cannot.
    pub fn failed(message: String) -> Self {
        Self { kind: StoreErrorKind::Failed, is_closed: false, is_general: false, message }
    }

    pub fn of(error: &RedisError) -> Self {
        let general = |message| Self { is_general: true, ..Self::failed(message) };
        // A cluster's nodes say themselves what is wrong with the cluster.
        let code = error.code().unwrap_or_default();
        match (error.kind(), code) {
            (ErrorKind::AuthenticationFailed, _) | (_, "NOAUTH" | "WRONGPASS") => general(format!(
                "Redis refuses the login ({error}); check the user name and password in the URL"
            )),
            (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => {
                general(format!("Redis takes no writes ({error}); the URL has to name the primary"))
            }
            (ErrorKind::Server(ServerErrorKind::NoPerm), _) => Self::failed(format!(
                "Redis does not permit this to the user in the URL ({error}); it needs EVAL, EVALSHA, SCAN, GET, SET, UNLINK and \
                 the keys gw:*"
            )),
            (_, "OOM") => Self::failed(format!(
                "Redis has no memory left ({error}); give it more (maxmemory) or let it evict"
            )),
            (_, "MISCONF") => {
                Self::failed(format!("Redis cannot save its data ({error}); see its log and its disk"))
            }
            (
                ErrorKind::Server(
                    ServerErrorKind::BusyLoading
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::Moved
                    | ServerErrorKind::Ask,
                )
                | ErrorKind::ClusterConnectionNotFound,
                _,
            )
            | (_, "BUSY") => Self::away(format!("Redis cannot answer now ({error}); {BACK}")),
            (ErrorKind::Server(_) | ErrorKind::Extension, _) => Self::failed(format!(
                "Redis refuses a command ({error}); it has to be version 5 or newer, or Valkey"
            )),
            _ => Self {
                is_closed: error.is_unrecoverable_error() || error.is_connection_dropped(),
                ..Self::away(format!("Redis cannot be reached ({error}); {BACK}"))
            },
        }
    }
}
