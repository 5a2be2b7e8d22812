//! An answer that is kept or shared.

use serde_json::Value;

use gateway_model::{Answer, AttemptRecord, FinishReason, StreamEvent, TokenUsage, Usd};

/// Bytes of text in one event of a replayed stream, at most.
const PIECE: usize = 256;

/// What an entry takes besides its texts, in bytes: the structures around it.
const OVERHEAD: usize = 512;

/// A whole answer, who gave it, and what it cost: enough to answer a call with it or to stream it once more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CachedAnswer {
    pub answer: Answer,
    /// The configuration's name for the provider, under which health and prices are found.
    pub entry: String,
    /// The provider's name in answers and logs.
    pub provider: String,
    pub family: String,
    /// The model that was asked for; the answer's own is the one the upstream reports.
    pub model_asked: String,
    /// As reported, or as counted where the provider gave no counts.
    pub usage: TokenUsage,
    /// What the first call cost, and every further one does not.
    pub cost: Usd,
    pub fallback_triggered: bool,
    pub fallback_from: Option<String>,
    /// A chain's fixed reply: shared, but never kept.
    pub degraded: bool,
    /// Of the call that paid, where it took several; not kept.
    pub attempts: Vec<AttemptRecord>,
}

impl CachedAnswer {
    /// Whether it may be given to later calls: it has something to say, and ended as an answer does. One that was cut
    /// at `maxTokens` is whole for a call with that bound; one that was filtered or went wrong may be better next time,
    /// and so may one that ended for a reason we do not know.
    pub fn may_be_kept(&self) -> bool {
        let has_content = !self.answer.content.is_empty() || !self.answer.tool_calls.is_empty();
        let word = self.answer.finish_reason.as_deref().map(FinishReason::normalised);
        has_content && matches!(word.as_deref(), None | Some("stop" | "length" | "tool_calls"))
    }

    /// The answer as the events of a stream. Folded they are the answer again, but for a total of the provider's own,
    /// which streams do not have.
    pub fn events(&self) -> Vec<StreamEvent> {
        let Answer { content, model, finish_reason, tool_calls, reasoning, reasoning_details, .. } =
            &self.answer;
        let mut events = Vec::with_capacity((content.len() + reasoning.len()) / PIECE + tool_calls.len() + 6);
        events.extend(pieces(reasoning).map(|piece| StreamEvent::Reasoning(piece.to_owned())));
        if !reasoning_details.is_empty() {
            events.push(StreamEvent::ReasoningDetails(reasoning_details.clone()));
        }
        for piece in pieces(content) {
            events.push(StreamEvent::text(piece));
        }
        let calls = (0..).zip(tool_calls);
        events.extend(calls.map(|(index, call)| StreamEvent::ToolCall(call.clone().into_delta(index))));
        // Without a reason, there is nothing more for readers of text.
        events.extend(finish_reason.clone().map(|word| StreamEvent::finish(FinishReason::Word(word))));
        events.push(StreamEvent::Usage(self.usage));
        match events.first_mut() {
            Some(StreamEvent::Text(chunk)) => chunk.model = Some(model.clone()),
            _ => events.insert(0, StreamEvent::Model(model.clone())),
        }
        events
    }

    /// About as many bytes as it takes in memory.
    pub(super) fn size(&self) -> usize {
        let Answer { content, model, finish_reason, tool_calls, reasoning, reasoning_details, .. } =
            &self.answer;
        let mut size = OVERHEAD + content.len() + model.len() + reasoning.len();
        for text in [&self.entry, &self.provider, &self.family, &self.model_asked] {
            size += text.len();
        }
        for text in [finish_reason, &self.fallback_from].into_iter().flatten() {
            size += text.len();
        }
        for call in tool_calls {
            let signature = call.signature.as_ref().map_or(0, String::len);
            size += size_of_val(call) + call.id.len() + call.name.len() + call.arguments.len() + signature;
        }
        size + reasoning_details.iter().map(value_size).sum::<usize>()
    }
}

/// A text in pieces, cut between characters.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn value_size(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(value_size).sum(),
        // A key, its place in the index and its hash.
        Value::Object(object) => object.iter().map(|(key, value)| 48 + key.len() + value_size(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use std::sync::Arc;

    use futures::future::BoxFuture;
    use tokio_util::sync::CancellationToken;

    use crate::gateway::{GatewayStream, PromptEstimate};
    use crate::routing::{CallOptions, Routed};
    use crate::usage::Outcome;
    use gateway_model::EventSource;
    use gateway_model::error::Failure;
    use gateway_model::{AnswerBuilder, ChatRequest, GatewayResponse, ToolCall, UsageSource};
    use gateway_providers::MockProvider;

    struct Replay(Vec<StreamEvent>);

    impl EventSource for Replay {
        fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
            into.append(&mut self.0);
            Box::pin(async { Ok(false) })
        }
    }

    /// What the caller of a stream is told at its end.
    fn streamed(events: Vec<StreamEvent>) -> GatewayResponse {
        let entry = json!({ "name": "p", "provider": "mock", "auth": { "type": "none" } });
        let provider = Arc::new(MockProvider::new(&serde_json::from_value(entry).unwrap()));
        let source = Box::new(Replay(events)) as Box<dyn EventSource>;
        let routed = Routed::new(source, "p".to_owned(), provider, String::new());
        let request = Arc::new(ChatRequest::default());
        let options = CallOptions::new(request.clone(), Arc::new(PromptEstimate::new(request)));
        let mut stream = GatewayStream::detached(routed, options, CancellationToken::new());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { while stream.next(&mut Vec::new()).await.unwrap() {} });
        stream.summary()
    }

    /// What the caller of `chat` is told.
    fn whole(answer: Answer, usage: TokenUsage) -> GatewayResponse {
        let outcome = Outcome {
            provider: "p".to_owned(),
            model: answer.model,
            content: answer.content,
            finish_reason: answer.finish_reason,
            tool_calls: answer.tool_calls,
            reasoning: answer.reasoning,
            reasoning_details: answer.reasoning_details,
            usage,
            ..Outcome::default()
        };
        outcome.into_response(String::new())
    }

    /// Characters of every width, so that cuts meet them.
    fn text() -> impl Strategy<Value = String> {
        vec(prop::sample::select(vec!['a', ' ', 'é', '漢', '😀']), 0..900)
            .prop_map(|characters| characters.into_iter().collect())
    }

    fn call() -> impl Strategy<Value = ToolCall> {
        ("[a-c]", "[a-z]{0,3}", ".{0,40}", proptest::option::of("[a-z]{0,3}"))
            .prop_map(|(id, name, arguments, signature)| ToolCall { id, name, arguments, signature })
    }

    prop_compose! {
        fn cached()(
            content in text(),
            model in "[a-z]{0,8}",
            finish_reason in proptest::option::of("[a-z_]{1,8}"),
            tool_calls in vec(call(), 0..4),
            reasoning in text(),
            details in vec("[a-z]{0,4}", 0..3),
            counts in any::<(u64, u64, Option<u64>, bool)>(),
        ) -> CachedAnswer {
            let (input, output, cache_read, is_reported) = counts;
            let source = if is_reported { UsageSource::Reported } else { UsageSource::Estimated };
            let usage = TokenUsage { cache_read, source, ..TokenUsage::new(input, output) };
            let reasoning_details = details.into_iter().map(|text| json!({ "text": text })).collect();
            let answer = Answer {
                content, model, finish_reason, tool_calls, reasoning, reasoning_details,
                usage: Some(usage),
                total_tokens: None,
            };
            CachedAnswer { answer, usage, ..CachedAnswer::default() }
        }
    }

    proptest! {
        #[test]
        fn a_replayed_stream_folds_into_the_answer(cached in cached()) {
            let events = cached.events();
            prop_assert_eq!(events.iter().collect::<AnswerBuilder>().finish(), cached.answer.clone());
            for event in &events {
                match event {
                    StreamEvent::Text(chunk) => {
                        prop_assert!(chunk.delta.len() <= PIECE);
                        prop_assert!(!chunk.delta.is_empty() || chunk.finish_reason.word().is_some());
                    }
                    StreamEvent::Reasoning(text) => prop_assert!(text.len() <= PIECE),
                    _ => {}
                }
            }
            let mut streamed = streamed(events);
            (streamed.latency_ms, streamed.estimated_cost_usd) = (0, 0.0);
            prop_assert_eq!(streamed, whole(cached.answer, cached.usage));
        }
    }

    #[test]
    fn a_long_text_streams_in_pieces() {
        let text = "漢字".repeat(500);
        let cut: Vec<_> = pieces(&text).collect();
        assert_eq!(cut.concat(), text);
        assert_eq!(cut.len(), text.len().div_ceil(255));
        assert_eq!(pieces("").count(), 0);
    }

    #[test]
    fn only_answers_that_ended_well_are_kept() {
        let cached = |content: &str, calls: usize, word: Option<&str>| {
            let answer = Answer {
                content: content.to_owned(),
                tool_calls: vec![ToolCall::default(); calls],
                finish_reason: word.map(str::to_owned),
                reasoning: "r".to_owned(),
                ..Answer::default()
            };
            CachedAnswer { answer, ..CachedAnswer::default() }.may_be_kept()
        };
        for word in [None, Some("end_turn"), Some("STOP"), Some("max_tokens"), Some("tool_use")] {
            assert!(cached("x", 0, word), "{word:?}");
            assert!(cached("", 1, word), "{word:?}");
            assert!(!cached("", 0, word), "{word:?}");
        }
        for word in ["refusal", "SAFETY", "content_filter", "MALFORMED_FUNCTION_CALL", "pause_turn", "OTHER"]
        {
            assert!(!cached("x", 1, Some(word)), "{word}");
        }
    }
}
