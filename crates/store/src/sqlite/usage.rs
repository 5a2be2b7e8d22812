//! What was used: sums from the roll-ups. Whole days come from the daily ones, and only the hours at both ends from the
//! hourly ones.

use std::ops::Range;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::records::{GroupBy, UsageQuery, UsageReader, UsageSums};
use gateway_engine::state::StoreError;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::rollup::{DAY_MS, HOUR_MS, Span};
use super::script::{Script, rows};
use crate::latency::Latencies;

const HOURS_OF_DAY: i64 = DAY_MS / HOUR_MS;

const MICRO: i128 = 1_000_000;

/// The sums that a table and a sub-query have alike.
const SUMS: &str = "SUM(calls) AS calls, SUM(errors) AS errors, SUM(input_tokens) AS input_tokens, \
     SUM(output_tokens) AS output_tokens, SUM(cost_micro) AS cost_micro, SUM(cost_pico) AS cost_pico, \
     SUM(saved_micro) AS saved_micro, SUM(saved_pico) AS saved_pico, group_concat(latencies, '') AS latencies";

const COLUMNS: &str =
    "calls, errors, input_tokens, output_tokens, cost_micro, cost_pico, saved_micro, saved_pico, latencies";

impl UsageReader for SqliteStore {
    fn usage<'a>(&'a self, query: &'a UsageQuery) -> BoxFuture<'a, Result<Vec<UsageSums>, StoreError>> {
        async move {
            let told = |error: sqlx::Error| self.shared.error(&error);
            let Some(hours) = hours(query) else { return Ok(Vec::new()) };
            let script = script(query, hours).map_err(told)?;
            let found = rows(&mut self.reports.read(script).await?, 0);
            found.iter().map(|row| sums(row, &query.group_by)).collect::<Result<_, _>>().map_err(told)
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

/// The column of a dimension; `None`: it is a time.
fn column(dimension: &GroupBy) -> Option<&'static str> {
    match dimension {
        GroupBy::Hour | GroupBy::Day => None,
        GroupBy::Provider => Some("provider"),
        GroupBy::Model => Some("model"),
        GroupBy::RouteRule => Some("route_rule"),
        GroupBy::Feature => Some("feature"),
        GroupBy::UserTier => Some("user_tier"),
        GroupBy::UserId => Some("user_id"),
        GroupBy::Key => Some("key_id"),
        GroupBy::Team => Some("team"),
    }
}

fn script(query: &UsageQuery, hours: Range<i64>) -> Result<Script, sqlx::Error> {
    let by = |dimension| query.group_by.contains(dimension);
    let (by_hour, by_day) = (by(&GroupBy::Hour), by(&GroupBy::Day));
    // Without times, each part is summed up by series first: there are far fewer series than sums. With them, a part's rows
    // are in the order of the times already.
    let part = |span: Span| {
        let (table, column) = (span.table(), span.column());
        let day = match span {
            Span::Day => column.to_owned(),
            Span::Hour => format!("{column} / {HOURS_OF_DAY}"),
        };
        let times = [(by_hour, column.to_owned()), (by_day, format!("{day} AS day_of"))];
        let times: Vec<String> =
            times.into_iter().filter(|(is_in, _)| *is_in).map(|(_, time)| time).collect();
        let range = format!("FROM {table} WHERE {column} >= ? AND {column} < ?");
        if times.is_empty() {
            format!("SELECT series, {SUMS} {range} GROUP BY series")
        } else {
            format!("SELECT {}, series, {COLUMNS} {range}", times.join(", "))
        }
    };
    let days = div_up(hours.start, HOURS_OF_DAY)..hours.end.div_euclid(HOURS_OF_DAY);
    let mut ranges = Vec::new();
    let parts = if by_hour || days.is_empty() {
        ranges.push(hours);
        part(Span::Hour)
    } else {
        ranges.push(hours.start..days.start * HOURS_OF_DAY);
        ranges.push(days.end * HOURS_OF_DAY..hours.end);
        ranges.push(days);
        [part(Span::Hour), part(Span::Hour), part(Span::Day)].join(" UNION ALL ")
    };
    let groups: Vec<&str> = query
        .group_by
        .iter()
        .map(|dimension| match dimension {
            GroupBy::Hour => "hour",
            GroupBy::Day => "day_of",
            other => column(other).unwrap_or_default(),
        })
        .collect();
    let groups = groups.join(", ");
    let only: Vec<(&str, &str)> = query
        .only
        .iter()
        .filter_map(|(dimension, value)| Some((column(dimension)?, value.as_str())))
        .collect();
    let mut filter: String = only.iter().map(|(column, _)| format!(" AND {column} = ?")).collect();
    if groups.is_empty() {
        filter.push_str(" HAVING COUNT(*) > 0");
    } else {
        filter.push_str(&format!(" GROUP BY {groups} ORDER BY {groups}"));
    }
    let needs_series = !only.is_empty() || query.group_by.iter().any(|dimension| column(dimension).is_some());
    let join = if needs_series { " JOIN usage_series ON id = series" } else { "" };
    let comma = if groups.is_empty() { "" } else { ", " };
    let mut script = Script::default();
    script.statement(&format!("SELECT {SUMS}{comma}{groups} FROM ({parts}){join} WHERE true{filter}"));
    for range in ranges {
        script.bind(range.start)?;
        script.bind(range.end)?;
    }
    only.iter().try_for_each(|(_, value)| script.bind(*value))?;
    Ok(script)
}

fn div_up(number: i64, by: i64) -> i64 {
    number.div_euclid(by) + i64::from(number.rem_euclid(by) > 0)
}

fn sums(row: &SqliteRow, group_by: &[GroupBy]) -> Result<UsageSums, sqlx::Error> {
    let count =
        |place: usize| row.try_get::<i64, _>(place).map(|count| u64::try_from(count).unwrap_or_default());
    let money = |place: usize| -> Result<i128, sqlx::Error> {
        let (micro, pico): (i64, i64) = (row.try_get(place)?, row.try_get(place + 1)?);
        Ok(i128::from(micro) * MICRO + i128::from(pico))
    };
    let mut latencies = Latencies::default();
    latencies.add_text(row.try_get(8)?);
    let group = group_by.iter().enumerate().map(|(index, dimension)| match dimension {
        GroupBy::Hour => time(row.try_get(9 + index)?, HOUR_MS),
        GroupBy::Day => time(row.try_get(9 + index)?, DAY_MS),
        _ => row.try_get(9 + index),
    });
    Ok(UsageSums {
        group: group.collect::<Result<_, _>>()?,
        calls: count(0)?,
        errors: count(1)?,
        input_tokens: count(2)?,
        output_tokens: count(3)?,
        cost: money(4)?,
        saved: money(6)?,
        latency_p50_ms: latencies.percentile(0.5),
        latency_p95_ms: latencies.percentile(0.95),
    })
}

fn time(number: i64, unit_ms: i64) -> Result<Option<String>, sqlx::Error> {
    let at = Timestamp::from_millisecond(number.saturating_mul(unit_ms));
    at.map(|at| Some(at.to_string())).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
