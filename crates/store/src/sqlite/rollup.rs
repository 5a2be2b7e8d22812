//! The sums that are kept of rows: what a transaction adds to each hour and each day of a series.

use std::collections::{BTreeMap, HashMap};

use super::rows::{SealedRow, tokens};
use super::script::{MOST_ROWS, Script, rows};
use crate::latency::Latencies;

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const DAY_MS: i64 = 86_400_000;

/// Picodollars of a microdollar.
const MICRO: i64 = 1_000_000;

/// A text of latencies to which so many characters were added is written anew, with each bucket once.
const LONG_TEXT: usize = 300;

/// With more texts under watch, all are forgotten.
const MOST_WATCHED: usize = 20_000;

/// A table of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

    pub fn milliseconds(self) -> i64 {
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
        }
    }
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
    fn add(&mut self, sealed: &SealedRow) {
        let row = sealed.row();
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
pub(super) struct RollUp(HashMap<Span, BTreeMap<(i64, i64), Sums>>);

impl RollUp {
    pub fn add(&mut self, sealed: &SealedRow, series: i64) {
        for span in Span::ALL {
            let time = sealed.at_ms() / span.milliseconds();
            self.0.entry(span).or_default().entry((time, series)).or_default().add(sealed);
        }
    }

    /// Adds its statements; answers with how many characters each text of latencies becomes longer.
    pub fn write(&self, script: &mut Script) -> Result<Vec<(Place, usize)>, sqlx::Error> {
        let mut longer = Vec::new();
        for (span, sums) in &self.0 {
            let (table, time) = (span.table(), span.column());
            let before = format!(
                "INSERT INTO {table} ({time}, series, calls, errors, input_tokens, output_tokens, cost_micro, \
                 cost_pico, saved_micro, saved_pico, latencies) SELECT * FROM (VALUES "
            );
            let after = format!(
                ") WHERE column1 IS NOT NULL ON CONFLICT ({time}, series) DO UPDATE SET \
                 calls = calls + excluded.calls, errors = errors + excluded.errors, \
                 input_tokens = input_tokens + excluded.input_tokens, \
                 output_tokens = output_tokens + excluded.output_tokens, \
                 cost_micro = cost_micro + excluded.cost_micro, cost_pico = cost_pico + excluded.cost_pico, \
                 saved_micro = saved_micro + excluded.saved_micro, saved_pico = saved_pico + excluded.saved_pico, \
                 latencies = latencies || excluded.latencies"
            );
            let sums: Vec<(&(i64, i64), &Sums)> = sums.iter().collect();
            for some in sums.chunks(MOST_ROWS) {
                script.values(&before, 11, some.len(), &after);
                for &(&(time, series), sums) in some {
                    let latencies = sums.latencies.text();
                    longer.push(((*span, time, series), latencies.len()));
                    script.bind(time)?;
                    script.bind(series)?;
                    script.bind(sums.calls)?;
                    script.bind(sums.errors)?;
                    script.bind(sums.input_tokens)?;
                    script.bind(sums.output_tokens)?;
                    script.bind(sums.cost_micro)?;
                    script.bind(sums.cost_pico)?;
                    script.bind(sums.saved_micro)?;
                    script.bind(sums.saved_pico)?;
                    script.bind(latencies)?;
                }
                script.pad(11, some.len())?;
            }
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
pub(super) async fn shorten(
    connection: &mut sqlx::SqliteConnection,
    (span, time, series): Place,
) -> Result<(), sqlx::Error> {
    let (table, column) = (span.table(), span.column());
    let mut script = Script::default();
    script.statement("BEGIN IMMEDIATE");
    let place = script.statement(&format!("SELECT latencies FROM {table} WHERE {column} = ? AND series = ?"));
    script.bind(time)?;
    script.bind(series)?;
    let found = rows(&mut script.run(connection).await?, place);
    let mut latencies = Latencies::default();
    for row in found {
        latencies.add_text(sqlx::Row::try_get(&row, 0)?);
    }
    let mut script = Script::default();
    script.statement(&format!("UPDATE {table} SET latencies = ? WHERE {column} = ? AND series = ?"));
    script.bind(latencies.text())?;
    script.bind(time)?;
    script.bind(series)?;
    script.statement("COMMIT");
    script.run(connection).await.map(drop)
}
