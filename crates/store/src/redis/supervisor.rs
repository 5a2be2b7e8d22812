//! The task that keeps a connection, and dials again for ever.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use redis::Cmd;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use tokio::time::{Instant, sleep};

use super::dial::Line;
use super::link::{BOUND, Shared, within};
use super::trouble::Trouble;

/// To connect and log in: up to four round trips, over TLS.
const DIAL_BOUND: Duration = Duration::from_millis(600);

/// Between dials: doubled until Redis is found, and short enough for it to be found within a second of its return.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

pub(super) async fn supervise(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    let mut line: Option<Line> = None;
    let mut generation = 0;
    let mut last_good = 0;
    loop {
        match dial(&shared).await {
            Ok(new) => {
                generation += 1;
                shared.up(new.connection.clone(), generation);
                line = Some(new);
                trouble(&shared, &mut line, generation).await;
            }
            Err(failure) => {
                shared.dial_failed(failure);
                // The old connection was slow for a moment, and answers again.
                if shared.is_well() {
                    trouble(&shared, &mut line, generation).await;
                }
            }
        }
        // A connection that was good is followed by the next one at once.
        if shared.has_answered(generation) && last_good != generation {
            last_good = generation;
            pause = FIRST_PAUSE;
        } else {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// A connection that has answered within the time that a call has.
async fn dial(shared: &Shared) -> Result<Line, Trouble> {
    let line = match within(Instant::now() + DIAL_BOUND, shared.dialer.dial()).await {
        Some(Ok(line)) => line,
        Some(Err(error)) => return Err(Trouble::of(&error)),
        None => return Err(Trouble::no_connection(DIAL_BOUND)),
    };
    let mut ping = Cmd::new();
    ping.arg("PING");
    // One node that lives is enough to begin with.
    let nodes =
        RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::OneSucceeded)));
    let trouble = match within(Instant::now() + BOUND, line.connection.run(&ping, Some(&nodes))).await {
        Some(Ok(_)) => return Ok(line),
        Some(Err(error)) => Trouble::of(&error),
        None => Trouble::late(BOUND),
    };
    // A user who may not even ask that may do what is needed all the same.
    if trouble.is_general { Err(trouble) } else { Ok(line) }
}

/// Waits until the connection is closed, or a call meets what a new one may cure.
async fn trouble(shared: &Shared, line: &mut Option<Line>, generation: u64) {
    // What calls met before this connection was there is past.
    let _ = shared.trouble.notified().now_or_never();
    let Some(current) = line else { return };
    tokio::select! {
        () = &mut current.closed => {
            shared.lost(generation);
            *line = None;
        }
        () = shared.trouble.notified() => {}
    }
}
