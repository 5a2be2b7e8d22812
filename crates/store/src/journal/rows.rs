//! Batches as JSON. A field that a reader does not know is passed over, one that is missing has its default: programs of
//! other versions may write and read the same journal.

use std::borrow::Cow;

use gateway_engine::records::{Batch, RatesUsed, UsageRow};
use gateway_engine::state::{Charge, Counter, CounterWindow, Figures};
use gateway_model::{AttemptRecord, UsageSource};
use serde::{Deserialize, Serialize};

type Text<'a> = Cow<'a, str>;

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct StoredBatch<'a> {
    #[serde(borrow, skip_serializing_if = "Vec::is_empty")]
    rows: Vec<StoredRow<'a>>,
    #[serde(borrow, skip_serializing_if = "Vec::is_empty")]
    charges: Vec<StoredCharge<'a>>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct StoredRow<'a> {
    id: Text<'a>,
    #[serde(skip_serializing_if = "is_default")]
    part: u32,
    at: i64,
    provider: Text<'a>,
    model: Text<'a>,
    rule: Text<'a>,
    #[serde(skip_serializing_if = "is_default")]
    feature: Option<Text<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    tier: Option<Text<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    user: Option<Text<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    key: Option<Text<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    team: Option<Text<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    metadata: Option<Text<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    ok: bool,
    #[serde(skip_serializing_if = "is_default")]
    error: Option<Text<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    input: u64,
    #[serde(skip_serializing_if = "is_default")]
    output: u64,
    #[serde(skip_serializing_if = "is_default")]
    cache_read: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    cache_write: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    reasoning: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    estimated: bool,
    #[serde(skip_serializing_if = "is_default")]
    cost: i64,
    #[serde(skip_serializing_if = "is_default")]
    saved: i64,
    /// Input, output.
    #[serde(skip_serializing_if = "is_default")]
    rates: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "is_default")]
    latency: u64,
    #[serde(skip_serializing_if = "is_default")]
    first_token: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    streamed: bool,
    #[serde(skip_serializing_if = "is_default")]
    cached: bool,
    #[serde(skip_serializing_if = "is_default")]
    degraded: bool,
    #[serde(skip_serializing_if = "is_default")]
    fell_back: bool,
    #[serde(skip_serializing_if = "is_default")]
    fell_back_from: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<StoredAttempt<'a>>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct StoredAttempt<'a> {
    provider: Text<'a>,
    model: Text<'a>,
    #[serde(skip_serializing_if = "is_default")]
    error: Option<Text<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    latency: u64,
}

/// Nothing has a default here: what is charged is known whole, or the batch is damaged.
#[derive(Serialize, Deserialize)]
struct StoredCharge<'a> {
    counter: Text<'a>,
    window: StoredWindow,
    figures: Figures,
    at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredWindow {
    Rolling(u64),
    Until(i64),
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) fn encode(batch: &Batch) -> serde_json::Result<Vec<u8>> {
    let stored = StoredBatch {
        rows: batch.rows.iter().map(stored_row).collect(),
        charges: batch.charges.iter().map(stored_charge).collect(),
    };
    serde_json::to_vec(&stored)
}

pub(super) fn decode(payload: &[u8]) -> serde_json::Result<Batch> {
    let StoredBatch { rows, charges } = serde_json::from_slice(payload)?;
    Ok(Batch {
        rows: rows.into_iter().map(row).collect(),
        charges: charges.into_iter().map(charge).collect(),
    })
}

fn text(text: &str) -> Text<'_> {
    Cow::Borrowed(text)
}

fn some_text(text: &Option<String>) -> Option<Text<'_>> {
    text.as_deref().map(Cow::Borrowed)
}

/// Taken apart without `..`: a new field does not compile until it has a place here.
fn stored_row(row: &UsageRow) -> StoredRow<'_> {
    let UsageRow {
        request_id,
        part,
        at_ms,
        provider,
        model,
        route_rule,
        feature,
        user_tier,
        user_id,
        key_id,
        team,
        metadata,
        success,
        error_code,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        reasoning_tokens,
        usage_source,
        cost,
        saved,
        rates,
        latency_ms,
        first_token_ms,
        streamed,
        cached,
        degraded,
        fallback_triggered,
        fallback_from,
        attempts,
    } = row;
    StoredRow {
        id: text(request_id),
        part: *part,
        at: *at_ms,
        provider: text(provider),
        model: text(model),
        rule: text(route_rule),
        feature: some_text(feature),
        tier: some_text(user_tier),
        user: some_text(user_id),
        key: some_text(key_id),
        team: some_text(team),
        metadata: some_text(metadata),
        ok: *success,
        error: some_text(error_code),
        input: *input_tokens,
        output: *output_tokens,
        cache_read: *cache_read_tokens,
        cache_write: *cache_write_tokens,
        reasoning: *reasoning_tokens,
        estimated: *usage_source == UsageSource::Estimated,
        cost: *cost,
        saved: *saved,
        // JSON has no word for other numbers.
        rates: rates
            .map(|rates| [rates.input, rates.output])
            .filter(|both| both.iter().all(|rate| rate.is_finite())),
        latency: *latency_ms,
        first_token: *first_token_ms,
        streamed: *streamed,
        cached: *cached,
        degraded: *degraded,
        fell_back: *fallback_triggered,
        fell_back_from: some_text(fallback_from),
        attempts: attempts.iter().map(stored_attempt).collect(),
    }
}

fn row(stored: StoredRow<'_>) -> UsageRow {
    UsageRow {
        request_id: stored.id.into_owned(),
        part: stored.part,
        at_ms: stored.at,
        provider: stored.provider.into_owned(),
        model: stored.model.into_owned(),
        route_rule: stored.rule.into_owned(),
        feature: stored.feature.map(Cow::into_owned),
        user_tier: stored.tier.map(Cow::into_owned),
        user_id: stored.user.map(Cow::into_owned),
        key_id: stored.key.map(Cow::into_owned),
        team: stored.team.map(Cow::into_owned),
        metadata: stored.metadata.map(Cow::into_owned),
        success: stored.ok,
        error_code: stored.error.map(Cow::into_owned),
        input_tokens: stored.input,
        output_tokens: stored.output,
        cache_read_tokens: stored.cache_read,
        cache_write_tokens: stored.cache_write,
        reasoning_tokens: stored.reasoning,
        usage_source: if stored.estimated { UsageSource::Estimated } else { UsageSource::Reported },
        cost: stored.cost,
        saved: stored.saved,
        rates: stored.rates.map(|[input, output]| RatesUsed { input, output }),
        latency_ms: stored.latency,
        first_token_ms: stored.first_token,
        streamed: stored.streamed,
        cached: stored.cached,
        degraded: stored.degraded,
        fallback_triggered: stored.fell_back,
        fallback_from: stored.fell_back_from.map(Cow::into_owned),
        attempts: stored.attempts.into_iter().map(attempt).collect(),
    }
}

fn stored_attempt(attempt: &AttemptRecord) -> StoredAttempt<'_> {
    let AttemptRecord { provider, model, error_code, latency_ms } = attempt;
    StoredAttempt {
        provider: text(provider),
        model: text(model),
        error: some_text(error_code),
        latency: *latency_ms,
    }
}

fn attempt(stored: StoredAttempt<'_>) -> AttemptRecord {
    AttemptRecord {
        provider: stored.provider.into_owned(),
        model: stored.model.into_owned(),
        error_code: stored.error.map(Cow::into_owned),
        latency_ms: stored.latency,
    }
}

fn stored_charge(charge: &Charge) -> StoredCharge<'_> {
    let Charge { counter: Counter { key, window }, figures, at_ms } = charge;
    let window = match *window {
        CounterWindow::Rolling { length_ms } => StoredWindow::Rolling(length_ms),
        CounterWindow::Until { at_ms } => StoredWindow::Until(at_ms),
    };
    StoredCharge { counter: text(key), window, figures: *figures, at: *at_ms }
}

fn charge(stored: StoredCharge<'_>) -> Charge {
    let window = match stored.window {
        StoredWindow::Rolling(length_ms) => CounterWindow::Rolling { length_ms },
        StoredWindow::Until(at_ms) => CounterWindow::Until { at_ms },
    };
    let counter = Counter { key: stored.counter.as_ref().into(), window };
    Charge { counter, figures: stored.figures, at_ms: stored.at }
}
