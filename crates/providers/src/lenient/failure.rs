//! What a body says that is no answer: an upstream's report of a failure, or something else altogether.

use gateway_model::error::UpstreamReport;

use crate::read_error::ReadError;

/// Why a 200 could not be read, for people: HTML, nothing, or cut JSON.
pub(crate) fn describe_unreadable(body: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(120)]);
    let begins = text.trim_start();
    if begins.is_empty() {
        "the answer is empty".to_owned()
    } else if error.is_eof() {
        "the answer's JSON is cut short".to_owned()
    } else {
        format!("the answer is not the JSON expected ({error}): {begins}")
    }
}

/// Whether an `error` field reports one: some services write `{}` or `""` beside good answers.
pub(crate) fn is_reported(error: &serde_json::Value) -> bool {
    match error {
        serde_json::Value::Null | serde_json::Value::Bool(false) => false,
        serde_json::Value::String(text) => !text.is_empty(),
        serde_json::Value::Array(items) => !items.is_empty(),
        serde_json::Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

/// An event of a stream that cannot be read. It ends the stream where content may have been in it, or where it is named an
/// error; stray lines between good events are passed over.
///
/// # Errors
/// What was wrong with it.
pub(crate) fn unreadable_event(name: Option<&str>, data: &str) -> Result<(), ReadError> {
    if name == Some("error") {
        return Err(UpstreamReport::read(data).into());
    }
    match serde_json::from_str::<serde_json::Value>(data) {
        Ok(serde_json::Value::Object(_)) => {
            Err("an event of the stream cannot be read: a field has a type of its own".into())
        }
        Err(_) if data.contains('{') => {
            Err("an event of the stream cannot be read: its JSON is broken".into())
        }
        _ => Ok(()),
    }
}

/// The failure that a body of status 200 reports, in whichever of the shapes services have for it; `None`: it reports
/// none. Asked only where an answer has nothing else to say.
pub(crate) fn find_reported_failure(body: &serde_json::Value) -> Option<UpstreamReport> {
    // Google's errors may lie in a list.
    let body = body.get(0).unwrap_or(body);
    let filled = |name: &str| body.get(name).filter(|value| !value.is_null());
    let has_error = filled("error").is_some_and(is_reported)
        // Cloudflare's list.
        || filled("errors").and_then(serde_json::Value::as_array).is_some_and(|all| !all.is_empty())
        // MiniMax says 0 where all went well.
        || body.pointer("/base_resp/status_code").and_then(serde_json::Value::as_i64).is_some_and(|code| code != 0)
        // vLLM: `{"object":"error","message":…,"code":400}`. DashScope: `{"code":"…","message":…,"request_id":…}`.
        || (filled("message").is_some_and(serde_json::Value::is_string)
            && (filled("object").is_some_and(|object| object == "error") || filled("code").is_some()))
        // FastAPI's servers.
        || filled("detail").is_some();
    has_error.then(|| UpstreamReport::of(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn failures_are_reported_in_many_shapes() {
        for body in [
            json!({"error": {"message": "no"}}),
            json!({"error": "no"}),
            json!({"success": false, "errors": [{"code": 5007, "message": "no"}]}),
            json!({"base_resp": {"status_code": 1004, "status_msg": "no"}, "choices": null}),
            json!({"object": "error", "message": "no", "type": "BadRequestError", "param": null, "code": 400}),
            json!({"code": "InvalidApiKey", "message": "no", "request_id": "1"}),
            json!({"detail": "no"}),
        ] {
            let report = find_reported_failure(&body);
            assert_eq!(report.map(|report| report.message).as_deref(), Some("no"), "{body}");
        }
        for body in [
            json!({"object": "chat.completion", "message": "fine"}),
            json!({"base_resp": {"status_code": 0, "status_msg": ""}}),
            json!({"error": null, "errors": [], "code": null, "message": "fine"}),
            json!([]),
        ] {
            assert_eq!(find_reported_failure(&body), None, "{body}");
        }
    }
}
