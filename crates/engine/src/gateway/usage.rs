//! What was used, from the records.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Gateway;
use crate::records::{GroupBy, UsageQuery, UsageSums};
use gateway_model::Usd;
use gateway_model::config::nearest;
use gateway_model::error::{Failure, GatewayError};

/// Names of groups as queries and rows have them.
const GROUPS: [(&str, GroupBy); 10] = [
    ("hour", GroupBy::Hour),
    ("day", GroupBy::Day),
    ("provider", GroupBy::Provider),
    ("model", GroupBy::Model),
    ("routeRule", GroupBy::RouteRule),
    ("feature", GroupBy::Feature),
    ("userTier", GroupBy::UserTier),
    ("userId", GroupBy::UserId),
    ("key", GroupBy::Key),
    ("team", GroupBy::Team),
];

impl Gateway {
    /// Sums of the calls' records. `query`: `{from?, to?, groupBy?, format?}` as JSON; times are RFC 3339 or milliseconds since
    /// the epoch. Answers with rows, or with one CSV text.
    ///
    /// # Errors
    /// `invalid_request` for a query that cannot be read; `config_invalid` where no records are kept; the store's failure.
    pub async fn usage(&self, query: &str) -> Result<Value, Failure> {
        let (query, format) = read(query)?;
        let reader = self.holdings.as_ref().and_then(|holdings| holdings.stores.usage.as_ref());
        let reader = reader.ok_or_else(|| {
            GatewayError::config_invalid(
                "settings.database: is not set, and usage is answered from what is kept there",
            )
        })?;
        let sums = reader.usage(&query).await.map_err(|error| {
            GatewayError::store_unavailable(
                "Usage",
                &error.to_string(),
                "try again once the database is back",
            )
        })?;
        Ok(match format {
            Format::Rows => Value::Array(sums.iter().map(|sum| Value::Object(row(&query, sum))).collect()),
            Format::Csv => Value::String(csv(&query, &sums)),
        })
    }
}

enum Format {
    Rows,
    Csv,
}

fn read(query: &str) -> Result<(UsageQuery, Format), GatewayError> {
    let fields: Map<String, Value> = match serde_json::from_str(query) {
        Ok(Value::Null) => Map::new(),
        Ok(Value::Object(fields)) => fields,
        _ => return Err(GatewayError::invalid_request("query", "must be an object")),
    };
    let mut format = Format::Rows;
    let mut read = UsageQuery::default();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "from" => read.from_ms = Some(moment(name, value)?),
            "to" => read.to_ms = Some(moment(name, value)?),
            "groupBy" => read.group_by = groups(value)?,
            "format" => {
                format = match value.as_str() {
                    Some("json") => Format::Rows,
                    Some("csv") => Format::Csv,
                    _ => return Err(GatewayError::invalid_request(name, "must be \"json\" or \"csv\"")),
                }
            }
            _ => {
                let known = ["from", "to", "groupBy", "format"];
                return Err(GatewayError::invalid_request(name, unknown("field", name, &known)));
            }
        }
    }
    Ok((read, format))
}

fn moment(path: &str, value: &Value) -> Result<i64, GatewayError> {
    #[allow(clippy::cast_possible_truncation)]
    let of_number = |number: f64| number as i64;
    let read = match value {
        Value::String(text) => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
        value => value.as_f64().map(of_number),
    };
    read.ok_or_else(|| {
        let what = "must be a Date, a time as in \"2026-01-31T00:00:00Z\", or milliseconds since the epoch";
        GatewayError::invalid_request(path, what)
    })
}

fn groups(value: &Value) -> Result<Vec<GroupBy>, GatewayError> {
    let names = match value {
        Value::Array(names) => names.iter().collect(),
        name => vec![name],
    };
    let mut groups: Vec<GroupBy> = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let path = if value.is_array() { format!("groupBy[{index}]") } else { "groupBy".to_owned() };
        let name = name.as_str().unwrap_or_default();
        let Some((_, group)) = GROUPS.iter().find(|(known, _)| *known == name) else {
            let known = GROUPS.map(|(name, _)| name);
            return Err(GatewayError::invalid_request(&path, unknown("group", name, &known)));
        };
        if groups.contains(group) {
            return Err(GatewayError::invalid_request(&path, "is named twice"));
        }
        groups.push(group.clone());
    }
    Ok(groups)
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("is no {what} of usage; did you mean \"{near}\"?"),
        None => format!("is no {what} of usage; there are {}", known.join(", ")),
    }
}

fn name_of(group: &GroupBy) -> &'static str {
    GROUPS.iter().find(|(_, known)| known == group).map_or("", |(name, _)| name)
}

/// A row's figures, in order, after the fields of its group.
fn figures(sum: &UsageSums) -> [(&'static str, Value); 8] {
    [
        ("calls", json!(sum.calls)),
        ("errors", json!(sum.errors)),
        ("inputTokens", json!(sum.input_tokens)),
        ("outputTokens", json!(sum.output_tokens)),
        ("costUsd", json!(dollars(sum.cost))),
        ("savedUsd", json!(dollars(sum.saved))),
        ("latencyP50Ms", json!(sum.latency_p50_ms)),
        ("latencyP95Ms", json!(sum.latency_p95_ms)),
    ]
}

fn row(query: &UsageQuery, sum: &UsageSums) -> Map<String, Value> {
    let group = query.group_by.iter().zip(&sum.group).map(|(by, value)| (name_of(by), json!(value)));
    group.chain(figures(sum)).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The nearest float of a sum of picodollars.
fn dollars(picodollars: i128) -> f64 {
    Usd::from(picodollars).dollars()
}

/// With a head, and lines as RFC 4180 has them.
fn csv(query: &UsageQuery, sums: &[UsageSums]) -> String {
    let names = figures(&UsageSums::default()).map(|(name, _)| name);
    let head: Vec<&str> = query.group_by.iter().map(name_of).chain(names).collect();
    let mut text = line(head.into_iter().map(str::to_owned));
    for sum in sums {
        let group = sum.group.iter().map(|value| value.clone().unwrap_or_default());
        let figures = figures(sum).into_iter().map(|(_, figure)| match figure {
            Value::Null => String::new(),
            figure => figure.to_string(),
        });
        text.push_str(&line(group.chain(figures)));
    }
    text
}

fn line(fields: impl Iterator<Item = String>) -> String {
    let quoted = fields.map(|field| {
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_with_paths_and_near_misses() {
        let (query, _) =
            read(r#"{"from": "2026-01-31T00:00:00Z", "to": 1769904000000, "groupBy": ["day", "userId"]}"#)
                .unwrap();
        assert_eq!((query.from_ms, query.to_ms), (Some(1_769_817_600_000), Some(1_769_904_000_000)));
        assert_eq!(query.group_by, [GroupBy::Day, GroupBy::UserId]);
        let message = |query| read(query).err().unwrap().message;
        assert!(message(r#"{"groupBy": ["day", "models"]}"#).contains("groupBy[1]"));
        assert!(message(r#"{"groupBy": "models"}"#).contains("did you mean \"model\"?"));
        assert!(message(r#"{"groupBy": ["day", "day"]}"#).contains("twice"));
        assert!(message(r#"{"groupby": 1}"#).contains("did you mean \"groupBy\"?"));
        assert!(message(r#"{"from": "yesterday"}"#).contains("from"));
    }

    #[test]
    fn csv_quotes_what_would_break_a_line() {
        let query = UsageQuery { group_by: vec![GroupBy::UserId], ..UsageQuery::default() };
        let sum = UsageSums {
            group: vec![Some("a,\"b\"\n".to_owned())],
            calls: 2,
            cost: 1_500_000_000_000,
            ..UsageSums::default()
        };
        assert_eq!(
            csv(&query, &[sum]),
            "userId,calls,errors,inputTokens,outputTokens,costUsd,savedUsd,latencyP50Ms,latencyP95Ms\r\n\
             \"a,\"\"b\"\"\n\",2,0,0,0,1.5,0.0,,\r\n"
        );
    }
}
