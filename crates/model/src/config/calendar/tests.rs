use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn window(unit: &str, zone: &str) -> CalendarWindow {
    CalendarWindow { unit: CalendarUnit::read(unit).unwrap(), time_zone: Zone::read(zone).unwrap() }
}

fn ms(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_millisecond()
}

/// The window around a moment, as the zone's clocks show its ends, and its length in minutes.
fn span(unit: &str, zone: &str, moment: &str) -> (String, String, i64) {
    let span = window(unit, zone).span_at(ms(moment));
    let shown = |at| Timestamp::from_millisecond(at).unwrap().to_zoned_datetime(TimeZone::get(zone).unwrap());
    let text = |at| shown(at).strftime("%Y-%m-%d %H:%M %:z").to_string();
    (text(span.begins), text(span.ends), (span.ends - span.begins) / 60_000)
}

#[test]
fn a_day_has_as_many_hours_as_its_clocks_show() {
    for (zone, moment, begins, ends, hours) in [
        ("UTC", "2026-11-29T23:59:59.999Z", "2026-11-29 00:00 +00:00", "2026-11-30 00:00 +00:00", 24),
        (
            "America/New_York",
            "2026-03-08T12:00:00Z",
            "2026-03-08 00:00 -05:00",
            "2026-03-09 00:00 -04:00",
            23,
        ),
        (
            "America/New_York",
            "2026-11-01T12:00:00Z",
            "2026-11-01 00:00 -04:00",
            "2026-11-02 00:00 -05:00",
            25,
        ),
        ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29 00:00 +01:00", "2026-03-30 00:00 +02:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-25 00:00 +02:00", "2026-10-26 00:00 +01:00", 25),
        ("Asia/Kolkata", "2026-06-01T18:30:00Z", "2026-06-02 00:00 +05:30", "2026-06-03 00:00 +05:30", 24),
        // Clocks are put forward at midnight: the day begins at one o'clock.
        ("Asia/Beirut", "2026-03-29T12:00:00Z", "2026-03-29 01:00 +03:00", "2026-03-30 00:00 +03:00", 23),
    ] {
        let expected = (begins.to_owned(), ends.to_owned(), hours * 60);
        assert_eq!(span("day", zone, moment), expected, "{zone} {moment}");
    }
}

#[test]
fn months_are_as_long_as_they_are() {
    let days = |moment| span("month", "Europe/Berlin", moment).2 / 60 / 24;
    assert_eq!(
        ["2026-02-10T00:00:00Z", "2028-02-10T00:00:00Z", "2026-04-30T12:00:00Z"].map(days),
        [28, 29, 30]
    );
    // 31 days, less the hour that clocks are put forward.
    assert_eq!(
        span("month", "Europe/Berlin", "2026-02-28T23:00:00Z"),
        ("2026-03-01 00:00 +01:00".into(), "2026-04-01 00:00 +02:00".into(), 31 * 24 * 60 - 60)
    );
    assert_eq!(span("month", "Pacific/Auckland", "2026-12-31T10:59:59Z").0, "2026-12-01 00:00 +13:00");
}

#[test]
fn weeks_begin_on_monday() {
    for moment in ["2026-11-30T00:00:00Z", "2026-12-03T12:00:00Z", "2026-12-06T23:59:59Z"] {
        let (begins, ends, minutes) = span("week", "UTC", moment);
        assert_eq!((&*begins, &*ends), ("2026-11-30 00:00 +00:00", "2026-12-07 00:00 +00:00"), "{moment}");
        assert_eq!(minutes, 7 * 24 * 60);
    }
    // A Sunday in UTC is Monday already on the other side of the world.
    assert_eq!(span("week", "Pacific/Auckland", "2026-11-29T12:00:00Z").0, "2026-11-30 00:00 +13:00");
    assert_eq!(span("week", "America/New_York", "2026-03-08T12:00:00Z").2, 7 * 24 * 60 - 60);
}

#[test]
fn hours_are_those_of_the_zones_clocks() {
    for (zone, moment, begins, minutes) in [
        ("Asia/Kolkata", "2026-06-01T10:45:00Z", "2026-06-01 16:00 +05:30", 60),
        ("Asia/Kathmandu", "2026-06-01T10:45:00Z", "2026-06-01 16:00 +05:45", 60),
        // An hour that is shown twice is two windows.
        ("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25 02:00 +02:00", 60),
        ("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25 02:00 +01:00", 60),
        // Half an hour is put forward from two o'clock, and back from two to half past one.
        ("Australia/Lord_Howe", "2026-10-03T15:45:00Z", "2026-10-04 02:30 +11:00", 30),
        ("Australia/Lord_Howe", "2026-04-04T15:10:00Z", "2026-04-05 01:30 +10:30", 30),
    ] {
        let (shown, _, length) = span("hour", zone, moment);
        assert_eq!((&*shown, length), (begins, minutes), "{zone} {moment}");
    }
}

#[test]
fn moments_outside_of_the_calendar_are_in_some_window() {
    for unit in CalendarUnit::WORDS {
        for moment in [i64::MIN, i64::MAX] {
            let _ = window(unit, "America/New_York").span_at(moment);
        }
    }
}

#[test]
fn unknown_words_say_what_may_be_meant() {
    let fault = |json: &str| serde_json::from_str::<CalendarWindow>(json).unwrap_err().to_string();
    let zone = fault(r#"{"unit": "day", "timeZone": "Europe/Berln"}"#);
    assert!(zone.contains("did you mean \"Europe/Berlin\"?"), "{zone}");
    assert!(
        fault(r#"{"unit": "weeks"}"#)
            .starts_with("must be one of: hour, day, week, month; did you mean \"week\"?")
    );
    assert!(Zone::read("EST5EDT4").is_err() && Zone::read("Etc/Unknown").is_err());
    let named = |json: &str| serde_json::from_str::<CalendarWindow>(json).unwrap().time_zone;
    assert_eq!(named(r#"{"unit": "day", "timeZone": "europe/berlin"}"#).name(), "Europe/Berlin");
    assert_eq!(named(r#"{"unit": "day", "timeZone": null}"#), named(r#"{"unit": "day", "timeZone": "UTC"}"#));
}

/// Some with odd habits: changes at midnight, by half hours, a day that was left out, a date that came twice.
const ZONES_TO_TRY: [&str; 12] = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "America/St_Johns",
    "America/Havana",
    "Pacific/Apia",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "Pacific/Kwajalein",
];

proptest! {
    #[test]
    fn windows_tile_time(
        zone in prop::sample::select(&ZONES_TO_TRY[..]),
        unit in prop::sample::select(&CalendarUnit::WORDS[..]),
        // 1965 to 2095.
        moment in -157_766_400_000..3_944_678_400_000_i64,
    ) {
        let window = window(unit, zone);
        let span = window.span_at(moment);
        prop_assert!(span.begins <= moment && moment < span.ends);
        prop_assert_eq!(window.span_at(span.begins), span, "begins within itself");
        prop_assert_eq!(window.span_at(span.ends - 1), span, "lasts to its end");
        let (next, before) = (window.span_at(span.ends), window.span_at(span.begins - 1));
        prop_assert_eq!(next.begins, span.ends, "no gap, no overlap");
        prop_assert_eq!(before.ends, span.begins, "no gap, no overlap");
    }

    #[test]
    fn the_windows_around_a_change_of_the_clocks_tile_time(
        zone in prop::sample::select(&ZONES_TO_TRY[..]),
        unit in prop::sample::select(&CalendarUnit::WORDS[..]),
        from in -157_766_400_000..3_944_678_400_000_i64,
        off in -7_200_000..7_200_000_i64,
    ) {
        let window = window(unit, zone);
        let change = window.time_zone.0.following(timestamp(from)).next();
        let moment = change.map_or(from, |change| change.timestamp().as_millisecond()) + off;
        let span = window.span_at(moment);
        prop_assert!(span.begins <= moment && moment < span.ends);
        prop_assert_eq!(window.span_at(span.begins), span);
        prop_assert_eq!(window.span_at(span.ends - 1), span);
        prop_assert_eq!(window.span_at(span.ends).begins, span.ends);
    }
}
