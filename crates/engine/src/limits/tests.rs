use serde_json::{Value, json};

use super::*;
use gateway_model::ChatRequest;
use gateway_model::config::UserLimit;

fn limits(settings: Value) -> EntryLimits {
    let mut entry = json!({ "name": "p", "provider": "mock" });
    entry.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    EntryLimits::of(&serde_json::from_value(entry).unwrap())
}

fn by(deadline: Instant) -> Patience {
    Patience { deadline: Some(deadline), timeout: None }
}

fn detail<'a>(error: &'a GatewayError, key: &str) -> &'a Value {
    &error.details.as_ref().unwrap()[key]
}

#[tokio::test]
async fn without_limits_every_call_is_let_through() {
    let limits = limits(json!({ "rateLimit": {} }));
    assert!(limits.admit("p", None, |_| u64::MAX, Patience::default()).await.unwrap().is_none());
    assert!(limits.concurrency().is_none());
    assert!(UserLimits::of(&[UserLimit::default()]).is_none());
}

#[tokio::test(start_paused = true)]
async fn above_the_rate_a_call_is_refused_with_its_wait() {
    let limits = limits(json!({ "rateLimit": { "requestsPerMinute": 2, "tokensPerMinute": 100 } }));
    limits.admit("p", None, |_| 60, Patience::default()).await.unwrap();
    let error = limits.admit("p", None, |_| 60, Patience::default()).await.unwrap_err();
    assert_eq!(
        error.message,
        "Rate limited: rateLimit.tokensPerMinute (100) of provider \"p\" is used up; try again in 12 s"
    );
    assert_eq!(error.kind, ErrorKind::RateLimited);
    assert_eq!(error.provider.as_deref(), Some("p"));
    assert_eq!(detail(&error, "limit"), "rateLimit.tokensPerMinute");
    assert_eq!(detail(&error, "retryAfterMs"), 12_000);
    limits.admit("p", None, |_| 0, Patience::default()).await.unwrap();
    let error = limits.admit("p", None, |_| 0, Patience::default()).await.unwrap_err();
    assert_eq!(detail(&error, "limit"), "rateLimit.requestsPerMinute");
    tokio::time::sleep(error.retry_after.unwrap()).await;
    limits.admit("p", None, |_| 40, Patience::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_permit_until_its_deadline() {
    let limits = limits(json!({ "maxConcurrency": 1 }));
    let permit = limits.admit("p", None, |_| 0, Patience::default()).await.unwrap();
    assert!(permit.is_some());
    let deadline = Instant::now() + Duration::from_millis(30);
    let error = limits.admit("p", None, |_| 0, by(deadline)).await.unwrap_err();
    assert_eq!((error.kind, error.provider.as_deref()), (ErrorKind::ProviderTimeout, Some("p")));
    assert_eq!(
        error.message,
        "Provider \"p\" timed out: the call's time was over while maxConcurrency (1) was used up; raise either, or \
         add a fallback"
    );
    assert_eq!(detail(&error, "limit"), "maxConcurrency");
    drop(permit);
    assert!(
        limits.admit("p", None, |_| 0, by(deadline)).await.unwrap().is_some(),
        "a free permit takes no time"
    );
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let limits = EntryLimits { rate: None, concurrency: Some(Arc::new(ConcurrencyLimit::new(1, 0))) };
    let permit = limits.admit("p", None, |_| 0, Patience::default()).await.unwrap();
    let error = limits.admit("p", None, |_| 0, Patience::default()).await.unwrap_err();
    assert_eq!(
        error.message,
        "Rate limited: maxConcurrency (1) of provider \"p\" is used up and 0 calls wait; try again in 1 s"
    );
    assert_eq!((error.kind, error.retry_after), (ErrorKind::RateLimited, Some(FULL_QUEUE_RETRY)));
    assert_eq!(detail(&error, "limit"), "maxConcurrency");
    drop(permit);
}

#[tokio::test]
async fn above_the_rate_a_call_takes_no_permit() {
    let limits = limits(json!({ "maxConcurrency": 5, "rateLimit": { "requestsPerMinute": 1 } }));
    let permit = limits.admit("p", None, |_| 0, Patience::default()).await.unwrap();
    assert!(limits.admit("p", None, |_| 0, Patience::default()).await.is_err());
    let concurrency = limits.concurrency().unwrap();
    assert_eq!((concurrency.in_flight(), concurrency.waiting()), (1, 0));
    drop(permit);
    assert_eq!(concurrency.in_flight(), 0);
}

#[test]
fn users_are_limited_each_and_calls_without_one_together() {
    let limit = UserLimit { requests_per_minute: Some(1), ..UserLimit::default() };
    let limits = UserLimits::of(&[limit]).unwrap();
    let of = |user: Option<&str>| ChatRequest { user_id: user.map(str::to_owned), ..ChatRequest::default() };
    for user in [Some("ann"), Some("bob"), None] {
        limits.admit(&of(user), None, |_| 0).unwrap();
    }
    let error = limits.admit(&of(Some("ann")), None, |_| 0).unwrap_err();
    assert!(
        error
            .message
            .starts_with("Rate limited: limits.requestsPerMinute (1) of this user is used up; try again in "),
        "{}",
        error.message
    );
    assert_eq!(detail(&error, "limit"), "limits.requestsPerMinute");
    assert_eq!(error.provider, None);
    let error = limits.admit(&of(None), None, |_| 0).unwrap_err();
    assert!(error.message.contains("of calls without a userId is used up"), "{}", error.message);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_its_entrys_timeout() {
    let limits = limits(json!({ "maxConcurrency": 1 }));
    let permit = limits.admit("p", None, |_| 0, Patience::default()).await.unwrap();
    let began = Instant::now();
    let later = Some(began + Duration::from_secs(60));
    let patience = Patience { deadline: later, timeout: Some(Duration::from_millis(1_500)) };
    let error = limits.admit("p", Some("ada"), |_| 0, patience).await.unwrap_err();
    assert_eq!(began.elapsed().as_millis() / 100, 15);
    assert_eq!((error.kind, detail(&error, "limit")), (ErrorKind::ProviderTimeout, &json!("maxConcurrency")));
    assert_eq!(
        error.message,
        "Provider \"p\" timed out: its timeout of 1500 ms was over while maxConcurrency (1) was used up; raise either, \
         or add a fallback"
    );
    drop(permit);
}
