mod answers;
mod streams;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::*;
use crate::cache::{Notes, Tenant};
use futures::future::BoxFuture;
use gateway_model::EventSource;
use gateway_model::Outcome;
use gateway_model::error::ErrorKind;
use gateway_model::{Answer, AnswerBuilder, ChatRequest, StreamEvent};

/// Far longer than any of it takes: what is not there by then has been lost.
const LOST: Duration = Duration::from_secs(20);

fn key(number: usize) -> CacheKey {
    CacheKey::of_chat(&ChatRequest::default(), None, &number.to_string(), Tenant::default(), Notes::Ignored)
}

fn answer(content: &str) -> Arc<Outcome> {
    let answer = Answer { content: content.to_owned(), ..Answer::default() };
    Arc::new(Outcome { answer, ..Outcome::default() })
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let result = runtime.block_on(async { timeout(LOST, test).await });
    result.unwrap_or_else(|_| panic!("a wake-up was lost"))
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Tells when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn new() -> (Self, impl Fn() -> bool) {
        let flag = Arc::new(AtomicBool::new(false));
        (Self(flag.clone()), move || flag.load(SeqCst))
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn lead<S: Completion>(joined: Joined<S>) -> Leader<S> {
    match joined {
        Joined::Leader(lead) => lead,
        Joined::Follower(_) => panic!("somebody leads already"),
    }
}

fn follow<S: Completion>(joined: Joined<S>) -> Follower<S> {
    match joined {
        Joined::Follower(follow) => follow,
        Joined::Leader(_) => panic!("nobody leads"),
    }
}
