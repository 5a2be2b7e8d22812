use serde_json::json;

use super::*;

fn read(options: &Value) -> Result<OptionBounds, String> {
    let raw = RawValue::from_string(options.to_string()).unwrap();
    let options = provider_options("providerOptions", Some(&raw))
        .map_err(|error| crate::GatewayError::from(error).message)?;
    Ok(OptionBounds::of(options.as_ref(), "family"))
}

#[test]
fn options_that_change_the_model_are_refused() {
    for key in MODEL_OPTIONS {
        let error = read(&json!({ "family": { (key): "dear" } })).unwrap_err();
        assert!(error.contains(&format!("providerOptions.family.{key}")), "{error}");
    }
}

#[test]
fn a_bound_that_is_none_is_refused() {
    for key in OUTPUT_BOUNDS.iter().chain(&ANSWER_COUNTS) {
        for value in [json!(null), json!(-1), json!("100"), json!(1.5)] {
            let error = read(&json!({ "family": { (*key): value } })).unwrap_err();
            assert!(error.contains(&format!("providerOptions.family.{key}")), "{error}");
        }
    }
}

#[test]
fn what_options_let_come_out_is_read_in_every_spelling() {
    for key in OUTPUT_BOUNDS {
        let bounds = read(&json!({ "family": { (key): 7 }, "other": { (key): 9 } })).unwrap();
        assert_eq!(bounds.sent_output(3), 7, "{key}");
        assert_eq!(bounds.sent_output(8), 8, "{key}");
    }
    for key in ANSWER_COUNTS {
        assert_eq!(read(&json!({ "family": { (key): 5 } })).unwrap().sent_output(3), 15, "{key}");
    }
    for holder in SETTINGS {
        let fields = json!({ "family": { (holder): { "maxTokens": 7, "candidateCount": 2 } } });
        assert_eq!(read(&fields).unwrap().sent_output(3), 14, "{holder}");
    }
    assert_eq!(read(&json!({ "family": { "seed": 1 } })).unwrap().sent_output(3), 3);
}
