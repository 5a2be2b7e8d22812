use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::testing::{FakeCall, policy, usage};
use super::{BudgetGuard, CallEstimate, Refusal, Reservation, Scope};
use crate::state::played_store::PlayedStore;
use gateway_model::config::{BudgetLimits, BudgetPolicy, BudgetWindow, Enforcement, OnStoreError};

const LIMIT: u64 = 5_000;

fn limited(enforcement: Enforcement) -> BudgetPolicy {
    BudgetPolicy {
        limits: BudgetLimits { max_total_tokens: Some(LIMIT), ..BudgetLimits::default() },
        ..policy("shared", BudgetWindow::Day, enforcement)
    }
}

/// A node of its own on the store.
fn node(store: &Arc<PlayedStore>, name: &str, policy: BudgetPolicy) -> Arc<BudgetGuard> {
    let guard = Arc::new(BudgetGuard::new(vec![policy]));
    guard.share(store.clone(), name.into(), None);
    tokio::spawn(guard.clone().keep_sharing());
    guard
}

async fn admit(guard: &Arc<BudgetGuard>, tokens: u64, max: u64) -> Result<Reservation, Refusal> {
    let call: Arc<dyn CallEstimate> = FakeCall::new(tokens, Some(max));
    guard.admit_shared(&Scope::default(), &call).await
}

fn spend(guard: &BudgetGuard, reservation: Reservation, input: u64, output: u64) {
    let settled = reservation.settle(usage(input, output, 0.0));
    guard.charge(settled.charges);
}

/// Calls of three nodes at once until each of them was refused; gives what they used.
async fn exhaust(store: &Arc<PlayedStore>, enforcement: Enforcement) -> u64 {
    let tasks = (0..3).map(|number| {
        let guard = node(store, &format!("node-{number}"), limited(enforcement));
        let callers = (0..8_u64).map(move |caller| {
            let guard = guard.clone();
            tokio::spawn(async move {
                let (mut used, mut refused) = (0, 0);
                for turn in 0..200_u64 {
                    let (tokens, output) = (1 + (caller + turn) % 9, (caller * turn) % 12);
                    match admit(&guard, tokens, 12).await {
                        Ok(reservation) => {
                            tokio::task::yield_now().await;
                            spend(&guard, reservation, tokens, output);
                            used += tokens + output;
                        }
                        Err(Refusal { store: None, .. }) => refused += 1,
                        Err(Refusal { store: Some(_), .. }) => {}
                    }
                    if refused > 3 {
                        break;
                    }
                }
                used
            })
        });
        futures::future::join_all(callers)
    });
    futures::future::join_all(tasks).await.into_iter().flatten().map(Result::unwrap).sum()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 4 s: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_limit_is_never_passed_over_several_nodes() {
    let store = Arc::new(PlayedStore::default());
    let used = exhaust(&store, Enforcement::Strict).await;
    until("all that was used is spent", || store.spent()[2] == used as i64).await;
    assert!(store.most.lock().unwrap()[2] <= LIMIT as i64, "spent and held together passed the limit");
    assert!(used > LIMIT - 3 * 8 * 21, "{used} of {LIMIT}: leases that nobody used kept others out");
    until("idle leases go back", || store.held() == [0; 4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hard_limit_is_passed_by_no_more_than_what_is_in_flight() {
    let store = Arc::new(PlayedStore::default());
    let used = exhaust(&store, Enforcement::Hard).await;
    until("all that was used is spent", || store.spent()[2] == used as i64).await;
    assert!(used <= LIMIT + 3 * 8 * 21, "{used} of {LIMIT}");
    assert!(used > LIMIT - 3 * 8 * 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spending_whose_reply_was_lost_is_counted_once() {
    let store = Arc::new(PlayedStore::default());
    store.loses_every.store(3, Ordering::Relaxed);
    let used = exhaust(&store, Enforcement::Strict).await;
    store.loses_every.store(0, Ordering::Relaxed);
    until("all that was used is spent", || store.spent()[2] == used as i64).await;
    assert!(store.most.lock().unwrap()[2] <= LIMIT as i64);
}

#[tokio::test]
async fn far_from_a_limit_few_calls_ask_the_store() {
    let store = Arc::new(PlayedStore::default());
    let guard = node(&store, "a", limited(Enforcement::Strict));
    for _ in 0..50 {
        drop(admit(&guard, 1, 1).await.unwrap());
    }
    assert!(store.exchanges.load(Ordering::Relaxed) <= 4, "{:?}", store.exchanges);
}

#[tokio::test]
async fn while_the_store_is_away_each_policy_does_what_it_says() {
    let store = Arc::new(PlayedStore::default());
    let closed = node(&store, "a", limited(Enforcement::Strict));
    let local = node(&store, "b", limited(Enforcement::Hard));
    let open = BudgetPolicy { on_store_error: Some(OnStoreError::Local), ..limited(Enforcement::Strict) };
    let open = node(&store, "c", open);
    for guard in [&closed, &local, &open] {
        drop(admit(guard, 1, 1).await.unwrap());
    }
    store.is_away.store(true, Ordering::Relaxed);
    let refusal = admit(&closed, 1, 1).await.unwrap_err();
    assert_eq!((&*refusal.policy, refusal.store.unwrap().message.as_str()), ("shared", "it is away"));
    for guard in [&local, &open] {
        let reservation = admit(guard, 10, 10).await.unwrap();
        spend(guard, reservation, 10, 10);
        assert!(
            admit(guard, LIMIT, LIMIT).await.is_ok() == (Arc::ptr_eq(guard, &local)),
            "counts go on here"
        );
    }
    assert_eq!(store.spent(), [0; 4]);
    store.is_away.store(false, Ordering::Relaxed);
    until("what was counted here is passed on", || store.spent()[2] == 40).await;
    assert!(admit(&closed, 1, 1).await.is_ok());
}

#[tokio::test]
async fn a_new_process_goes_on_where_the_last_one_ended() {
    let store = Arc::new(PlayedStore::default());
    let first = node(&store, "first", limited(Enforcement::Strict));
    let reservation = admit(&first, 3_000, 100).await.unwrap();
    spend(&first, reservation, 3_000, 100);
    assert!(first.settle_up(Duration::from_secs(1)).await);
    assert_eq!(store.held(), [0; 4]);
    let second = node(&store, "second", limited(Enforcement::Strict));
    second.read_counters().await.unwrap();
    let standing = second.standings().remove(0);
    assert_eq!((standing.spent.total_tokens, standing.reserved.total_tokens), (3_100, 0));
    assert!(standing.window_ends_at.is_some());
    assert!(admit(&second, 1_900, 1).await.is_err());
    assert!(admit(&second, 1_899, 1).await.is_ok());
}
