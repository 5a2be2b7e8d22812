//! Single flight of streams: events are written into a log that each call reads at its own pace, from the beginning.

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Completion, FlightEnd, Flights, Follower, Leader, Waiter};
use gateway_model::EventSource;
use gateway_model::StreamEvent;
use gateway_model::error::{Failure, GatewayError};

/// Calls in flight for streams. `H` is what is known of a stream when it opens: who answers, with which model.
pub type StreamFlights<H> = Flights<SharedStream<H>>;

/// The stream so far.
pub struct SharedStream<H> {
    log: watch::Sender<Log<H>>,
    /// Events that the fastest reader is waiting for. The upstream is not read beyond them.
    wanted: watch::Sender<usize>,
    /// Fires when the last reader has left because its call was cancelled.
    abandoned: CancellationToken,
}

struct Log<H> {
    /// Set once the stream is open.
    head: Option<H>,
    events: Vec<StreamEvent>,
    end: Option<Result<(), Failure>>,
}

impl<H> Default for SharedStream<H> {
    fn default() -> Self {
        let log = Log { head: None, events: Vec::new(), end: None };
        Self {
            log: watch::Sender::new(log),
            wanted: watch::Sender::new(0),
            abandoned: CancellationToken::new(),
        }
    }
}

impl<H: Clone + Send + Sync + 'static> Completion for SharedStream<H> {
    fn fail(&self, failure: Failure) {
        self.log.send_if_modified(|log| {
            let is_first = log.end.is_none();
            log.end.get_or_insert(Err(failure));
            is_first
        });
    }

    fn abandon(&self) {
        self.abandoned.cancel();
    }
}

impl<H: Clone + Send + Sync + 'static> Leader<SharedStream<H>> {
    /// The token of the work: it fires, before the work is dropped, when the last reader's call was cancelled.
    pub fn abandoned(&self) -> CancellationToken {
        self.waiter.shared.abandoned.clone()
    }

    /// Opens the stream for all calls that join until it ends, and reads it as they read. The source is dropped before
    /// any of them sees the end, and at once when all have left.
    pub fn run<W>(self, open: W) -> Follower<SharedStream<H>>
    where
        W: Future<Output = Result<(H, Box<dyn EventSource>), Failure>> + Send + 'static,
    {
        self.spawn(|flight_end| write(flight_end, open))
    }
}

/// The work of a flight: from the source into the log.
async fn write<H: Clone + Send + Sync + 'static>(
    mut flight_end: FlightEnd<SharedStream<H>>,
    open: impl Future<Output = Result<(H, Box<dyn EventSource>), Failure>> + Send,
) {
    let (head, mut source) = match open.await {
        Ok(opened) => opened,
        Err(failure) => {
            flight_end.free();
            return flight_end.shared.fail(failure);
        }
    };
    flight_end.shared.log.send_modify(|log| log.head = Some(head));
    let mut wanted = flight_end.shared.wanted.subscribe();
    let (mut batch, mut held) = (Vec::new(), 0);
    let end = loop {
        // The sender lives as long as `flight_end`.
        let _ = wanted.wait_for(|wanted| *wanted > held).await;
        match source.next(&mut batch).await {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(failure) => break Err(failure),
        }
        held += batch.len();
        flight_end.shared.log.send_if_modified(|log| {
            let has_more = !batch.is_empty();
            log.events.append(&mut batch);
            has_more
        });
    };
    drop(source);
    flight_end.free();
    flight_end.shared.log.send_modify(|log| {
        log.events.append(&mut batch);
        log.end.get_or_insert(end);
    });
}

impl<H: Clone + Send + Sync + 'static> Follower<SharedStream<H>> {
    /// Waits until the stream is open. Dropping the wait leaves the flight.
    ///
    /// # Errors
    /// The stream did not open, for the same reason for all; `internal` if opening it panicked, `aborted` if its leader
    /// gave it up.
    pub async fn open(self) -> Result<(H, FlightStream<H>), Failure> {
        let mut log = self.waiter.shared.log.subscribe();
        let opened = match log.wait_for(|log| log.head.is_some() || log.end.is_some()).await {
            Ok(log) => match (&log.head, &log.end) {
                (Some(head), _) => Ok(head.clone()),
                (None, Some(Err(failure))) => Err(failure.clone()),
                (None, _) => Err(endless()),
            },
            Err(_) => Err(endless()),
        };
        Ok((opened?, FlightStream { waiter: self.waiter, log, read: 0 }))
    }
}

/// One caller's reading of a shared stream. Dropping it leaves the flight.
pub struct FlightStream<H: Clone + Send + Sync + 'static> {
    waiter: Waiter<SharedStream<H>>,
    log: watch::Receiver<Log<H>>,
    /// Events this reader has taken.
    read: usize,
}

impl<H: Clone + Send + Sync + 'static> FlightStream<H> {
    async fn read(&mut self, into: &mut Vec<StreamEvent>) -> Result<bool, Failure> {
        let read = self.read;
        self.waiter.shared.wanted.send_if_modified(|wanted| {
            let is_more = *wanted <= read;
            *wanted = (*wanted).max(read + 1);
            is_more
        });
        let log = self.log.wait_for(|log| log.events.len() > read || log.end.is_some()).await;
        let log = log.map_err(|_| endless())?;
        into.extend_from_slice(log.events.get(read..).unwrap_or_default());
        self.read = log.events.len();
        match &log.end {
            None => Ok(true),
            Some(Ok(())) => Ok(false),
            Some(Err(failure)) => Err(failure.clone()),
        }
    }
}

impl<H: Clone + Send + Sync + 'static> EventSource for FlightStream<H> {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(self.read(into))
    }
}

/// Cannot happen: a waiter holds the sender of the log.
fn endless() -> Failure {
    GatewayError::internal("bug: shared call finished without a result").into()
}
