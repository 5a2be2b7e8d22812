//! A stream of events from a provider, pulled by whoever reads it.

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::deadline::within;
use crate::error::Failure;
use crate::{StreamEvent, TokenUsage, UsageSource, Warning};

/// Events of one answer. Dropping it closes the upstream's connection.
pub trait EventSource: Send {
    /// Waits for events and appends all that have arrived; false: the answer is complete, nothing follows. On a
    /// failure, `into` holds what came before it. A wait that is given up loses nothing: the next one goes on.
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>>;

    /// Takes the warnings that are known without a wait, so that a reader has them before the answer. They are not among the
    /// events any more.
    fn take_warnings(&mut self) -> Vec<Warning> {
        Vec::new()
    }
}

/// A stream that is open, and cannot be read before its first content was awaited.
pub struct OpenedStream {
    source: Box<dyn EventSource>,
    first_content_by: Option<Instant>,
}

impl OpenedStream {
    pub fn new(source: impl EventSource + 'static) -> Self {
        Self { source: Box::new(source), first_content_by: None }
    }

    /// With a deadline for its first content, in addition to those of its own reads.
    #[must_use]
    pub fn with_first_content_by(self, deadline: Option<Instant>) -> Self {
        Self { first_content_by: deadline, ..self }
    }
}

/// Reads up to the first content, or a regular end without any: from here on the stream is committed to its provider.
///
/// # Errors
/// The stream failed, or took too long, before any content.
pub async fn await_first_content(provider: &str, opened: OpenedStream) -> Result<CommittedStream, Failure> {
    let OpenedStream { mut source, first_content_by } = opened;
    let mut events = Vec::new();
    loop {
        let before = events.len();
        let read = within(provider, first_content_by, source.next(&mut events)).await;
        let has_content = drop_repetitions(&mut events, before);
        let then = match read {
            Ok(true) if !has_content => continue,
            Ok(true) => Then::Read(source),
            Ok(false) => Then::End,
            // Content came in the same read as the failure: the reader gets the content first.
            Err(failure) if has_content => Then::Fail(failure),
            Err(failure) => return Err(failure.with_usage_so_far(last_usage(&events))),
        };
        return Ok(CommittedStream { events, then });
    }
}

/// How far back an event without content may repeat another.
const REPETITION: usize = 4;

/// Of the events from `from` on, drops those before the first content that say nothing new: an upstream may keep a stream open
/// with millions of them. Whether there is content.
fn drop_repetitions(events: &mut Vec<StreamEvent>, from: usize) -> bool {
    let mut has_content = false;
    for event in events.split_off(from) {
        has_content |= event.is_content();
        let recent = &events[events.len().saturating_sub(REPETITION)..];
        if has_content || !recent.contains(&event) {
            events.push(event);
        }
    }
    has_content
}

/// What the provider had counted before it failed: no final count.
fn last_usage(events: &[StreamEvent]) -> Option<TokenUsage> {
    events.iter().rev().find_map(|event| match event {
        StreamEvent::Usage(usage) => Some(TokenUsage { source: UsageSource::Estimated, ..*usage }),
        _ => None,
    })
}

/// A stream whose first content has arrived: only [`await_first_content`] makes one.
pub struct CommittedStream {
    /// Read already, and handed out first.
    events: Vec<StreamEvent>,
    then: Then,
}

enum Then {
    Read(Box<dyn EventSource>),
    Fail(Failure),
    End,
}

impl EventSource for CommittedStream {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        if !self.events.is_empty() {
            into.append(&mut self.events);
            let more = !matches!(self.then, Then::End);
            return Box::pin(async move { Ok(more) });
        }
        match &mut self.then {
            Then::Read(source) => source.next(into),
            Then::Fail(failure) => {
                let failure = failure.clone();
                Box::pin(async move { Err(failure) })
            }
            Then::End => Box::pin(async { Ok(false) }),
        }
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        take_warnings(&mut self.events)
    }
}

/// Takes the warnings out of some events.
pub fn take_warnings(events: &mut Vec<StreamEvent>) -> Vec<Warning> {
    let mut taken = Vec::new();
    events.retain_mut(|event| match event {
        StreamEvent::Warnings(warnings) => {
            taken.append(warnings);
            false
        }
        _ => true,
    });
    taken
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::GatewayError;

    struct Script(Vec<Result<Vec<StreamEvent>, GatewayError>>);

    impl EventSource for Script {
        fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
            Box::pin(async move {
                if self.0.is_empty() {
                    return Ok(false);
                }
                into.extend(self.0.remove(0)?);
                Ok(!self.0.is_empty())
            })
        }
    }

    async fn commit(script: Script) -> Result<CommittedStream, Failure> {
        await_first_content("p", OpenedStream::new(script)).await
    }

    async fn collect(mut source: CommittedStream) -> (Vec<StreamEvent>, Result<(), Failure>) {
        let mut events = Vec::new();
        loop {
            match source.next(&mut events).await {
                Ok(true) => {}
                Ok(false) => return (events, Ok(())),
                Err(failure) => return (events, Err(failure)),
            }
        }
    }

    #[tokio::test]
    async fn a_failure_before_content_fails_the_attempt() {
        let script = Script(vec![Ok(vec![StreamEvent::text("")]), Err(GatewayError::provider_timeout("p"))]);
        assert!(commit(script).await.is_err());
    }

    #[tokio::test]
    async fn nothing_is_lost_before_the_commit_and_later_failures_surface_while_reading() {
        let script = Script(vec![
            Ok(vec![StreamEvent::text("")]),
            Ok(vec![StreamEvent::text("a"), StreamEvent::text("b")]),
            Err(GatewayError::provider_timeout("p")),
        ]);
        let (events, end) = collect(commit(script).await.unwrap()).await;
        assert_eq!(events, ["", "a", "b"].map(StreamEvent::text));
        assert!(end.is_err());
    }

    #[tokio::test]
    async fn warnings_are_known_before_the_answer_is_read() {
        let warning = Warning { field: "topK".into(), reason: "Left out.".into(), provider: "p".into() };
        let script = Script(vec![
            Ok(vec![StreamEvent::Warnings(vec![warning.clone()])]),
            Ok(vec![StreamEvent::text("a")]),
        ]);
        let mut committed = commit(script).await.unwrap();
        assert_eq!(committed.take_warnings(), [warning]);
        assert_eq!(collect(committed).await.0, [StreamEvent::text("a")]);
    }

    #[tokio::test]
    async fn an_answer_without_content_is_an_answer() {
        let (events, end) =
            collect(commit(Script(vec![Ok(vec![StreamEvent::text("")])])).await.unwrap()).await;
        assert_eq!((events.len(), end.is_ok()), (1, true));
    }

    #[tokio::test]
    async fn events_without_content_take_no_memory() {
        let usage = |output| StreamEvent::Usage(TokenUsage::new(9, output));
        let heartbeat = || Ok(vec![StreamEvent::text(""), usage(0), StreamEvent::text("")]);
        let mut script: Vec<_> = (0..1000).map(|_| heartbeat()).collect();
        script.push(Ok(vec![usage(1), StreamEvent::text("a")]));
        let (events, end) = collect(commit(Script(script)).await.unwrap()).await;
        assert_eq!(events, [StreamEvent::text(""), usage(0), usage(1), StreamEvent::text("a")]);
        assert!(end.is_ok());
    }

    #[tokio::test]
    async fn a_failure_before_content_tells_what_was_counted() {
        let usage = TokenUsage::new(9, 0);
        let script = Script(vec![
            Ok(vec![StreamEvent::Usage(usage)]),
            Err(GatewayError::provider_network("p", "lost")),
        ]);
        let told = TokenUsage { source: UsageSource::Estimated, ..usage };
        assert_eq!(commit(script).await.err().unwrap().usage(), Some(told));
    }

    struct Silent;

    impl EventSource for Silent {
        fn next<'a>(&'a mut self, _: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_content_at_its_deadline_has_timed_out() {
        let deadline = Instant::now() + Duration::from_secs(3);
        let opened = OpenedStream::new(Silent).with_first_content_by(Some(deadline));
        let failure = await_first_content("p", opened).await.err().unwrap();
        assert_eq!((failure.log_code(), Instant::now()), ("PROVIDER_TIMEOUT", deadline));
    }
}
