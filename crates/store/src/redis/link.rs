//! The link to Redis: calls that are bounded in time, a breaker, and a connection that is dialled again for ever.
//!
//! redis's own connection manager dials again after a connection was closed, and not after one that no longer answers.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use gateway_engine::state::{StoreError, StoreErrorKind};
use redis::{RedisResult, ServerErrorKind, Value};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::address::Address;
use super::announce::{Announcer, Say};
use super::dial::{Connection, Dialer};
use super::script::Request;
use super::supervisor;
use super::trouble::Trouble;

/// How long a call may take, with all that it waits for.
pub(super) const BOUND: Duration = Duration::from_millis(150);

/// Failures in a row after which calls fail at once.
const FAILURES: u32 = 3;

/// How things stand with the connection.
#[derive(Clone)]
pub(super) enum Standing {
    /// Nobody has called yet.
    Idle,
    /// Calls wait, as it may be there in a moment.
    Dialling,
    Up {
        connection: Connection,
        /// Which connection this is.
        generation: u64,
    },
    /// Calls fail at once.
    Away(StoreError),
    Closed,
}

pub(super) struct Shared {
    pub address: Address,
    pub dialer: Dialer,
    standing: watch::Sender<Standing>,
    announcer: Announcer,
    /// In a row.
    failures: AtomicU32,
    /// The connection that has answered a call.
    answered: AtomicU64,
    /// Why there is no connection.
    last_dial: Mutex<Option<StoreError>>,
    /// A call met what a new connection may cure.
    pub trouble: Notify,
    in_flight: AtomicUsize,
}

pub(super) struct Link {
    shared: Arc<Shared>,
    supervisor: OnceLock<AbortHandle>,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.abort();
        }
    }
}

impl Link {
    /// Dials with the first call: there may be no Redis yet, and no runtime.
    pub fn new(address: Address, dialer: Dialer, say: Say) -> Self {
        let shared = Shared {
            address,
            dialer,
            standing: watch::Sender::new(Standing::Idle),
            announcer: Announcer::new(say),
            failures: AtomicU32::new(0),
            answered: AtomicU64::new(0),
            last_dial: Mutex::new(None),
            trouble: Notify::new(),
            in_flight: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared), supervisor: OnceLock::new() }
    }

    pub fn name(&self) -> &str {
        &self.shared.address.name
    }

    pub fn is_away(&self) -> bool {
        matches!(&*self.shared.standing.borrow(), Standing::Away(_) | Standing::Closed)
    }

    /// Sends all requests at once; the replies are in their order. `repeatable`: what is asked for may be done twice, so that a
    /// connection that was lost on the way is no failure yet.
    pub async fn send(&self, requests: &[Request], repeatable: bool) -> Result<Vec<Value>, StoreError> {
        let shared = &self.shared;
        let _under_way = shared.under_way();
        let deadline = Instant::now() + BOUND;
        let mut may_repeat = repeatable;
        loop {
            let (connection, generation) = self.connection(deadline).await?;
            let trouble = match within(deadline, answers(&connection, requests)).await {
                Some(Ok(answers)) => {
                    shared.succeeded(generation);
                    return Ok(answers);
                }
                Some(Err(error)) => Trouble::of(&error),
                None => Trouble::late(BOUND),
            };
            let is_closed = trouble.is_closed;
            let error = shared.failed(generation, trouble);
            if !(is_closed && std::mem::take(&mut may_repeat)) {
                return Err(error);
            }
        }
    }

    /// The connection, or a wait until there is one.
    async fn connection(&self, deadline: Instant) -> Result<(Connection, u64), StoreError> {
        let shared = &self.shared;
        if let Some(settled) = shared.settled() {
            return settled;
        }
        if self.supervisor.get().is_none() {
            shared.standing.send_if_modified(|standing| {
                let is_first = matches!(standing, Standing::Idle);
                if is_first {
                    *standing = Standing::Dialling;
                    let task = tokio::spawn(supervisor::supervise(shared.clone()));
                    let _ = self.supervisor.set(task.abort_handle());
                }
                is_first
            });
        }
        let mut changes = shared.standing.subscribe();
        let is_settled = async {
            let settled = |standing: &Standing| !matches!(standing, Standing::Idle | Standing::Dialling);
            let _ = changes.wait_for(settled).await;
        };
        within(deadline, is_settled).await;
        shared.settled().unwrap_or_else(|| Err(shared.waited_in_vain()))
    }

    /// Lets calls that are under way end, and takes no others.
    pub async fn close(&self) {
        self.shared.standing.send_replace(Standing::Closed);
        let latest = Instant::now() + 2 * BOUND;
        while self.shared.in_flight.load(Ordering::Acquire) > 0 && Instant::now() < latest {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.abort();
        }
    }
}

async fn answers(connection: &Connection, requests: &[Request]) -> RedisResult<Vec<Value>> {
    match requests {
        [request] => Ok(vec![answer(connection, request).await?]),
        // All run to their end, also where one fails.
        _ => join_all(requests.iter().map(|request| answer(connection, request))).await.into_iter().collect(),
    }
}

/// A script that Redis does not know is sent with its text, which also makes it known.
async fn answer(connection: &Connection, request: &Request) -> RedisResult<Value> {
    let nodes = request.nodes.as_ref();
    match connection.run(&request.command, nodes).await {
        Err(error) if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript) => {
            match request.with_text() {
                Some(command) => connection.run(&command, nodes).await,
                None => Err(error),
            }
        }
        answer => answer,
    }
}

/// What a future gives until a deadline.
pub(super) async fn within<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    tokio::select! {
        biased;
        output = &mut future => Some(output),
        () = sleep_until(deadline) => {
            // A process that was held up finds the timer due before it has read the answer that came in time.
            for _ in 0..3 {
                tokio::task::yield_now().await;
                if let Some(output) = (&mut future).now_or_never() {
                    return Some(output);
                }
            }
            None
        }
    }
}

struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

impl Shared {
    fn under_way(&self) -> UnderWay<'_> {
        self.in_flight.fetch_add(1, Ordering::Acquire);
        UnderWay(&self.in_flight)
    }

    /// `None`: a call has to wait.
    fn settled(&self) -> Option<Result<(Connection, u64), StoreError>> {
        let error = match &*self.standing.borrow() {
            Standing::Idle | Standing::Dialling => return None,
            Standing::Up { connection, generation } => return Some(Ok((connection.clone(), *generation))),
            Standing::Away(error) => error.clone(),
            Standing::Closed => return Some(Err(StoreError::away(&self.address.name, "it was closed"))),
        };
        self.announcer.count();
        self.announcer.away(&error);
        Some(Err(error))
    }

    fn succeeded(&self, generation: u64) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.answered.load(Ordering::Relaxed) != generation {
            self.answered.store(generation, Ordering::Relaxed);
            self.announcer.back(&self.address.name);
        }
    }

    /// Whether this connection has answered a call.
    pub fn has_answered(&self, generation: u64) -> bool {
        self.answered.load(Ordering::Relaxed) == generation
    }

    /// Whether the last call succeeded.
    pub fn is_well(&self) -> bool {
        self.failures.load(Ordering::Relaxed) == 0 && matches!(&*self.standing.borrow(), Standing::Up { .. })
    }

    fn error(&self, trouble: &Trouble) -> StoreError {
        let message = self.address.redact(&trouble.message);
        StoreError { store: self.address.name.clone(), kind: trouble.kind, message }
    }

    /// A call failed over a connection.
    fn failed(&self, generation: u64, trouble: Trouble) -> StoreError {
        let error = self.error(&trouble);
        if !trouble.is_general {
            return error;
        }
        self.announcer.count();
        let is_this = |standing: &Standing| matches!(standing, Standing::Up { generation: up, .. } if *up == generation);
        // Failures of a connection that was replaced say nothing about the one that is there.
        if is_this(&self.standing.borrow()) {
            self.fails(&error, is_this);
            if trouble.is_closed {
                self.lost(generation);
            }
            self.trouble.notify_one();
        }
        error
    }

    fn last_dial(&self) -> MutexGuard<'_, Option<StoreError>> {
        self.last_dial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waited_in_vain(&self) -> StoreError {
        let error = self.last_dial().clone().unwrap_or_else(|| self.error(&Trouble::no_connection(BOUND)));
        self.announcer.count();
        self.fails(&error, |standing| matches!(standing, Standing::Dialling));
        error
    }

    pub fn dial_failed(&self, trouble: Trouble) {
        let error = self.error(&trouble);
        *self.last_dial() = Some(error.clone());
        if trouble.kind == StoreErrorKind::Failed {
            // It answers: waiting for a better answer is of no use.
            self.failures.store(FAILURES, Ordering::Relaxed);
        }
        self.fails(&error, |standing| !matches!(standing, Standing::Closed));
    }

    /// One more failure; after some in a row the store is away, where things stand as they did for who failed.
    fn fails(&self, error: &StoreError, stands: impl Fn(&Standing) -> bool) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 < FAILURES {
            return;
        }
        let is_away = self.standing.send_if_modified(|standing| {
            let stands = stands(standing);
            if stands {
                *standing = Standing::Away(error.clone());
            }
            stands
        });
        if is_away {
            self.announcer.away(error);
        }
    }

    /// There is a new connection.
    pub fn up(&self, connection: Connection, generation: u64) {
        *self.last_dial() = None;
        self.failures.store(0, Ordering::Relaxed);
        self.standing.send_if_modified(|standing| {
            let is_open = !matches!(standing, Standing::Closed);
            if is_open {
                *standing = Standing::Up { connection, generation };
            }
            is_open
        });
    }

    /// A connection was closed: calls wait for the next one.
    pub fn lost(&self, generation: u64) {
        self.standing.send_if_modified(|standing| {
            let is_this = matches!(standing, Standing::Up { generation: up, .. } if *up == generation);
            if is_this {
                *standing = Standing::Dialling;
            }
            is_this
        });
    }
}
