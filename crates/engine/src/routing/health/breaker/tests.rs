use std::sync::Arc;

use super::*;

fn admit(breaker: &Arc<Breaker>) -> Result<Ticket<Arc<Breaker>>, Duration> {
    Breaker::admit(breaker.clone())
}

fn breaker() -> Arc<Breaker> {
    let settings = BreakerSettings { failure_threshold: 3, cooldown: Duration::from_secs(10), probes: 2 };
    Arc::new(Breaker::new(settings))
}

fn opened() -> Arc<Breaker> {
    let breaker = breaker();
    for _ in 0..3 {
        admit(&breaker).unwrap().failed();
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_the_breaker_unless_a_success_comes_between() {
    let breaker = breaker();
    for _ in 0..5 {
        admit(&breaker).unwrap().failed();
        admit(&breaker).unwrap().failed();
        admit(&breaker).unwrap().succeeded();
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(admit(&opened()).unwrap_err(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn half_open_lets_one_probe_through_at_a_time_and_enough_successes_close_the_breaker() {
    let breaker = opened();
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(breaker.blocked(), None);
    let probe = admit(&breaker).unwrap();
    assert!(admit(&breaker).is_err() && breaker.blocked().is_some());
    probe.succeeded();
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    admit(&breaker).unwrap().succeeded();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_reopens_the_breaker_and_a_dropped_one_makes_room_for_the_next() {
    let breaker = opened();
    tokio::time::advance(Duration::from_secs(10)).await;
    drop(admit(&breaker).unwrap());
    admit(&breaker).unwrap().failed();
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.blocked(), Some(Duration::from_secs(10)));
}

#[tokio::test(start_paused = true)]
async fn calls_from_before_the_breaker_opened_change_nothing() {
    let breaker = breaker();
    let early: Vec<_> = (0..3).map(|_| admit(&breaker).unwrap()).collect();
    for _ in 0..3 {
        admit(&breaker).unwrap().failed();
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    let probe = admit(&breaker).unwrap();
    for ticket in early {
        ticket.failed();
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    probe.succeeded();
}

#[tokio::test(start_paused = true)]
async fn health_checks_count_as_probes() {
    let breaker = opened();
    breaker.check_succeeded();
    breaker.check_succeeded();
    assert_eq!(breaker.state(), BreakerState::Closed);
    for _ in 0..3 {
        breaker.check_failed();
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn health_checks_during_a_probe_leave_no_probe_behind() {
    // Checks close it.
    let breaker = opened();
    tokio::time::advance(Duration::from_secs(10)).await;
    let probe = admit(&breaker).unwrap();
    breaker.check_succeeded();
    breaker.check_succeeded();
    assert_eq!((breaker.state(), breaker.blocked()), (BreakerState::Closed, None));
    probe.succeeded();
    assert_eq!((breaker.is_blocked(), breaker.blocked()), (false, None));
    // A check opens it: the probe of before is not the next one.
    let breaker = opened();
    tokio::time::advance(Duration::from_secs(10)).await;
    let early = admit(&breaker).unwrap();
    breaker.check_failed();
    tokio::time::advance(Duration::from_secs(10)).await;
    let probe = admit(&breaker).unwrap();
    early.failed();
    assert!(admit(&breaker).is_err(), "one probe at a time");
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    probe.succeeded();
    admit(&breaker).unwrap().succeeded();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn threads_never_probe_at_once_and_no_probe_is_lost() {
    let settings = BreakerSettings { failure_threshold: 1, cooldown: Duration::ZERO, probes: 1_000_000 };
    let breaker = Arc::new(Breaker::new(settings));
    let running = std::sync::atomic::AtomicUsize::new(0);
    let probes = std::sync::atomic::AtomicUsize::new(0);
    breaker.check_failed();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (breaker, running, probes) = (&breaker, &running, &probes);
            scope.spawn(move || {
                for round in 0..5_000 {
                    let Ok(ticket) = admit(breaker) else { continue };
                    use std::sync::atomic::Ordering::SeqCst;
                    assert_eq!(running.fetch_add(1, SeqCst), 0);
                    probes.fetch_add(1, SeqCst);
                    running.fetch_sub(1, SeqCst);
                    match (round + thread) % 3 {
                        0 => ticket.succeeded(),
                        1 => ticket.failed(),
                        _ => drop(ticket),
                    }
                }
            });
        }
    });
    assert!(probes.into_inner() > 0);
    assert_eq!(breaker.blocked(), None, "a probe was never given back");
}
