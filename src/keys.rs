//! Keys that a function of the program's gives. A question goes out as a message; the JS layer calls the function and replies
//! by the callback's id.

use std::sync::Weak;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;

use super::calls::Calls;
use super::protocol::message;
use gateway_model::json;
use gateway_providers::KeySource;

/// The function for the key of one entry.
pub struct KeyFunction {
    pub calls: Weak<Calls>,
    /// The JS layer's number for the program's handlers.
    pub logger: u32,
    pub entry: String,
}

#[derive(Deserialize)]
struct Thrown {
    message: String,
}

const STOPS: &str = "the JavaScript thread is stopping";

impl KeySource for KeyFunction {
    fn ask(&self) -> BoxFuture<'static, Result<String, String>> {
        let (calls, logger, entry) = (self.calls.clone(), self.logger, self.entry.clone());
        let ask = async move {
            let reply = {
                let calls = calls.upgrade().ok_or(STOPS)?;
                let (callback, reply) = calls.pending.expect_answer();
                calls.outbox.send(&message::KeyWanted { logger, callback, entry });
                reply
            };
            match reply.await.map_err(|_| STOPS)? {
                Ok(key) => json::parse(key.as_bytes()).map_err(|_| "it gave no key".to_owned()),
                Err(thrown) => {
                    let thrown = json::parse::<Thrown>(thrown.json.as_bytes());
                    Err(thrown.map_or_else(|_| "it failed".to_owned(), |thrown| thrown.message))
                }
            }
        };
        ask.boxed()
    }
}
