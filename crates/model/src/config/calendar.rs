//! Windows of the calendar: hours, days, weeks and months as the clocks of a time zone show them.

use std::hash::{Hash, Hasher};
use std::sync::LazyLock;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp, ToSpan};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::near::nearest;

const HOUR_MS: i64 = 3_600_000;

/// Part of the program, so that a window is the same on every machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// All windows of one unit in one time zone. They follow each other without a gap, so that each moment is in one of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalendarWindow {
    pub unit: CalendarUnit,
    /// Default: UTC.
    #[serde(default, deserialize_with = "super::values::null_as_default")]
    pub time_zone: Zone,
}

/// From when to when a window lasts: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSpan {
    pub begins: i64,
    /// The first moment of the next window.
    pub ends: i64,
}

impl CalendarWindow {
    /// The window that contains `moment`, in milliseconds since the Unix epoch.
    pub fn span_at(&self, moment: i64) -> WindowSpan {
        let zone = &self.time_zone.0;
        let at = timestamp(moment);
        let moment = at.as_millisecond();
        match self.unit {
            CalendarUnit::Hour => hour(zone, moment),
            unit => {
                let date = zone.to_datetime(at).date();
                let first = unit.first_day(date);
                let begins = beginning(zone, first);
                let ends = beginning(zone, unit.next(first));
                // Where clocks are put back or forward around midnight, a date and its first moment may disagree.
                if moment < begins {
                    WindowSpan { begins: beginning(zone, unit.before(first)), ends: begins }
                } else if moment >= ends && ends > begins {
                    let next = unit.next(first);
                    WindowSpan { begins: ends, ends: beginning(zone, unit.next(next)) }
                } else {
                    WindowSpan { begins, ends }
                }
            }
        }
    }

    /// How long a window of this unit mostly is.
    pub fn usual_duration(&self) -> Duration {
        let hours = match self.unit {
            CalendarUnit::Hour => 1,
            CalendarUnit::Day => 24,
            CalendarUnit::Week => 7 * 24,
            CalendarUnit::Month => 30 * 24,
        };
        Duration::from_secs(hours * 3600)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CalendarUnit {
    Hour,
    Day,
    /// Begins on Monday.
    Week,
    Month,
}

impl CalendarUnit {
    const WORDS: [&'static str; 4] = ["hour", "day", "week", "month"];

    /// # Errors
    /// What is wrong with the word.
    pub fn read(word: &str) -> Result<Self, String> {
        Ok(match word {
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            _ => return Err(Self::fault(word)),
        })
    }

    /// What is wrong with a value that is none.
    pub fn fault(word: &str) -> String {
        let hint = hint(word, Self::WORDS.into_iter());
        format!("must be one of: {}{hint}", Self::WORDS.join(", "))
    }

    fn first_day(self, date: Date) -> Date {
        match self {
            Self::Hour | Self::Day => date,
            Self::Week => date.saturating_sub(i64::from(date.weekday().to_monday_zero_offset()).days()),
            Self::Month => date.first_of_month(),
        }
    }

    fn length(self) -> Span {
        match self {
            Self::Hour | Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
        }
    }

    fn next(self, first: Date) -> Date {
        first.saturating_add(self.length())
    }

    fn before(self, first: Date) -> Date {
        first.saturating_sub(self.length())
    }
}

impl<'de> Deserialize<'de> for CalendarUnit {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(input)?).map_err(D::Error::custom)
    }
}

/// A time zone of the IANA database.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// # Errors
    /// What is wrong with the name.
    pub fn read(name: &str) -> Result<Self, String> {
        let known = ZONES.get(name).ok().filter(|zone| !zone.is_unknown());
        known.map(Self).ok_or_else(|| Self::fault(name))
    }

    /// What is wrong with a name that is none.
    pub fn fault(name: &str) -> String {
        let names: Vec<String> = ZONES.available().map(|name| name.to_string()).collect();
        let hint = hint(name, names.iter().map(String::as_str));
        format!("must be an IANA time zone, such as \"UTC\" or \"Europe/Berlin\"{hint}")
    }

    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(input)?).map_err(D::Error::custom)
    }
}

fn hint<'n>(word: &str, known: impl Iterator<Item = &'n str>) -> String {
    nearest(word, known).map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"))
}

fn timestamp(moment: i64) -> Timestamp {
    let bound = if moment < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(moment).unwrap_or(bound)
}

/// The first moment of a day.
fn beginning(zone: &TimeZone, date: Date) -> i64 {
    let midnight = date.to_datetime(jiff::civil::Time::midnight());
    let bound = if date.year() < 0 { i64::MIN } else { i64::MAX };
    zone.to_timestamp(midnight).map_or(bound, |at| at.as_millisecond())
}

/// The hour of the clock that contains `moment`. Clocks that are put forward or back by part of an hour, as on Lord Howe, cut
/// it short.
fn hour(zone: &TimeZone, moment: i64) -> WindowSpan {
    let at = timestamp(moment);
    let offset = |at: Timestamp| i64::from(zone.to_offset(at).seconds()) * 1000;
    let past = |at: Timestamp| (at.as_millisecond() + offset(at)).rem_euclid(HOUR_MS);
    let begins = moment - past(timestamp(moment));
    let ends = begins + HOUR_MS;
    let moves_minutes = |change: i64| {
        let (before, after) = (timestamp(change - 1), timestamp(change));
        (offset(after) - offset(before)) % HOUR_MS != 0
    };
    let last = zone.preceding(timestamp(moment + 1)).next().map(|change| change.timestamp().as_millisecond());
    let next = zone.following(at).next().map(|change| change.timestamp().as_millisecond());
    let cut = |change: &i64| (begins..ends).contains(change) && moves_minutes(*change);
    WindowSpan { begins: last.filter(cut).unwrap_or(begins), ends: next.filter(cut).unwrap_or(ends) }
}

#[cfg(test)]
mod tests;
