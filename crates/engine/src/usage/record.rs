//! Opens with the call, ends with it however it ends: settles the budget and writes the log, once.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::Observer;
use crate::budget::{BudgetUsage, Reservation};
use crate::routing::AttemptAdmission;
use gateway_model::error::{ErrorKind, Failure};
use gateway_model::{CallFigures, CallLabels, LoggedCall, Outcome, TokenUsage, UsageLog, Usd};

/// What is known of a call before it runs.
pub struct Start {
    pub request_id: String,
    pub started: Instant,
    pub observer: Arc<dyn Observer>,
    /// Of the attempt that answered; `None` before.
    pub reservation: Option<Reservation>,
    /// Holds what the call takes of its caller's limits until it ends.
    pub admission: Option<Arc<dyn AttemptAdmission>>,
    /// The rule's provider and its model: what a failure's entry carries.
    pub provider: String,
    pub model: String,
    pub labels: CallLabels,
}

/// What an attempt that gave no answer comes to.
pub struct Billed {
    /// To be settled with it.
    pub reservation: Option<Reservation>,
    pub usage: TokenUsage,
    pub cost: Usd,
}

/// The open record of a call. Dropping it unended (a panic, a runtime that stops) returns the reservation and logs an abort.
pub struct CallRecord {
    start: Option<Start>,
}

impl CallRecord {
    pub fn open(start: Start) -> Self {
        Self { start: Some(start) }
    }

    /// A record that is never logged.
    pub fn detached() -> Self {
        Self { start: None }
    }

    /// Ends the call: its budgets settle what `outcome` used, its log entry says `figures`. `error_code` is set when it
    /// failed or was aborted on the way.
    pub fn end(mut self, outcome: &Outcome, figures: CallFigures, error_code: Option<&str>) {
        if let Some(start) = self.start.take() {
            start.settle(outcome, figures, error_code);
        }
    }

    /// Takes over what the attempt that answered has reserved.
    pub fn hold(&mut self, reservation: Option<Reservation>) {
        if let Some(start) = &mut self.start {
            start.reservation = reservation;
        }
    }

    /// Bills an attempt beside the one that the call's own entry is about, and gives the entry that is to be logged for it.
    pub fn bill_attempt(
        &self,
        error_code: &str,
        provider: &str,
        model: &str,
        billed: Billed,
    ) -> Option<UsageLog> {
        Some(self.bill_later()?.attempt(error_code, provider, model, billed))
    }

    /// Lets an attempt be billed that is over by now, once it is known what it came to. `None`: the record is never logged.
    pub fn bill_later(&self) -> Option<AttemptBill> {
        let start = self.start.as_ref()?;
        Some(AttemptBill {
            request_id: start.request_id.clone(),
            latency_ms: latency_ms(start.started),
            observer: start.observer.clone(),
            labels: start.labels.clone(),
        })
    }

    /// Ends a call that was refused before any provider was asked: it has no entry.
    pub fn discard(mut self) {
        self.start = None;
    }

    /// Ends a call whose last attempt failed and was charged nevertheless.
    pub fn fail_charged(mut self, failure: &Failure, provider: &str, model: &str, billed: Billed) {
        let Some(bill) = self.bill_later() else { return };
        let Some(mut start) = self.start.take() else { return };
        let Billed { reservation, usage, cost } = billed;
        let reservation = reservation.or_else(|| start.reservation.take());
        let entry = bill.attempt(failure.log_code(), provider, model, Billed { reservation, usage, cost });
        start.observer.usage(entry);
    }

    /// Ends a call that nobody answered: nothing is billed.
    pub fn fail(mut self, failure: &Failure) {
        if let Some(start) = self.start.take() {
            start.fail(failure.log_code());
        }
    }
}

/// The bill of an attempt beside the one that a call's own entry is about.
pub struct AttemptBill {
    request_id: String,
    latency_ms: u64,
    observer: Arc<dyn Observer>,
    labels: CallLabels,
}

impl AttemptBill {
    /// Settles the attempt's reservation, and gives the entry that is to be logged for it.
    pub fn attempt(self, error_code: &str, provider: &str, model: &str, billed: Billed) -> UsageLog {
        let Self { request_id, latency_ms, observer, labels } = self;
        let Billed { reservation, usage, cost } = billed;
        if let Some(reservation) = reservation {
            warn(&*observer, reservation.settle_given_up(budget_usage(&usage, cost)));
        }
        let figures = CallFigures {
            request_id,
            provider: provider.to_owned(),
            model: model.to_owned(),
            latency_ms,
            ..charged(&usage, cost)
        };
        UsageLog { call: logged(labels, Some(error_code), None), figures }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        if let Some(start) = self.start.take() {
            let kind = if std::thread::panicking() { ErrorKind::Internal } else { ErrorKind::Aborted };
            start.fail(kind.code());
        }
    }
}

impl Start {
    fn settle(mut self, outcome: &Outcome, figures: CallFigures, error_code: Option<&str>) {
        if let Some(reservation) = self.reservation.take() {
            self.warn(reservation.settle(budget_usage(&outcome.usage, outcome.cost)));
        }
        let saved = figures.cached.then_some(outcome.cost);
        self.observer.usage(UsageLog { call: logged(self.labels, error_code, saved), figures });
    }

    fn warn(&self, warnings: Vec<String>) {
        warn(&*self.observer, warnings);
    }

    fn fail(self, error_code: &str) {
        let figures = self.unanswered(&self.provider, &self.model);
        // The reservation goes back as it is dropped.
        self.observer.usage(UsageLog { call: logged(self.labels, Some(error_code), None), figures });
    }

    /// The figures of an attempt that gave no answer.
    fn unanswered(&self, provider: &str, model: &str) -> CallFigures {
        CallFigures {
            request_id: self.request_id.clone(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            latency_ms: latency_ms(self.started),
            ..CallFigures::default()
        }
    }
}

fn warn(observer: &dyn Observer, warnings: Vec<String>) {
    for warning in warnings {
        observer.warning(format!("[budget-warn] {warning}"));
    }
}

/// What an attempt that gave no answer was charged.
fn charged(usage: &TokenUsage, cost: Usd) -> CallFigures {
    CallFigures {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cache_read_tokens: usage.cache_read,
        cache_write_tokens: usage.cache_write,
        total_tokens: usage.total(),
        estimated_cost_usd: cost.dollars(),
        usage_source: usage.source,
        ..CallFigures::default()
    }
}

pub(crate) fn budget_usage(usage: &TokenUsage, cost: Usd) -> BudgetUsage {
    BudgetUsage { input_tokens: usage.input, output_tokens: usage.output, cost }
}

fn logged(labels: CallLabels, error_code: Option<&str>, saved: Option<Usd>) -> LoggedCall {
    LoggedCall {
        timestamp: timestamp(),
        labels,
        success: error_code.is_none(),
        error_code: error_code.map(str::to_owned),
        saved_usd: saved.map(Usd::dollars),
    }
}

/// Whole milliseconds since a call's start.
pub fn latency_ms(started: Instant) -> u64 {
    let elapsed = started.elapsed().as_secs_f64() * 1e3;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = elapsed.round() as u64;
    whole
}

thread_local! {
    /// The second that was written last, and how.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// Now, in RFC 3339 with milliseconds. Most calls share their second with another.
fn timestamp() -> String {
    let now = Timestamp::now();
    let (second, millisecond) = (now.as_second(), now.subsec_millisecond());
    SECOND.with_borrow_mut(|(last, text)| {
        if *last != second {
            *last = second;
            *text = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        }
        format!("{text}.{millisecond:03}Z")
    })
}
