//! What error bodies say beside their status: Google's error model (`google.rpc.Status`, as AIP-193 writes it).

use std::time::Duration;

use serde_json::Value;

/// A key that is not known comes as a 400; it means a 401.
pub fn status(status: u16, body: &str) -> u16 {
    let key_is_wrong = |details: &[Value]| details.iter().any(|detail| detail["reason"] == "API_KEY_INVALID");
    if status == 400 && with_details(body, key_is_wrong) == Some(true) { 401 } else { status }
}

/// `RetryInfo` has the wait in seconds: `"retryDelay": "34.07s"`.
pub fn requested_wait(body: &str) -> Option<Duration> {
    with_details(body, |details| {
        let info = details.iter().find(|detail| {
            detail["@type"].as_str().is_some_and(|kind| kind.ends_with("google.rpc.RetryInfo"))
        })?;
        let seconds = info["retryDelay"].as_str()?.strip_suffix('s')?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    })?
}

fn with_details<T>(body: &str, read: impl Fn(&[Value]) -> T) -> Option<T> {
    let body: Value = serde_json::from_str(body).ok()?;
    // Without `alt=sse` an answer is a list, and so is its error.
    let body = body.get(0).unwrap_or(&body);
    body.get("error")?.get("details")?.as_array().map(|details| read(details))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: &str = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[
        {"@type":"type.googleapis.com/google.rpc.Help","links":[]},
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.074824224s"}]}}"#;

    #[test]
    fn the_wait_is_read_whatever_it_lies_in() {
        let wait = Some(Duration::from_secs_f64(34.074_824_224));
        assert_eq!(requested_wait(QUOTA), wait);
        assert_eq!(requested_wait(&format!("[{QUOTA}]")), wait);
        for delay in ["34", "s", "-1s", "NaNs", "infs", "1e400s", "1m"] {
            assert_eq!(requested_wait(&QUOTA.replace("34.074824224s", delay)), None, "{delay}");
        }
        for body in ["", "<html>", "[]", "{}", "null", r#"{"error":"x"}"#, r#"{"error":{"details":7}}"#] {
            assert_eq!(requested_wait(body), None, "{body}");
            assert_eq!(status(400, body), 400, "{body}");
        }
    }

    #[test]
    fn a_wrong_key_is_a_401() {
        let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[
            {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#;
        assert_eq!(status(400, body), 401);
        assert_eq!(status(503, body), 503);
        assert_eq!(status(400, QUOTA), 400);
    }
}
