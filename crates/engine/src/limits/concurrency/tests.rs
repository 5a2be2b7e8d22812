use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::*;

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Permit, Refused>> + Send + 'a>>;

fn poll(waiting: &mut Waiting<'_>) -> Poll<Result<Permit, Refused>> {
    waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn queued(limit: &ConcurrencyLimit) -> Waiting<'_> {
    let mut waiting: Waiting = Box::pin(limit.acquire(None, None));
    assert!(poll(&mut waiting).is_pending());
    waiting
}

fn counts(limit: &ConcurrencyLimit) -> (usize, usize) {
    (limit.in_flight(), limit.waiting())
}

#[tokio::test]
async fn permits_run_out_and_are_returned() {
    let limit = ConcurrencyLimit::new(2, 0);
    let first = limit.acquire(None, None).await.unwrap();
    let second = limit.try_acquire().unwrap();
    assert_eq!(counts(&limit), (2, 0));
    assert!(limit.try_acquire().is_none());
    assert_eq!(limit.acquire(None, None).await.unwrap_err(), Refused::QueueFull { waiting: 0 });
    drop(first);
    let third = limit.acquire(None, None).await.unwrap();
    drop((second, third));
    assert_eq!(counts(&limit), (0, 0));
}

#[tokio::test]
async fn a_permit_may_move_to_another_task() {
    let limit = ConcurrencyLimit::new(1, 1);
    let permit = limit.acquire(None, None).await.unwrap();
    let stream = tokio::spawn(async move {
        yield_now().await;
        drop(permit);
    });
    let next = limit.acquire(None, None).await.unwrap();
    stream.await.unwrap();
    drop(limit);
    drop(next);
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let limit = ConcurrencyLimit::new(1, 2);
    let held = limit.acquire(None, None).await.unwrap();
    let waiting = [queued(&limit), queued(&limit)];
    assert_eq!(counts(&limit), (1, 2));
    assert_eq!(limit.acquire(None, None).await.unwrap_err(), Refused::QueueFull { waiting: 2 });
    drop(waiting);
    drop(held);
    assert_eq!(counts(&limit), (0, 0));
}

#[tokio::test]
async fn a_permit_given_to_a_waiting_call_makes_room_in_the_queue() {
    let limit = ConcurrencyLimit::new(1, 1);
    let held = limit.acquire(None, None).await.unwrap();
    let mut second = queued(&limit);
    drop(held);
    // The second has its permit, though it does not know yet.
    assert_eq!(counts(&limit), (1, 0));
    assert!(limit.try_acquire().is_none());
    let third = queued(&limit);
    assert_eq!(counts(&limit), (1, 1));
    let Poll::Ready(Ok(permit)) = poll(&mut second) else { panic!("no permit") };
    drop((third, permit));
    assert_eq!(counts(&limit), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_wait() {
    let limit = ConcurrencyLimit::new(1, 5);
    let held = limit.acquire(None, None).await.unwrap();
    let started = Instant::now();
    let deadline = started + Duration::from_millis(70);
    assert_eq!(limit.acquire(None, Some(deadline)).await.unwrap_err(), Refused::Deadline);
    assert_eq!(started.elapsed().as_millis() / 10, 7);
    assert_eq!(counts(&limit), (1, 0));
    drop(held);
    let mut waiting = pin!(limit.acquire(None, Some(Instant::now() + Duration::from_secs(1))));
    assert!((&mut waiting).await.is_ok());
}

#[tokio::test]
async fn a_dropped_wait_leaves_the_queue_at_once_and_passes_its_permit_on() {
    let limit = ConcurrencyLimit::new(1, 3);
    let held = limit.acquire(None, None).await.unwrap();
    let (mut first, second, mut third) = (queued(&limit), queued(&limit), queued(&limit));
    drop(second);
    assert_eq!(counts(&limit), (1, 2));
    drop(held);
    // Its permit was given to the first already; dropped unseen, it goes to the third.
    assert!(poll(&mut third).is_pending());
    drop(std::mem::replace(&mut first, Box::pin(std::future::pending())));
    assert!(matches!(poll(&mut third), Poll::Ready(Ok(_))));
    drop(third);
    assert_eq!(counts(&limit), (0, 0));
}

#[test]
fn permits_are_given_in_the_order_of_the_queue() {
    let limit = ConcurrencyLimit::new(3, 100);
    let mut held: Vec<Permit> = (0..3).map(|_| limit.try_acquire().unwrap()).collect();
    let mut waiting: Vec<(usize, Waiting)> = (0..100).map(|number| (number, queued(&limit))).collect();
    let mut order = Vec::new();
    // Asked from the last to the first, so that the order is not that of the polls.
    while let Some(permit) = held.pop() {
        drop(permit);
        for at in (0..waiting.len()).rev() {
            if let Poll::Ready(permit) = poll(&mut waiting[at].1) {
                order.push(waiting.remove(at).0);
                held.push(permit.unwrap());
            }
        }
    }
    assert_eq!(order, (0..100).collect::<Vec<_>>());
    drop(waiting);
    assert_eq!(counts(&limit), (0, 0));
}

#[test]
fn no_figure_is_too_large_or_too_small() {
    let limit = ConcurrencyLimit::new(usize::MAX, usize::MAX);
    assert!(limit.try_acquire().is_some());
    assert_eq!(ConcurrencyLimit::new(0, 0).max(), 1);
}

/// Tasks that hold, cancel, time out and look in; `inside` is counted apart from the limit's own figures.
async fn crowd(limit: Arc<ConcurrencyLimit>, max: usize, queue: usize) -> (usize, usize) {
    const TASKS: u64 = 64;
    const ROUNDS: usize = 200;
    let inside = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for seed in 0..TASKS {
        let (limit, inside) = (Arc::clone(&limit), Arc::clone(&inside));
        tasks.spawn(async move {
            let mut random = SmallRng::seed_from_u64(seed);
            let (mut held, mut refused) = (0, 0);
            for _ in 0..ROUNDS {
                let deadline = random.random_bool(0.3).then(|| Instant::now() + micros(&mut random));
                let permit = match random.random_range(0..10) {
                    0 => limit.try_acquire(),
                    // Given up from outside, at any point.
                    1 | 2 => timeout(micros(&mut random), limit.acquire(None, deadline))
                        .await
                        .ok()
                        .and_then(Result::ok),
                    3 => {
                        let mut waiting: Waiting = Box::pin(limit.acquire(None, None));
                        match poll(&mut waiting) {
                            Poll::Ready(outcome) => outcome.ok(),
                            Poll::Pending => {
                                yield_now().await;
                                None
                            }
                        }
                    }
                    _ => limit.acquire(None, deadline).await.ok(),
                };
                assert!(limit.in_flight() <= max && limit.waiting() <= queue);
                let Some(permit) = permit else {
                    refused += 1;
                    continue;
                };
                assert!(inside.fetch_add(1, Ordering::SeqCst) < max, "more than {max} at once");
                match random.random_range(0..3) {
                    0 => {}
                    1 => yield_now().await,
                    _ => sleep(micros(&mut random)).await,
                }
                inside.fetch_sub(1, Ordering::SeqCst);
                held += 1;
                drop(permit);
            }
            (held, refused)
        });
    }
    let mut sums = (0, 0);
    while let Some(done) = tasks.join_next().await {
        let (held, refused) = done.unwrap();
        sums = (sums.0 + held, sums.1 + refused);
    }
    sums
}

fn micros(random: &mut SmallRng) -> Duration {
    Duration::from_micros(random.random_range(0..1_500))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_calls_never_get_more_permits_than_there_are_and_return_them_all() {
    for (max, queue) in [(1, 4), (5, 64), (16, 8)] {
        let limit = Arc::new(ConcurrencyLimit::new(max, queue));
        let crowd = crowd(Arc::clone(&limit), max, queue);
        let (held, refused) = timeout(Duration::from_secs(60), crowd).await.expect("a wake-up was lost");
        assert_eq!(held + refused, 64 * 200);
        assert!(held > 0);
        assert_eq!(counts(&limit), (0, 0));
        let all: Vec<Permit> = (0..max).map_while(|_| limit.try_acquire()).collect();
        assert_eq!(all.len(), max, "every permit is free again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_deadlines_every_call_gets_a_permit() {
    let limit = Arc::new(ConcurrencyLimit::new(3, 64));
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let limit = Arc::clone(&limit);
        tasks.spawn(async move {
            for _ in 0..200 {
                let permit = limit.acquire(None, None).await.unwrap();
                yield_now().await;
                drop(permit);
            }
        });
    }
    timeout(Duration::from_secs(60), tasks.join_all()).await.expect("a wake-up was lost");
    assert_eq!(counts(&limit), (0, 0));
}

#[test]
fn permits_go_round_the_users_that_wait() {
    let limit = ConcurrencyLimit::new(1, 1_000);
    let mut held = limit.try_acquire();
    let wait = |user: Option<&'static str>| {
        let mut waiting: Waiting = Box::pin(limit.acquire(user, None));
        assert!(poll(&mut waiting).is_pending());
        (user, waiting)
    };
    let mut waiting: Vec<_> = (0..300).map(|_| wait(Some("many"))).collect();
    waiting.extend([wait(Some("few")), wait(None), wait(Some("few"))]);
    let mut order = Vec::new();
    for _ in 0..6 {
        drop(held.take());
        for (user, call) in &mut waiting {
            if held.is_none()
                && let Poll::Ready(permit) = poll(call)
            {
                held = permit.ok();
                *call = Box::pin(std::future::pending());
                order.push(*user);
            }
        }
    }
    assert_eq!(order, [Some("many"), Some("few"), None, Some("many"), Some("few"), Some("many")]);
}

#[test]
fn one_users_full_queue_leaves_room_for_others() {
    let names: Vec<String> = (0..18).map(|number| number.to_string()).collect();
    let limit = ConcurrencyLimit::new(1, 2);
    let _held = limit.try_acquire();
    let wait = |user| -> Result<Waiting, Refused> {
        let mut waiting: Waiting = Box::pin(limit.acquire(Some(user), None));
        match poll(&mut waiting) {
            Poll::Ready(outcome) => outcome.map(|_| unreachable!()),
            Poll::Pending => Ok(waiting),
        }
    };
    let mut waiting = vec![wait("many").unwrap(), wait("many").unwrap()];
    assert_eq!(wait("many").err(), Some(Refused::QueueFull { waiting: 2 }));
    for name in &names {
        waiting.push(Box::pin(limit.acquire(Some(name), None)));
        assert!(poll(waiting.last_mut().unwrap()).is_pending());
    }
    let mut beyond: Waiting = Box::pin(limit.acquire(Some("beyond"), None));
    assert!(matches!(poll(&mut beyond), Poll::Ready(Err(Refused::QueueFull { waiting: 20 }))));
}
