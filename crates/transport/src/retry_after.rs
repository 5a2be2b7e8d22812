//! How long an answer asks its caller to wait.

use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, RETRY_AFTER};

/// The wait an answer asks for: `retry-after-ms`, else `Retry-After` in seconds or as a date (RFC 9110 §10.2.3).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |value: &http::header::HeaderValue| value.to_str().ok().map(|text| text.trim().to_owned());
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| *number >= 0.0);
    if let Some(ms) = headers.get("retry-after-ms").and_then(text).as_deref().and_then(number) {
        return Some(Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX));
    }
    let value = headers.get(RETRY_AFTER).and_then(text)?;
    match number(&value) {
        Some(seconds) => Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
        None => Some(httpdate::parse_http_date(&value).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn retry_after_is_read_in_each_of_its_forms() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let read = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(read("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(read("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(read("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(read("retry-after", "Tue, 14 Nov 2023 22:13:30 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(read("retry-after", "Tue, 14 Nov 2023 22:13:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("retry-after", "99999999999999999999"), Some(Duration::MAX));
        assert_eq!(read("retry-after", "soon"), None);
        assert_eq!(read("retry-after", "-1"), None);
    }
}
