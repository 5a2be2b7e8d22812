//! A cached answer, streamed once more.

use gateway_model::{Answer, FinishReason, Outcome, StreamEvent};

/// Bytes of text in one event of a replayed stream, at most.
const PIECE: usize = 256;

/// The answer as the events of a stream. Folded they are the answer again, but for a total of the provider's own,
/// which streams do not have.
pub fn events(outcome: &Outcome) -> Vec<StreamEvent> {
    // Field by field, so that a new one does not compile until it is streamed, or known not to be.
    let Answer {
        content,
        model,
        finish_reason,
        tool_calls,
        reasoning,
        reasoning_details,
        warnings,
        usage: _,
        total_tokens: _,
    } = &outcome.answer;
    let mut events = Vec::with_capacity((content.len() + reasoning.len()) / PIECE + tool_calls.len() + 7);
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
    events.push(StreamEvent::Usage(outcome.usage));
    match events.first_mut() {
        Some(StreamEvent::Text(chunk)) => chunk.model = Some(model.clone()),
        _ => events.insert(0, StreamEvent::Model(model.clone())),
    }
    if !warnings.is_empty() {
        events.insert(0, StreamEvent::Warnings(warnings.clone()));
    }
    events
}

/// A text in pieces, cut between characters.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
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
    use gateway_model::EventSource;
    use gateway_model::error::Failure;
    use gateway_model::{
        AnswerBuilder, ChatRequest, Delivery, GatewayResponse, TokenUsage, ToolCall, UsageSource, Warning,
    };
    use gateway_providers::MockProvider;

    struct Replay(Vec<StreamEvent>);

    impl EventSource for Replay {
        fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
            into.append(&mut self.0);
            Box::pin(async { Ok(false) })
        }
    }

    /// What the caller of a stream gets at its end.
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

    /// What the caller of `chat` gets.
    fn whole(answer: Answer, usage: TokenUsage) -> GatewayResponse {
        let outcome = Outcome { answer, usage, provider: "p".to_owned(), ..Outcome::default() };
        GatewayResponse::new(outcome.figures(Delivery::default()), outcome.answer)
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
            warned in vec("[a-z]{1,4}", 0..3),
            counts in any::<(u64, u64, Option<u64>, bool)>(),
        ) -> Outcome {
            let (input, output, cache_read, is_reported) = counts;
            let source = if is_reported { UsageSource::Reported } else { UsageSource::Estimated };
            let usage = TokenUsage { cache_read, source, ..TokenUsage::new(input, output) };
            let reasoning_details = details.into_iter().map(|text| json!({ "text": text })).collect();
            let warnings = warned
                .into_iter()
                .map(|field| Warning { field, reason: "Left out.".to_owned(), provider: "p".to_owned() })
                .collect();
            let answer = Answer {
                content, model, finish_reason, tool_calls, reasoning, reasoning_details, warnings,
                usage: Some(usage),
                total_tokens: None,
            };
            Outcome { answer, usage, ..Outcome::default() }
        }
    }

    proptest! {
        #[test]
        fn a_replayed_stream_folds_into_the_answer(cached in cached()) {
            let events = events(&cached);
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
            (streamed.figures.latency_ms, streamed.figures.estimated_cost_usd) = (0, 0.0);
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
}
