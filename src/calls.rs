//! Calls in flight on one JavaScript thread, by the id that the JS layer gave them.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::errors::Payload;
use super::flow::Flow;
use super::outbox::Outbox;
use super::pending_calls::PendingCalls;
use super::protocol::message;
use super::runtime::runtime;
use gateway_engine::budget::BudgetWarning;
use gateway_engine::usage::Observer;
use gateway_model::error::{Failure, GatewayError};
use gateway_model::{GatewayResponse, UsageLog};

/// Everything one JavaScript thread has under way.
pub struct Calls {
    pub outbox: Outbox,
    /// Calls of custom providers.
    pub pending: PendingCalls,
    open: Mutex<HashMap<u32, Arc<Call>>>,
}

/// Nobody hears of the call but its caller.
pub const NO_LOGGER: u32 = 0;

/// What the JS layer can do to a call of its own.
#[derive(Default)]
pub struct Call {
    pub cancel: CancellationToken,
    pub flow: Flow,
}

impl Calls {
    pub fn new(outbox: Outbox) -> Self {
        Self { outbox, pending: PendingCalls::default(), open: Mutex::default() }
    }

    pub fn get(&self, id: u32) -> Option<Arc<Call>> {
        self.open().get(&id).cloned()
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Call>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops every call: the thread they belong to is going away.
    pub fn abandon(&self) {
        for (_, call) in self.open().drain() {
            call.cancel.cancel();
        }
        self.pending.abandon();
    }

    /// Runs a call. Whatever becomes of it, JavaScript gets exactly one last message of it.
    pub fn spawn(
        self: &Arc<Self>,
        id: u32,
        logger: u32,
        aborted: bool,
        run: impl FnOnce(Arc<Call>, Arc<CallObserver>) -> BoxFuture<'static, Result<(), Failure>>,
    ) -> napi::Result<()> {
        let call = Arc::<Call>::default();
        if aborted {
            call.cancel.cancel();
        }
        self.open().insert(id, call.clone());
        let observer = Arc::new(self.observer(logger));
        let work = run(call, observer.clone());
        let calls = self.clone();
        runtime()?.spawn(async move {
            let result = AssertUnwindSafe(work).catch_unwind().await;
            calls.open().remove(&id);
            let failure = match result {
                Ok(Ok(())) => return,
                Ok(Err(failure)) => failure,
                Err(_) => GatewayError::internal("the gateway failed on this call; please report it").into(),
            };
            let log = observer.take_log();
            calls.outbox.send(&message::Failure { call: id, error: Payload(&failure), log });
        });
        Ok(())
    }

    /// Sends a call's answer together with what its log entry has beyond the answer.
    pub fn answer(&self, id: u32, value: &impl Serialize, observer: &CallObserver) {
        let log = observer.take_log();
        self.outbox.send(&message::Answer { call: id, value, log: log.as_ref().map(|log| &log.call) });
    }

    /// The same, for a call that needs no message: a line `[response, rest of the log entry]`, and the content as it is.
    /// Most of an answer is its content: writing it as JSON and reading it would be most of the work.
    pub fn answer_at_once(
        &self,
        mut response: GatewayResponse,
        observer: &CallObserver,
    ) -> serde_json::Result<String> {
        let content = std::mem::take(&mut response.answer.content);
        let log = observer.take_log();
        let mut text = serde_json::to_string(&(response, log.as_ref().map(|log| &log.call)))?;
        text.reserve_exact(1 + content.len());
        text.push('\n');
        text.push_str(&content);
        Ok(text)
    }

    /// `logger` is the JS layer's number for the handlers that hear of the call.
    pub fn observer(self: &Arc<Self>, logger: u32) -> CallObserver {
        CallObserver { calls: self.clone(), logger, log: Mutex::default() }
    }

    fn warn(&self, logger: u32, warning: &BudgetWarning) {
        let line = format!("[budget-warn] {warning}");
        self.outbox.send(&message::BudgetWarning { logger, line, warning });
    }
}

/// Keeps a call's log entry until its last message is sent; passes warnings on at once.
pub struct CallObserver {
    calls: Arc<Calls>,
    logger: u32,
    log: Mutex<Option<UsageLog>>,
}

impl CallObserver {
    pub fn take_log(&self) -> Option<UsageLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Observer for CallObserver {
    fn usage(&self, entry: UsageLog) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
    }

    fn warning(&self, warning: BudgetWarning) {
        self.calls.warn(self.logger, &warning);
    }
}

/// Sends a gateway's log handlers the entries that do not come with a call's last message.
pub struct GatewayObserver {
    pub calls: Arc<Calls>,
    /// The JS layer's number for the handlers.
    pub logger: u32,
}

impl Observer for GatewayObserver {
    fn usage(&self, entry: UsageLog) {
        self.calls.outbox.send(&message::Log { logger: self.logger, entry });
    }

    fn warning(&self, warning: BudgetWarning) {
        self.calls.warn(self.logger, &warning);
    }
}
