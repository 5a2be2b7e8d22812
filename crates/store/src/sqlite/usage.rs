//! What was used: sums from the roll-ups. Whole days come from the daily ones, and only the hours at both ends from the
//! hourly ones. They are added up here and not by SQLite, which would have to sort hundreds of thousands of wide rows to
//! group them by an hour and something else; as they are read, they are in the order of time already.

use std::collections::HashMap;
use std::ops::Range;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::records::{GroupBy, UsageQuery, UsageReader, UsageSums};
use gateway_engine::state::StoreError;
use jiff::Timestamp;
use rusqlite::{Connection, Row, Statement, ToSql};

use super::SqliteStore;
use super::rollup::{DAY_MS, HOUR_MS, Span};
use crate::dimension;
use crate::latency::Latencies;

const HOURS_OF_DAY: i64 = DAY_MS / HOUR_MS;

const MICRO: i128 = 1_000_000;

impl UsageReader for SqliteStore {
    fn usage<'a>(&'a self, query: &'a UsageQuery) -> BoxFuture<'a, Result<Vec<UsageSums>, StoreError>> {
        async move {
            let Some(hours) = hours(query) else { return Ok(Vec::new()) };
            let query = query.clone();
            self.reports.read(move |connection| report(connection, &query, hours)).await
        }
        .boxed()
    }
}

/// The hours since the epoch that are asked for; `None`: a time is none.
fn hours(query: &UsageQuery) -> Option<Range<i64>> {
    let first_from = |at_ms: i64| at_ms.div_euclid(HOUR_MS) + i64::from(at_ms.rem_euclid(HOUR_MS) > 0);
    let mut hours = query.from_ms.map_or(0, first_from)..query.to_ms.map_or(i64::MAX / HOUR_MS, first_from);
    for (dimension, value) in &query.only {
        let span = match dimension {
            GroupBy::Hour => 1,
            GroupBy::Day => HOURS_OF_DAY,
            _ => continue,
        };
        let begins = first_from(milliseconds(value)?);
        hours = hours.start.max(begins)..hours.end.min(begins + span);
    }
    Some(hours.start..hours.end.max(hours.start))
}

/// A time or a date in RFC 3339.
fn milliseconds(text: &str) -> Option<i64> {
    let time = text.parse::<Timestamp>().or_else(|_| format!("{text}T00:00:00Z").parse());
    time.ok().map(|at: Timestamp| at.as_millisecond())
}

/// What is read of which table, in the order of time.
fn parts(hours: Range<i64>, by_hour: bool) -> Vec<(Span, Range<i64>)> {
    let days = div_up(hours.start, HOURS_OF_DAY)..hours.end.div_euclid(HOURS_OF_DAY);
    if by_hour || days.is_empty() {
        return vec![(Span::Hour, hours)];
    }
    vec![
        (Span::Hour, hours.start..days.start * HOURS_OF_DAY),
        (Span::Day, days.clone()),
        (Span::Hour, days.end * HOURS_OF_DAY..hours.end),
    ]
}

fn div_up(number: i64, by: i64) -> i64 {
    number.div_euclid(by) + i64::from(number.rem_euclid(by) > 0)
}

fn report(
    connection: &mut Connection,
    query: &UsageQuery,
    hours: Range<i64>,
) -> Result<Vec<UsageSums>, rusqlite::Error> {
    let by_hour = query.group_by.contains(&GroupBy::Hour);
    let by_time = by_hour || query.group_by.contains(&GroupBy::Day);
    // All of one moment, so that the series of all sums are there.
    let moment = connection.transaction()?;
    let mut groups = Groups::new(&moment, query)?;
    let mut sums = Sums::default();
    for (span, range) in parts(hours, by_hour) {
        let (table, column) = (span.table(), span.column());
        let mut statement = moment.prepare(&format!(
            "SELECT {column}, series, calls, errors, input_tokens, output_tokens, cost_micro, cost_pico, saved_micro, \
             saved_pico, latencies FROM {table} WHERE {column} >= ? AND {column} < ? ORDER BY {column}"
        ))?;
        let mut rows = statement.query((range.start, range.end))?;
        while let Some(row) = rows.next()? {
            let Some(group) = groups.of_series(row.get(1)?)? else { continue };
            let time: i64 = row.get(0)?;
            let hour = match span {
                _ if !by_time => 0,
                Span::Hour if by_hour => time,
                Span::Hour => time / HOURS_OF_DAY * HOURS_OF_DAY,
                Span::Day => time * HOURS_OF_DAY,
            };
            sums.add(hour, group, row)?;
        }
    }
    sums.finish(&query.group_by, &groups)
}

/// Combinations of the values that sums are grouped by, times aside; each has a number.
struct Groups<'a> {
    /// Reads the values of a series that is asked for.
    lookup: Statement<'a>,
    /// What the series must have.
    only: Vec<&'a str>,
    columns: usize,
    of_series: HashMap<i64, Option<usize>>,
    numbers: HashMap<Vec<Option<String>>, usize>,
}

impl<'a> Groups<'a> {
    fn new(connection: &'a Connection, query: &'a UsageQuery) -> Result<Self, rusqlite::Error> {
        let columns: Vec<&str> = query.group_by.iter().filter_map(dimension::column).collect();
        let only = query.only.iter().filter_map(|(by, value)| Some((dimension::column(by)?, value.as_str())));
        let (conditions, only): (String, Vec<&str>) =
            only.map(|(column, value)| (format!(" AND {column} = ?"), value)).unzip();
        let selected: String = columns.iter().map(|column| format!(", {column}")).collect();
        let sql = format!("SELECT id{selected} FROM usage_series WHERE id = ?{conditions}");
        Ok(Self {
            lookup: connection.prepare(&sql)?,
            only,
            columns: columns.len(),
            of_series: HashMap::new(),
            numbers: HashMap::new(),
        })
    }

    /// `None`: it is not asked for.
    fn of_series(&mut self, series: i64) -> Result<Option<usize>, rusqlite::Error> {
        if let Some(group) = self.of_series.get(&series) {
            return Ok(*group);
        }
        let mut arguments: Vec<&dyn ToSql> = vec![&series];
        arguments.extend(self.only.iter().map(|value| -> &dyn ToSql { value }));
        let mut rows = self.lookup.query(arguments.as_slice())?;
        let group = match rows.next()? {
            Some(row) => {
                let values = (1..=self.columns).map(|place| row.get(place)).collect::<Result<_, _>>()?;
                let next = self.numbers.len();
                Some(*self.numbers.entry(values).or_insert(next))
            }
            None => None,
        };
        drop(rows);
        self.of_series.insert(series, group);
        Ok(group)
    }

    /// The values of each number, and each value's place among all: sorting by these compares no texts.
    fn values(&self) -> Vec<Vec<(i64, &Option<String>)>> {
        let mut all: Vec<(&Vec<Option<String>>, usize)> =
            self.numbers.iter().map(|(values, number)| (values, *number)).collect();
        all.sort_unstable_by_key(|(_, number)| *number);
        let mut values: Vec<Vec<(i64, &Option<String>)>> =
            all.iter().map(|(values, _)| values.iter().map(|value| (0, value)).collect()).collect();
        for column in 0..self.columns {
            let mut in_order: Vec<&Option<String>> =
                all.iter().filter_map(|(values, _)| values.get(column)).collect();
            in_order.sort_unstable();
            in_order.dedup();
            for (place, value) in values.iter_mut().filter_map(|values| values.get_mut(column)) {
                let found = in_order.binary_search(value).unwrap_or_else(|place| place);
                *place = i64::try_from(found).unwrap_or(i64::MAX);
            }
        }
        values
    }
}

/// The sums of one time after the other; rows come in that order.
#[derive(Default)]
struct Sums {
    /// The hour at which the present time begins.
    hour: i64,
    /// Of the present time, by the group's number.
    open: Vec<Open>,
    /// Those that have any.
    touched: Vec<usize>,
    done: Vec<Done>,
}

/// Sums that grow.
#[derive(Default)]
struct Open {
    is_touched: bool,
    sums: UsageSums,
    latencies: Latencies,
}

struct Done {
    hour: i64,
    group: usize,
    sums: UsageSums,
}

impl Sums {
    fn add(&mut self, hour: i64, group: usize, row: &Row<'_>) -> Result<(), rusqlite::Error> {
        if hour != self.hour {
            self.close();
            self.hour = hour;
        }
        if group >= self.open.len() {
            self.open.resize_with(group + 1, Open::default);
        }
        let Some(Open { is_touched, sums, latencies }) = self.open.get_mut(group) else { return Ok(()) };
        if !*is_touched {
            *is_touched = true;
            self.touched.push(group);
        }
        let money = |place: usize| -> Result<i128, rusqlite::Error> {
            let (micro, pico): (i64, i64) = (row.get(place)?, row.get(place + 1)?);
            Ok(i128::from(micro) * MICRO + i128::from(pico))
        };
        let add = |sum: &mut u64, place: usize| -> Result<(), rusqlite::Error> {
            *sum = sum.saturating_add(u64::try_from(row.get::<_, i64>(place)?).unwrap_or_default());
            Ok(())
        };
        add(&mut sums.calls, 2)?;
        add(&mut sums.errors, 3)?;
        add(&mut sums.input_tokens, 4)?;
        add(&mut sums.output_tokens, 5)?;
        sums.cost = sums.cost.saturating_add(money(6)?);
        sums.saved = sums.saved.saturating_add(money(8)?);
        latencies.add_text(row.get_ref(10)?.as_str()?);
        Ok(())
    }

    fn close(&mut self) {
        for group in self.touched.drain(..) {
            let Some(open) = self.open.get_mut(group) else { continue };
            let mut sums = std::mem::take(&mut open.sums);
            sums.latency_p50_ms = open.latencies.percentile(0.5);
            sums.latency_p95_ms = open.latencies.percentile(0.95);
            open.latencies.clear();
            open.is_touched = false;
            self.done.push(Done { hour: self.hour, group, sums });
        }
    }

    /// All sums, in the order of their groups.
    fn finish(
        mut self,
        group_by: &[GroupBy],
        groups: &Groups<'_>,
    ) -> Result<Vec<UsageSums>, rusqlite::Error> {
        self.close();
        let values = groups.values();
        let value = |done: &Done, column: usize| values.get(done.group).and_then(|values| values.get(column));
        // By the last one first: the order of equal ones stays.
        let mut order: Vec<usize> = (0..self.done.len()).collect();
        let mut column = groups.columns;
        for by in group_by.iter().rev() {
            column -= usize::from(dimension::column(by).is_some());
            let place = |done: &Done| match by {
                GroupBy::Hour => done.hour,
                GroupBy::Day => done.hour / HOURS_OF_DAY,
                _ => value(done, column).map_or(0, |(place, _)| *place),
            };
            let places: Vec<i64> = self.done.iter().map(place).collect();
            order.sort_by_key(|index| places.get(*index));
        }
        let mut times = HashMap::new();
        let mut sums = Vec::with_capacity(self.done.len());
        for index in order {
            let Some(done) = self.done.get_mut(index) else { continue };
            let mut group = Vec::with_capacity(group_by.len());
            let mut columns = 0..;
            for by in group_by {
                group.push(match by {
                    GroupBy::Hour => Some(time(&mut times, done.hour)?),
                    GroupBy::Day => Some(time(&mut times, done.hour / HOURS_OF_DAY * HOURS_OF_DAY)?),
                    _ => columns.next().and_then(|column| value(done, column)?.1.clone()),
                });
            }
            sums.push(UsageSums { group, ..std::mem::take(&mut done.sums) });
        }
        Ok(sums)
    }
}

/// As RFC 3339; each hour is written out once.
fn time(known: &mut HashMap<i64, String>, hour: i64) -> Result<String, rusqlite::Error> {
    if let Some(text) = known.get(&hour) {
        return Ok(text.clone());
    }
    let at = Timestamp::from_millisecond(hour.saturating_mul(HOUR_MS));
    let text = at.map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, hour))?.to_string();
    known.insert(hour, text.clone());
    Ok(text)
}
