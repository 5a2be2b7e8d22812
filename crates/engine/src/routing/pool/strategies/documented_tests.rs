//! Holds what users read against the table of strategies.

use super::STRATEGIES;
use crate::routing::pool::strategy_names;
use gateway_model::config::StrategyName;

const TYPES: &str = include_str!("../../../../../../types/config.d.ts");
const ROUTING: &str = include_str!("../../../../../../docs/routing.md");
const SETTINGS: &str = include_str!("../../../../../../docs/configuration.md");

/// The text between two others.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("`{start}` is missing"));
    rest.split_once(end).map_or(rest, |(part, _)| part)
}

/// What stands in a pair of quotes.
fn quoted(text: &str, quote: char) -> Vec<&str> {
    text.split(quote).skip(1).step_by(2).collect()
}

#[test]
fn type_declarations_offer_every_strategy() {
    assert_eq!(quoted(between(TYPES, "export type PoolStrategy =", "\n\n"), '\''), strategy_names());
}

#[test]
fn settings_list_every_strategy_and_the_default() {
    let row = between(SETTINGS, "| `target.strategy` |", "\n");
    let (names, rest) = row.split_once('|').unwrap();
    assert_eq!(quoted(names, '`'), strategy_names());
    let default = StrategyName::default();
    assert_eq!(quoted(rest, '`'), [default.as_str()]);
    assert_eq!(STRATEGIES[0].name, default.as_str());
}

#[test]
fn routing_guide_lists_and_describes_every_strategy() {
    let table = between(ROUTING, "| strategy | picks | choose it if |\n|---|---|---|\n", "\n\n");
    let rows: Vec<(String, &str)> = table
        .lines()
        .map(|row| row.split(" | ").collect::<Vec<_>>())
        .map(|cells| (cells[0].to_owned(), cells[1]))
        .collect();
    let registered: Vec<(String, &str)> = STRATEGIES
        .iter()
        .map(|strategy| (format!("| [`{0}`](#{0})", strategy.name), strategy.summary))
        .collect();
    assert_eq!(rows, registered);
    for name in strategy_names() {
        assert!(ROUTING.contains(&format!("\n### {name}\n")), "{name} has no section");
    }
}
