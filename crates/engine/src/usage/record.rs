//! Opens with the call, ends with it however it ends: settles the budget and writes the log, once.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use jiff::Timestamp;

use super::Observer;
use super::keeping::Keeping;
use crate::budget::{BudgetUsage, BudgetWarning, Reservation};
use crate::records::{Beside, Entry, RatesUsed};
use crate::routing::AttemptAdmission;
use crate::state::Charge;
use gateway_model::error::{ErrorKind, Failure};
use gateway_model::{CallFigures, CallLabels, LoggedCall, Outcome, TokenUsage, UsageLog, Usd};
use gateway_pricing::Asked;

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
    /// `None`: nothing is kept but the caller's log.
    pub keeping: Option<Arc<Keeping>>,
    /// Of streams.
    pub stream: Option<StreamTimes>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct StreamTimes {
    /// Milliseconds from the call's start to its first content.
    pub first_token_ms: Option<u64>,
}

/// What an attempt that gave no answer comes to.
pub struct Billed {
    /// To be settled with it.
    pub reservation: Option<Reservation>,
    /// What counters are charged already, of a reservation that was settled before.
    pub charges: Vec<Charge>,
    pub usage: TokenUsage,
    pub cost: Usd,
}

/// The open record of a call. Dropping it unended (a panic, a runtime that stops) returns the reservation and logs an abort.
pub struct CallRecord {
    start: Option<Start>,
    /// Attempts beside the call that were billed.
    parts: AtomicU32,
}

impl CallRecord {
    pub fn open(start: Start) -> Self {
        Self { start: Some(start), parts: AtomicU32::new(0) }
    }

    /// A record that is never logged.
    pub fn detached() -> Self {
        Self { start: None, parts: AtomicU32::new(0) }
    }

    /// Ends the call: its budgets settle what `outcome` used, its log entry says `figures`. `error_code` is set when it
    /// failed or was aborted on the way. The call is to be answered once what is returned is kept.
    pub fn end(mut self, outcome: &Outcome, figures: CallFigures, error_code: Option<&str>) -> Option<Entry> {
        self.start.take()?.settle(outcome, figures, error_code)
    }

    /// Takes over what the attempt that answered has reserved.
    pub fn hold(&mut self, reservation: Option<Reservation>) {
        if let Some(start) = &mut self.start {
            start.reservation = reservation;
        }
    }

    /// Says that the answer comes as a stream, and when its first content came.
    pub fn streams(&mut self, times: StreamTimes) {
        if let Some(start) = &mut self.start {
            start.stream = Some(times);
        }
    }

    /// Bills an attempt beside the one that the call's own entry is about, and gives the entry that is to be logged for it.
    pub fn bill_attempt(&self, error_code: &str, asked: Asked<'_>, billed: Billed) -> Option<UsageLog> {
        Some(self.bill_later()?.attempt(error_code, asked, billed).0)
    }

    /// Lets an attempt be billed that is over by now, once it is known what it came to. `None`: the record is never logged.
    pub fn bill_later(&self) -> Option<AttemptBill> {
        let part = self.parts.fetch_add(1, Ordering::Relaxed) + 1;
        self.bill(part)
    }

    fn bill(&self, part: u32) -> Option<AttemptBill> {
        let start = self.start.as_ref()?;
        Some(AttemptBill {
            request_id: start.request_id.clone(),
            part,
            latency_ms: latency_ms(start.started),
            observer: start.observer.clone(),
            labels: start.labels.clone(),
            keeping: start.keeping.clone(),
            stream: start.stream,
        })
    }

    /// Ends a call that was refused before any provider was asked: it has no entry.
    pub fn discard(mut self) {
        self.start = None;
    }

    /// Ends a call whose last attempt failed and was charged nevertheless; [`CallRecord::end`] says what is returned.
    pub fn fail_charged(mut self, failure: &Failure, asked: Asked<'_>, billed: Billed) -> Option<Entry> {
        let bill = self.bill(0)?;
        let mut start = self.start.take()?;
        let reservation = billed.reservation.or_else(|| start.reservation.take());
        let (entry, kept) = bill.attempt(failure.log_code(), asked, Billed { reservation, ..billed });
        start.observer.usage(entry);
        kept
    }

    /// Ends a call that nobody answered: nothing is billed. [`CallRecord::end`] says what is returned.
    pub fn fail(mut self, failure: &Failure) -> Option<Entry> {
        self.start.take()?.fail(failure.log_code())
    }
}

/// The bill of an attempt beside the one that a call's own entry is about.
pub struct AttemptBill {
    request_id: String,
    part: u32,
    latency_ms: u64,
    observer: Arc<dyn Observer>,
    labels: CallLabels,
    keeping: Option<Arc<Keeping>>,
    stream: Option<StreamTimes>,
}

impl AttemptBill {
    /// Settles the attempt's reservation and keeps its row; gives the entry that is to be logged for it.
    pub fn attempt(self, error_code: &str, asked: Asked<'_>, billed: Billed) -> (UsageLog, Option<Entry>) {
        let Self { request_id, part, latency_ms, observer, labels, keeping, stream } = self;
        let Billed { reservation, mut charges, usage, cost } = billed;
        if let Some(reservation) = reservation {
            let settled = reservation.settle_given_up(budget_usage(&usage, cost));
            warn(&*observer, settled.warnings, &request_id);
            charges.extend(settled.charges);
        }
        let figures = CallFigures {
            request_id,
            provider: asked.entry.to_owned(),
            model: asked.model.to_owned(),
            latency_ms,
            ..charged(&usage, cost)
        };
        let entry = UsageLog { call: logged(labels, Some(error_code), None), figures };
        let kept = keeping.and_then(|keeping| {
            let rates = keeping.rates(asked, asked.model);
            keeping.enter(&entry, beside(part, cost, Usd::ZERO, rates, stream), charges)
        });
        (entry, kept)
    }
}

fn beside(part: u32, cost: Usd, saved: Usd, rates: Option<RatesUsed>, stream: Option<StreamTimes>) -> Beside {
    let first_token_ms = stream.and_then(|times| times.first_token_ms);
    Beside { part, cost, saved, rates, streamed: stream.is_some(), first_token_ms }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        if let Some(start) = self.start.take() {
            let kind = if std::thread::panicking() { ErrorKind::Internal } else { ErrorKind::Aborted };
            // Nobody waits for it any more.
            drop(start.fail(kind.code()));
        }
    }
}

impl Start {
    fn settle(mut self, outcome: &Outcome, figures: CallFigures, error_code: Option<&str>) -> Option<Entry> {
        let mut charges = Vec::new();
        if let Some(reservation) = self.reservation.take() {
            let settled = reservation.settle(budget_usage(&outcome.usage, outcome.cost));
            self.warn(settled.warnings);
            charges = settled.charges;
        }
        let saved = figures.cached.then_some(outcome.cost);
        let entry = UsageLog { call: logged(self.labels, error_code, saved), figures };
        let kept = self.keeping.and_then(|keeping| {
            let asked = Asked { entry: &outcome.entry, family: &outcome.family, model: &outcome.asked_model };
            let rates = keeping.rates(asked, &outcome.answer.model);
            let cost = if saved.is_some() { Usd::ZERO } else { outcome.cost };
            keeping.enter(&entry, beside(0, cost, saved.unwrap_or(Usd::ZERO), rates, self.stream), charges)
        });
        self.observer.usage(entry);
        kept
    }

    fn warn(&self, warnings: Vec<BudgetWarning>) {
        warn(&*self.observer, warnings, &self.request_id);
    }

    fn fail(self, error_code: &str) -> Option<Entry> {
        let figures = self.unanswered(&self.provider, &self.model);
        // The reservation goes back as it is dropped.
        let entry = UsageLog { call: logged(self.labels, Some(error_code), None), figures };
        let kept = self.keeping.and_then(|keeping| {
            keeping.enter(&entry, beside(0, Usd::ZERO, Usd::ZERO, None, self.stream), Vec::new())
        });
        self.observer.usage(entry);
        kept
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

fn warn(observer: &dyn Observer, warnings: Vec<BudgetWarning>, request_id: &str) {
    for warning in warnings {
        observer.warning(warning.of_call(request_id));
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
