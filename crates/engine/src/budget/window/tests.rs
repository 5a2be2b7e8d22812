use super::super::testing::ManualTime;
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn one_token() -> Amount {
    Amount { input: 1, ..Amount::default() }
}

fn calendar(window: &str) -> BudgetWindow {
    serde_json::from_str(window).unwrap()
}

#[test]
fn window_begins_with_its_first_use_and_ends_after_its_length() {
    let time = ManualTime::new();
    let mut buckets = Buckets::new(BudgetWindow::Hour, time.now());
    time.advance(HOUR / 2);
    buckets.current("k", time.now()).spent += one_token();
    time.advance(HOUR - Duration::from_nanos(1));
    assert_eq!(buckets.current("k", time.now()).spent, one_token());
    assert_eq!(buckets.spent(time.now()), one_token());
    time.advance(Duration::from_nanos(1));
    assert_eq!(buckets.spent(time.now()), Amount::default());
    assert_eq!(buckets.current("k", time.now()).spent, Amount::default());
}

#[test]
fn expired_buckets_are_forgotten_unless_a_call_is_active() {
    let time = ManualTime::new();
    let mut buckets = Buckets::new(BudgetWindow::Hour, time.now());
    for key in 0..1000 {
        buckets.current(key, time.now()).spent += one_token();
    }
    buckets.current(7, time.now()).reserve(Range::from(one_token()), true);
    time.advance(HOUR);
    buckets.current(5000, time.now());
    assert_eq!(buckets.len(), 2);
    assert_eq!(buckets.current(7, time.now()).spent, Amount::default());
    assert_eq!(buckets.reserved(), one_token());
}

#[test]
fn a_calendar_window_ends_when_its_day_does_however_late_it_is_first_used() {
    // The clocks of New York are put forward that day, which has 23 hours.
    let time = ManualTime::at("2026-03-08T00:30:00-05:00");
    let window = calendar(r#"{"unit": "day", "timeZone": "America/New_York"}"#);
    let mut buckets = Buckets::new(window, time.now());
    buckets.current("early", time.now()).spent += one_token();
    time.advance(22 * HOUR);
    buckets.current("late", time.now()).spent += one_token();
    time.advance(HOUR / 2 - Duration::from_millis(1));
    assert_eq!(buckets.spent(time.now()), one_token() + one_token());
    time.advance(Duration::from_millis(1));
    assert_eq!(buckets.spent(time.now()), Amount::default());
    assert_eq!(buckets.current("late", time.now()).spent, Amount::default());
}

#[test]
fn a_window_that_has_begun_does_not_care_for_a_wall_clock_that_is_set() {
    let time = ManualTime::at("2026-06-01T10:00:00Z");
    let mut buckets = Buckets::new(calendar(r#"{"unit": "day"}"#), time.now());
    buckets.current("k", time.now()).spent += one_token();
    for wall in ["2026-06-03T12:00:00Z", "2026-05-01T12:00:00Z"] {
        time.set_wall(wall);
        assert_eq!(buckets.current("k", time.now()).spent, one_token(), "{wall}");
    }
    time.advance(14 * HOUR);
    assert_eq!(buckets.current("k", time.now()).spent, Amount::default());
}

#[test]
fn a_wall_clock_that_was_put_back_a_little_begins_no_day_twice() {
    let time = ManualTime::at("2026-06-01T10:00:00Z");
    let mut buckets = Buckets::new(calendar(r#"{"unit": "day"}"#), time.now());
    buckets.current("k", time.now()).spent += one_token();
    time.advance(14 * HOUR);
    time.set_wall("2026-06-01T23:59:58Z");
    buckets.current("k", time.now()).spent += one_token();
    // The clock's midnight, two seconds later, is not the end of the day that has begun.
    time.advance(Duration::from_secs(2));
    assert_eq!(buckets.current("k", time.now()).spent, one_token());
}

#[test]
fn the_end_that_is_told_is_the_calendars_own_unless_the_clock_was_set() {
    let time = ManualTime::at("2026-06-01T10:00:00.4Z");
    let mut buckets = Buckets::new(calendar(r#"{"unit": "month", "timeZone": "Asia/Kolkata"}"#), time.now());
    let midnight = "2026-07-01T00:00:00+05:30".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    assert_eq!(buckets.ends_unused(time.now()), Some(midnight));
    buckets.current("k", time.now());
    time.advance(Duration::from_micros(1_499));
    let told = |now| buckets.ends(buckets.get("k").unwrap(), now);
    assert_eq!(told(time.now()), Some(midnight));
    time.set_wall("2026-06-01T11:00:00.4015Z");
    assert!(told(time.now()).is_some_and(|end| end.abs_diff(midnight + 3_600_000) < 10));
}
