//! Cached answers in the state that nodes share: behind those in memory, for what another node has asked or this one asked
//! before it was restarted.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::CacheKey;
use crate::state::StateStore;
use crate::wall_clock::since_epoch;
use gateway_model::{Answer, Outcome, Side, TokenUsage, ToolCall, UsageSource, Usd, Warning};

/// Of what is written here. Another version's answers are not read; an answer is no more than a saving.
const VERSION: u64 = 1;

/// An answer stays no longer, whatever the request says.
const LONGEST: Duration = Duration::from_hours(30 * 24);

pub struct SharedAnswers {
    store: Arc<dyn StateStore>,
    /// What the gateway waits for when it is closed.
    tasks: TaskTracker,
}

impl SharedAnswers {
    pub fn new(store: Arc<dyn StateStore>, tasks: TaskTracker) -> Self {
        Self { store, tasks }
    }

    /// An answer, and how long it may still be used. A store that is away has none.
    pub async fn get(&self, key: &CacheKey) -> Option<(Outcome, Duration)> {
        let bytes = self.store.get(&name(key)).await.ok()??;
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        let until = Duration::from_millis(value["until"].as_u64()?);
        let left = until.checked_sub(since_epoch()).filter(|left| !left.is_zero())?;
        Some((read(&value)?, left))
    }

    /// Keeps an answer for so long, without having its call wait.
    pub fn put(&self, key: &CacheKey, outcome: &Arc<Outcome>, lasts: Duration) {
        if self.store.is_away() {
            return;
        }
        let (store, outcome, name, lasts) =
            (self.store.clone(), outcome.clone(), name(key), lasts.min(LONGEST));
        self.tasks.spawn(async move {
            if let Some(value) = written(&outcome, since_epoch() + lasts) {
                // Nothing is lost but the saving; the store itself says that it is away.
                let _ = store.put(&name, value.to_string().as_bytes(), lasts).await;
            }
        });
    }
}

fn name(key: &CacheKey) -> String {
    format!("answer:{key}")
}

/// `None`: it cannot be written without loss.
fn written(outcome: &Outcome, until: Duration) -> Option<Value> {
    // Field by field, so that a new one does not compile until it is written and read.
    let Outcome {
        answer,
        entry,
        provider,
        family,
        asked_model,
        usage,
        cost,
        fallback_triggered,
        fallback_from,
        degraded: false,
        // They are the call's own that paid for it.
        attempts: _,
    } = outcome
    else {
        return None;
    };
    let Answer {
        content,
        model,
        finish_reason,
        tool_calls,
        reasoning,
        reasoning_details,
        warnings,
        usage: reported,
        total_tokens,
    } = answer;
    let calls = tool_calls
        .iter()
        .map(|ToolCall { id, name, arguments, signature }| json!([id, name, arguments, signature]));
    let warnings =
        warnings.iter().map(|Warning { field, reason, provider }| json!([field, reason, provider]));
    Some(json!({
        "version": VERSION,
        "until": u64::try_from(until.as_millis()).ok()?,
        "entry": entry,
        "provider": provider,
        "family": family,
        "askedModel": asked_model,
        "usage": usage_written(usage),
        "cost": cost.picodollars()?,
        "fallbackTriggered": fallback_triggered,
        "fallbackFrom": fallback_from,
        "content": content,
        "model": model,
        "finishReason": finish_reason,
        "toolCalls": calls.collect::<Vec<_>>(),
        "reasoning": reasoning,
        "reasoningDetails": reasoning_details,
        "warnings": warnings.collect::<Vec<_>>(),
        "reported": reported.as_ref().map(usage_written),
        "totalTokens": total_tokens,
    }))
}

fn usage_written(usage: &TokenUsage) -> Value {
    let TokenUsage {
        input,
        output,
        cache_read,
        cache_write,
        cache_write_1h,
        reasoning,
        charged,
        source,
        unreported,
    } = usage;
    let unreported = unreported.map(|side| match side {
        Side::Input => "input",
        Side::Output => "output",
    });
    json!([
        input,
        output,
        cache_read,
        cache_write,
        cache_write_1h,
        reasoning,
        charged,
        source.is_reported(),
        unreported
    ])
}

fn read(value: &Value) -> Option<Outcome> {
    if value["version"].as_u64() != Some(VERSION) {
        return None;
    }
    let tool_calls = value["toolCalls"].as_array()?.iter().map(|call| {
        Some(ToolCall {
            id: text(&call[0])?,
            name: text(&call[1])?,
            arguments: text(&call[2])?,
            signature: text(&call[3]),
        })
    });
    let warnings = value["warnings"].as_array()?.iter().map(|warning| {
        Some(Warning { field: text(&warning[0])?, reason: text(&warning[1])?, provider: text(&warning[2])? })
    });
    let answer = Answer {
        content: text(&value["content"])?,
        model: text(&value["model"])?,
        finish_reason: text(&value["finishReason"]),
        tool_calls: tool_calls.collect::<Option<_>>()?,
        reasoning: text(&value["reasoning"])?,
        reasoning_details: value["reasoningDetails"].as_array()?.clone(),
        warnings: warnings.collect::<Option<_>>()?,
        usage: if value["reported"].is_null() { None } else { Some(usage_read(&value["reported"])?) },
        total_tokens: value["totalTokens"].as_u64(),
    };
    Some(Outcome {
        answer,
        entry: text(&value["entry"])?,
        provider: text(&value["provider"])?,
        family: text(&value["family"])?,
        asked_model: text(&value["askedModel"])?,
        usage: usage_read(&value["usage"])?,
        cost: Usd::from_picodollars(value["cost"].as_u64()?),
        fallback_triggered: value["fallbackTriggered"].as_bool()?,
        fallback_from: text(&value["fallbackFrom"]),
        degraded: false,
        attempts: Vec::new(),
    })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn usage_read(value: &Value) -> Option<TokenUsage> {
    let count = |index: usize| value[index].as_u64();
    Some(TokenUsage {
        input: count(0)?,
        output: count(1)?,
        cache_read: count(2),
        cache_write: count(3),
        cache_write_1h: count(4),
        reasoning: count(5),
        charged: count(6),
        source: if value[7].as_bool()? { UsageSource::Reported } else { UsageSource::Estimated },
        unreported: match value[8].as_str() {
            Some("input") => Some(Side::Input),
            Some("output") => Some(Side::Output),
            _ => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Notes, Tenant};
    use crate::state::played_store::PlayedStore;
    use gateway_model::ChatRequest;

    fn key(fingerprint: &str) -> CacheKey {
        CacheKey::of_chat(&ChatRequest::default(), None, fingerprint, Tenant::default(), Notes::Ignored)
    }

    fn usage(source: UsageSource) -> TokenUsage {
        TokenUsage {
            input: 1,
            output: 2,
            cache_read: Some(3),
            cache_write: Some(4),
            cache_write_1h: Some(5),
            reasoning: Some(6),
            charged: Some(u64::MAX),
            source,
            unreported: Some(Side::Output),
        }
    }

    fn full() -> Outcome {
        let call = |signature: Option<&str>| ToolCall {
            id: "1".to_owned(),
            name: "look".to_owned(),
            arguments: r#"{"at": "\u0000"}"#.to_owned(),
            signature: signature.map(str::to_owned),
        };
        Outcome {
            answer: Answer {
                content: "天气 \u{1F600} \"\n".to_owned(),
                model: "m-1".to_owned(),
                finish_reason: Some("stop".to_owned()),
                tool_calls: vec![call(None), call(Some("s"))],
                reasoning: "r".to_owned(),
                reasoning_details: vec![json!({"n": 12345678901234567890u64, "x": [1.5, null]})],
                warnings: vec![Warning {
                    field: "topK".to_owned(),
                    reason: "left out".to_owned(),
                    provider: "p".to_owned(),
                }],
                usage: Some(usage(UsageSource::Reported)),
                total_tokens: Some(9),
            },
            entry: "e".to_owned(),
            provider: "p".to_owned(),
            family: "f".to_owned(),
            asked_model: "m".to_owned(),
            usage: usage(UsageSource::Estimated),
            cost: Usd::from_picodollars(123_456_789),
            fallback_triggered: true,
            fallback_from: Some("q".to_owned()),
            degraded: false,
            attempts: Vec::new(),
        }
    }

    #[tokio::test]
    async fn another_node_reads_the_answer_as_it_was() {
        let store = Arc::new(PlayedStore::default());
        let tasks = TaskTracker::new();
        let (one, two) = (
            SharedAnswers::new(store.clone(), tasks.clone()),
            SharedAnswers::new(store.clone(), TaskTracker::new()),
        );
        one.put(&key("a"), &Arc::new(full()), Duration::from_secs(60));
        one.put(&key("b"), &Arc::new(Outcome::default()), Duration::MAX);
        one.put(&key("c"), &Arc::new(Outcome { degraded: true, ..full() }), Duration::from_secs(60));
        tasks.close();
        tasks.wait().await;
        let (found, left) = two.get(&key("a")).await.unwrap();
        assert_eq!(found, full());
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50));
        let (found, left) = two.get(&key("b")).await.unwrap();
        assert_eq!((found, left <= LONGEST), (Outcome::default(), true));
        assert!(two.get(&key("c")).await.is_none());
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_no_answer() {
        let store = Arc::new(PlayedStore::default());
        let answers = SharedAnswers::new(store.clone(), TaskTracker::new());
        let whole = written(&full(), since_epoch() + Duration::from_secs(60)).unwrap();
        let found = async |value: &Value| {
            store.put(&name(&key("a")), value.to_string().as_bytes(), LONGEST).await.unwrap();
            answers.get(&key("a")).await.is_some()
        };
        assert!(found(&whole).await);
        let optional = ["fallbackFrom", "finishReason", "reported", "totalTokens"];
        for field in whole.as_object().unwrap().keys() {
            let mut value = whole.clone();
            value.as_object_mut().unwrap().remove(field);
            assert_eq!(found(&value).await, optional.contains(&&**field), "{field}");
        }
        for (field, other) in [("version", json!(2)), ("until", json!(1)), ("toolCalls", json!([[1]]))] {
            let mut value = whole.clone();
            value[field] = other;
            assert!(!found(&value).await, "{field}");
        }
        assert!(!found(&json!([])).await);
    }
}
