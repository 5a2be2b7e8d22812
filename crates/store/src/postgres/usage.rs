//! Reports of usage, from sums: whole days by the day, what is left of the span by the hour.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use futures::TryStreamExt;
use gateway_engine::records::{GroupBy, UsageQuery, UsageSums};
use gateway_engine::state::StoreError;
use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::connections::{Connections, Work};
use crate::dimension::column;
use crate::latency::Latencies;

const HOUR_MS: i64 = 3_600_000;
/// Beyond all hours that there are; whole days.
const NEVER: i64 = 24 * 4_000_000;

pub(super) async fn usage(
    connections: &Connections,
    query: &UsageQuery,
) -> Result<Vec<UsageSums>, StoreError> {
    match Span::of(query) {
        Some(span) => connections.ask(&Report { query, span }).await,
        None => Ok(Vec::new()),
    }
}

/// Hours since the epoch, the last one excluded; and which of them are read as days.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    hours: Vec<(i64, i64)>,
    days: (i64, i64),
}

impl Span {
    /// `None`: nothing can be in it.
    fn of(query: &UsageQuery) -> Option<Self> {
        let hour = |ms: i64| ms.max(0).div_euclid(HOUR_MS) + i64::from(ms.max(0) % HOUR_MS > 0);
        let mut from = query.from_ms.map_or(0, hour);
        let mut to = query.to_ms.map_or(NEVER, hour).min(NEVER);
        let mut by_hour = query.group_by.contains(&GroupBy::Hour);
        for (by, value) in &query.only {
            let length = match by {
                GroupBy::Hour => 1,
                GroupBy::Day => 24,
                _ => continue,
            };
            by_hour |= length == 1;
            let begin = value.parse::<Timestamp>().ok()?.as_millisecond();
            if begin < 0 || begin % (HOUR_MS * length) != 0 {
                return None;
            }
            from = from.max(begin / HOUR_MS);
            to = to.min(begin / HOUR_MS + length);
        }
        if from >= to {
            return None;
        }
        let days = (from.div_euclid(24) + i64::from(from % 24 > 0), to.div_euclid(24));
        if by_hour || days.0 >= days.1 {
            return Some(Self { hours: vec![(from, to)], days: (0, 0) });
        }
        let edges = [(from, days.0 * 24), (days.1 * 24, to)];
        Some(Self { hours: edges.into_iter().filter(|(from, to)| from < to).collect(), days })
    }

    /// The sums that are in it; `hour` is when each begins.
    fn source(&self) -> String {
        let (from, to) = self.days;
        let figures = FIGURES.join(", ");
        let mut sql = format!(
            "SELECT day * 24 AS hour, series, {figures}, latencies FROM usage_daily WHERE day >= {from} AND day < {to}"
        );
        for (from, to) in &self.hours {
            // Writing to a string cannot fail.
            let _ = write!(
                sql,
                " UNION ALL SELECT hour, series, {figures}, latencies FROM usage_hourly WHERE hour >= {from} AND hour < {to}"
            );
        }
        sql
    }
}

struct Report<'a> {
    query: &'a UsageQuery,
    span: Span,
}

const FIGURES: [&str; 8] = [
    "calls",
    "errors",
    "input_tokens",
    "output_tokens",
    "cost_micro",
    "cost_pico",
    "saved_micro",
    "saved_pico",
];
/// The place of the latencies in a row: after the time, the series and the figures.
const LATENCIES: usize = 2 + FIGURES.len();

impl Report<'_> {
    fn time(&self) -> Option<&'static str> {
        let group_by = &self.query.group_by;
        if group_by.contains(&GroupBy::Hour) {
            Some("hour")
        } else if group_by.contains(&GroupBy::Day) {
            Some("hour / 24 * 24")
        } else {
            None
        }
    }

    /// Rows of time, series, figures, latencies and what groups the series.
    ///
    /// By time and series, sums are read as they are: the database would sort all of them, and on disk, to group them anew.
    fn sql(&self) -> String {
        let source = self.span.source();
        let time = self.time().unwrap_or("0::bigint");
        let sums = FIGURES.map(|figure| format!("sum({figure})::bigint AS {figure}")).join(", ");
        let sums = format!("{sums}, string_agg(latencies, '') AS latencies FROM ({source}) AS source");
        let names: String =
            self.query.group_by.iter().filter_map(column).map(|name| format!(", {name}")).collect();
        let mut conditions = String::from("TRUE");
        let named = self.query.only.iter().filter_map(|(by, _)| column(by));
        for (index, name) in named.enumerate() {
            let _ = write!(conditions, " AND {name} = ${}", index + 1);
        }
        if names.is_empty() && conditions == "TRUE" {
            return format!("SELECT {time} AS time, 0::bigint AS series, {sums} GROUP BY 1");
        }
        let sums = match self.time() {
            Some(_) => source,
            None => format!("SELECT 0::bigint AS hour, series, {sums} GROUP BY 2"),
        };
        let figures = FIGURES.join(", ");
        format!(
            "SELECT {time} AS time, series, {figures}, latencies{names} FROM ({sums}) AS sums \
             JOIN usage_series ON usage_series.id = sums.series WHERE {conditions}"
        )
    }
}

/// What groups a series, in the order of the query.
type Values = Vec<Option<String>>;

/// Sums that grow, by the time and by the number of their series' values.
#[derive(Default)]
struct Groups {
    sums: Vec<Sums>,
    places: HashMap<(i64, usize), usize>,
    of_series: HashMap<i64, usize>,
    numbers: HashMap<Values, usize>,
}

#[derive(Default)]
struct Sums {
    hour: i64,
    group: usize,
    sums: UsageSums,
    latencies: String,
}

impl Groups {
    fn add(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let group = self.group(row, row.try_get(1)?)?;
        let hour = row.try_get(0)?;
        let place = *self.places.entry((hour, group)).or_insert(self.sums.len());
        if place == self.sums.len() {
            self.sums.push(Sums { hour, group, ..Sums::default() });
        }
        let Some(Sums { sums, latencies, .. }) = self.sums.get_mut(place) else { return Ok(()) };
        sums.calls = sums.calls.saturating_add(count(row, 2)?);
        sums.errors = sums.errors.saturating_add(count(row, 3)?);
        sums.input_tokens = sums.input_tokens.saturating_add(count(row, 4)?);
        sums.output_tokens = sums.output_tokens.saturating_add(count(row, 5)?);
        sums.cost = sums.cost.saturating_add(picodollars(row, 6)?);
        sums.saved = sums.saved.saturating_add(picodollars(row, 8)?);
        latencies.push_str(row.try_get(LATENCIES)?);
        Ok(())
    }

    /// The values of a series are read from the first of its rows.
    fn group(&mut self, row: &PgRow, series: i64) -> Result<usize, sqlx::Error> {
        if let Some(group) = self.of_series.get(&series) {
            return Ok(*group);
        }
        let values = (LATENCIES + 1..row.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>()?;
        let next = self.numbers.len();
        let group = *self.numbers.entry(values).or_insert(next);
        self.of_series.insert(series, group);
        Ok(group)
    }

    /// In the order that the answer has, whatever the database's own is.
    fn finish(mut self, group_by: &[GroupBy]) -> Vec<UsageSums> {
        let mut values: Vec<(Values, usize)> = self.numbers.into_iter().collect();
        values.sort_unstable_by_key(|(_, number)| *number);
        let keys = |sums: &Sums| {
            let mut values = values.get(sums.group).into_iter().flat_map(|(values, _)| values);
            let keys = group_by.iter().map(|by| match by {
                GroupBy::Hour => Key::Hour(sums.hour),
                GroupBy::Day => Key::Hour(sums.hour / 24 * 24),
                _ => Key::Value(values.next().and_then(|value| value.as_deref())),
            });
            keys.collect::<Vec<_>>()
        };
        let mut order: Vec<_> = self.sums.iter().map(keys).zip(0..).collect();
        order.sort_unstable();
        let mut moments = HashMap::new();
        let mut latencies = Latencies::default();
        let finished = order.into_iter().filter_map(|(keys, place): (_, usize)| {
            let Sums { mut sums, latencies: text, .. } = std::mem::take(self.sums.get_mut(place)?);
            let group = keys.into_iter().map(|key| match key {
                Key::Hour(hour) => moments.entry(hour).or_insert_with(|| moment(hour)).clone(),
                Key::Value(value) => value.map(str::to_owned),
            });
            sums.group = group.collect();
            latencies.clear();
            latencies.add_text(&text);
            sums.latency_p50_ms = latencies.percentile(0.5);
            sums.latency_p95_ms = latencies.percentile(0.95);
            Some(sums)
        });
        finished.collect()
    }
}

/// What sums are grouped and ordered by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Hour(i64),
    Value(Option<&'a str>),
}

fn moment(hour: i64) -> Option<String> {
    Timestamp::from_millisecond(hour * HOUR_MS).ok().map(|moment| moment.to_string())
}

fn count(row: &PgRow, at: usize) -> Result<u64, sqlx::Error> {
    Ok(u64::try_from(row.try_get::<i64, _>(at)?).unwrap_or(0))
}

fn picodollars(row: &PgRow, at: usize) -> Result<i128, sqlx::Error> {
    let (micro, pico): (i64, i64) = (row.try_get(at)?, row.try_get(at + 1)?);
    Ok(i128::from(micro) * 1_000_000 + i128::from(pico))
}

impl Work for Report<'_> {
    type Done = Vec<UsageSums>;
    const WITHIN: Duration = Duration::from_secs(10);

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Done, sqlx::Error> {
        let mut query = sqlx::query(AssertSqlSafe(self.sql()));
        for (_, value) in self.query.only.iter().filter(|(by, _)| column(by).is_some()) {
            query = query.bind(super::rows::clean(value));
        }
        let mut groups = Groups::default();
        let mut rows = query.fetch(connection);
        while let Some(row) = rows.try_next().await? {
            groups.add(&row)?;
        }
        drop(rows);
        Ok(groups.finish(&self.query.group_by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from_ms: Option<i64>, to_ms: Option<i64>, by: &[GroupBy]) -> Option<Span> {
        Span::of(&UsageQuery { from_ms, to_ms, group_by: by.to_vec(), ..UsageQuery::default() })
    }

    #[test]
    fn whole_days_are_read_as_days_and_the_rest_as_hours() {
        let hour = |hour: i64| Some(hour * HOUR_MS);
        assert_eq!(span(None, None, &[]), Some(Span { hours: vec![], days: (0, NEVER / 24) }));
        assert_eq!(
            span(hour(30), hour(100), &[GroupBy::Day]),
            Some(Span { hours: vec![(30, 48), (96, 100)], days: (2, 4) })
        );
        assert_eq!(span(hour(30), hour(50), &[]), Some(Span { hours: vec![(30, 50)], days: (0, 0) }));
        assert_eq!(
            span(hour(24), hour(72), &[GroupBy::Hour]),
            Some(Span { hours: vec![(24, 72)], days: (0, 0) })
        );
        assert_eq!(span(hour(9), hour(9), &[]), None);
    }

    #[test]
    fn the_first_hour_begins_at_the_bound_or_later() {
        assert_eq!(span(Some(1), Some(HOUR_MS + 1), &[]), Some(Span { hours: vec![(1, 2)], days: (0, 0) }));
        assert_eq!(span(Some(-5), Some(0), &[]), None);
    }

    #[test]
    fn a_filter_by_time_narrows_the_span() {
        let only = |by, value: &str| {
            Span::of(&UsageQuery { only: vec![(by, value.to_owned())], ..UsageQuery::default() })
        };
        assert_eq!(only(GroupBy::Day, "1970-01-03T00:00:00Z"), Some(Span { hours: vec![], days: (2, 3) }));
        assert_eq!(
            only(GroupBy::Hour, "1970-01-03T05:00:00Z"),
            Some(Span { hours: vec![(53, 54)], days: (0, 0) })
        );
        assert_eq!(only(GroupBy::Hour, "1970-01-03T05:30:00Z"), None);
        assert_eq!(only(GroupBy::Day, "yesterday"), None);
    }
}
