use super::*;

#[test]
fn another_calls_failure_says_the_same_and_has_no_request_id() {
    let own = GatewayError::provider_response("p", 400, "no").with_request_id("first");
    let Failure::Gateway(error) = Failure::from(own).of_another_call() else { panic!("it is the gateway's") };
    assert_eq!((error.kind, error.upstream_status()), (ErrorKind::ProviderResponse, Some(400)));
    assert_eq!(error.request_id, None);
    let thrown = ForeignError { id: 7, message: "no".into(), ..ForeignError::default() };
    let Failure::Foreign(error) = Failure::Foreign(thrown.clone()).of_another_call() else {
        panic!("it is what was thrown")
    };
    assert_eq!(error, thrown);
}

#[test]
fn an_http_status_becomes_the_kind_callers_match_on() {
    let kind = |status| GatewayError::from_http_status("p", status, "").kind;
    assert_eq!(kind(401), ErrorKind::ProviderAuth);
    assert_eq!(kind(403), ErrorKind::ProviderAuth);
    assert_eq!(kind(408), ErrorKind::ProviderTimeout);
    assert_eq!(kind(429), ErrorKind::ProviderRateLimit);
    assert_eq!(kind(504), ErrorKind::ProviderTimeout);
    assert_eq!(kind(404), ErrorKind::ProviderResponse);
}

#[test]
fn a_quoted_body_is_cut_between_characters() {
    let error = GatewayError::from_http_status("p", 500, &"é".repeat(400));
    assert_eq!(error.message, format!("Provider \"p\" returned 500: {}", "é".repeat(300)));
    assert!(error.retryable);
}

#[test]
fn a_limit_of_the_gateways_own_says_how_long_to_wait() {
    let error = GatewayError::rate_limited("limits.tokensPerMinute (9)", Duration::from_micros(1_500));
    assert_eq!(error.message, "Rate limited: limits.tokensPerMinute (9); try again in 2 ms");
    assert_eq!(error.retry_after, Some(Duration::from_micros(1_500)));
    assert_eq!((&*error.code, error.http_status, error.retryable), ("RATE_LIMITED", 429, true));
    let shown = serde_json::to_value(error).unwrap();
    assert_eq!((&shown["kind"], &shown["details"]), (&json!("rate_limited"), &json!({ "retryAfterMs": 2 })));
}

#[test]
fn what_is_unavailable_says_why() {
    let error =
        GatewayError::provider_unavailable("p", "its breaker is open", Some(Duration::from_millis(4_001)));
    assert_eq!(error.message, "\"p\" is unavailable: its breaker is open; try again in 5 s");
    assert_eq!(error.details.unwrap()["retryAfterMs"], 4_001);
    assert_eq!((&*error.code, error.http_status, error.retryable), ("PROVIDER_UNAVAILABLE", 503, true));
    let error = GatewayError::provider_unavailable("a, b", "all targets are down", None);
    assert_eq!(error.message, "\"a, b\" is unavailable: all targets are down");
    assert_eq!((error.details, error.retry_after), (None, None));
}

#[test]
fn a_caller_without_a_key_is_not_a_provider_without_one() {
    let error = GatewayError::new(ErrorKind::Unauthorized, "no key");
    assert_eq!((&*error.code, error.http_status, error.retryable), ("UNAUTHORIZED", 401, false));
    assert_eq!(serde_json::to_value(error.kind).unwrap(), "unauthorized");
}

#[test]
fn the_callers_own_request_id_is_kept() {
    let error = GatewayError::route_not_found().with_request_id("first").with_request_id("second");
    assert_eq!(error.request_id.as_deref(), Some("first"));
}
