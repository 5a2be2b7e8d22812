//! The sums that are kept of rows: what a transaction adds to each hour and each day of a series.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use gateway_engine::records::UsageRow;
use rusqlite::{Connection, Error, OptionalExtension, TransactionBehavior, params};

use crate::latency::Latencies;
use crate::row::{at_ms, tokens};

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const DAY_MS: i64 = 86_400_000;

/// Picodollars of a microdollar.
const MICRO: i64 = 1_000_000;

/// A text of latencies to which so many characters were added is written anew, with each bucket once.
const LONG_TEXT: usize = 300;

/// With more texts under watch, all are forgotten.
const MOST_WATCHED: usize = 20_000;

/// A table of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Span {
    Hour,
    Day,
}

impl Span {
    const ALL: [Self; 2] = [Self::Hour, Self::Day];

    pub fn table(self) -> &'static str {
        match self {
            Self::Hour => "usage_hourly",
            Self::Day => "usage_daily",
        }
    }

    pub fn column(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// The statement that adds sums.
    fn add(self) -> &'static str {
        static ADD: LazyLock<[String; 2]> = LazyLock::new(|| Span::ALL.map(add));
        let [hour, day] = &*ADD;
        match self {
            Self::Hour => hour,
            Self::Day => day,
        }
    }

    pub fn milliseconds(self) -> i64 {
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
        }
    }
}

fn add(span: Span) -> String {
    let (table, time) = (span.table(), span.column());
    format!(
        "INSERT INTO {table} ({time}, series, calls, errors, input_tokens, output_tokens, cost_micro, cost_pico, \
         saved_micro, saved_pico, latencies) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT ({time}, series) DO UPDATE SET \
         calls = calls + excluded.calls, errors = errors + excluded.errors, \
         input_tokens = input_tokens + excluded.input_tokens, \
         output_tokens = output_tokens + excluded.output_tokens, \
         cost_micro = cost_micro + excluded.cost_micro, cost_pico = cost_pico + excluded.cost_pico, \
         saved_micro = saved_micro + excluded.saved_micro, saved_pico = saved_pico + excluded.saved_pico, \
         latencies = latencies || excluded.latencies"
    )
}

#[derive(Debug, Default)]
struct Sums {
    calls: i64,
    errors: i64,
    input_tokens: i64,
    output_tokens: i64,
    cost_micro: i64,
    cost_pico: i64,
    saved_micro: i64,
    saved_pico: i64,
    latencies: Latencies,
}

impl Sums {
    fn add(&mut self, row: &UsageRow) {
        self.calls += i64::from(row.part == 0);
        self.errors += i64::from(row.part == 0 && !row.success);
        self.input_tokens += tokens(row.input_tokens);
        self.output_tokens += tokens(row.output_tokens);
        self.cost_micro += row.cost / MICRO;
        self.cost_pico += row.cost % MICRO;
        self.saved_micro += row.saved / MICRO;
        self.saved_pico += row.saved % MICRO;
        if row.part == 0 && row.success && !row.cached {
            self.latencies.add(row.latency_ms);
        }
    }
}

/// A text of latencies: its table, hour or day, and series.
pub(super) type Place = (Span, i64, i64);

/// What one transaction adds.
#[derive(Default)]
pub(super) struct RollUp(BTreeMap<Place, Sums>);

impl RollUp {
    pub fn add(&mut self, row: &UsageRow, series: i64) {
        for span in Span::ALL {
            let time = at_ms(row) / span.milliseconds();
            self.0.entry((span, time, series)).or_default().add(row);
        }
    }

    /// Writes what is added; answers with how many characters each text of latencies becomes longer.
    pub fn write(&self, connection: &Connection) -> Result<Vec<(Place, usize)>, Error> {
        let mut longer = Vec::new();
        for (&place, sums) in &self.0 {
            let (span, time, series) = place;
            let latencies = sums.latencies.text();
            longer.push((place, latencies.len()));
            connection.prepare_cached(span.add())?.execute(params![
                time,
                series,
                sums.calls,
                sums.errors,
                sums.input_tokens,
                sums.output_tokens,
                sums.cost_micro,
                sums.cost_pico,
                sums.saved_micro,
                sums.saved_pico,
                latencies,
            ])?;
        }
        Ok(longer)
    }
}

/// How long texts of latencies have become by this process.
#[derive(Debug, Default)]
pub(super) struct Texts(HashMap<Place, usize>);

impl Texts {
    /// Takes note of what a transaction has added; answers with the texts that are long.
    pub fn grown(&mut self, longer: Vec<(Place, usize)>) -> Vec<Place> {
        if self.0.len() > MOST_WATCHED {
            self.0.clear();
        }
        let mut long = Vec::new();
        for (place, by) in longer {
            let length = self.0.entry(place).or_default();
            *length += by;
            if *length >= LONG_TEXT {
                *length = 0;
                long.push(place);
            }
        }
        long
    }
}

/// Writes a text of latencies anew, in one transaction.
pub(super) fn shorten(connection: &mut Connection, (span, time, series): Place) -> Result<(), Error> {
    let (table, column) = (span.table(), span.column());
    let moment = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let select = format!("SELECT latencies FROM {table} WHERE {column} = ? AND series = ?");
    let text: Option<String> =
        moment.prepare_cached(&select)?.query_row((time, series), |row| row.get(0)).optional()?;
    if let Some(text) = text {
        let mut latencies = Latencies::default();
        latencies.add_text(&text);
        let update = format!("UPDATE {table} SET latencies = ? WHERE {column} = ? AND series = ?");
        moment.prepare_cached(&update)?.execute((latencies.text(), time, series))?;
    }
    moment.commit()
}
