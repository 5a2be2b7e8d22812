//! Opens the stores of a gateway's settings, and says what they report.

use std::sync::Arc;
use std::time::Duration;

use super::calls::Calls;
use super::protocol::message;
use super::runtime::runtime;
use gateway_engine::{Gateway, LeftOver};
use gateway_model::config::Settings;

/// How long a gateway that is closed may take to write what there is.
pub const GRACE: Duration = Duration::from_secs(5);

/// How long a gateway that is made waits for a store that may not be there.
const START: Duration = Duration::from_millis(200);

/// Opens what the settings name, and lets the gateway live on it.
pub fn connect(gateway: &mut Gateway, settings: &Settings, calls: &Arc<Calls>) -> napi::Result<()> {
    if settings.state.as_deref().is_none_or(|state| state == "memory:") && settings.database.is_none() {
        return Ok(());
    }
    let runtime = runtime()?;
    let reports = calls.clone();
    let report = Arc::new(move |line: String| say(&reports, &line));
    let opened = runtime.block_on(gateway_store::open(settings, runtime.handle(), report));
    let Some(stores) = opened.map_err(|error| refused(&error.to_string()))? else { return Ok(()) };
    for keeper in gateway.connect(stores) {
        runtime.spawn(keeper);
    }
    // What there is, is known from the start; of a store that is away, once it is there.
    let _ = runtime.block_on(async { tokio::time::timeout(START, gateway.read_state()).await });
    Ok(())
}

/// # Errors
/// Another configuration names other stores: what is counted in these would be lost.
pub fn refuse_others(before: &Settings, next: &Settings) -> napi::Result<()> {
    for (name, before, next) in [
        ("state", &before.state, &next.state),
        ("database", &before.database, &next.database),
        ("journal", &before.journal, &next.journal),
    ] {
        if before != next {
            let message =
                format!("settings.{name}: cannot change on reload(); make a new Gateway, and close this one");
            return Err(refused(&message));
        }
    }
    Ok(())
}

/// The JS layer makes a `config_invalid` of it.
fn refused(message: &str) -> napi::Error {
    napi::Error::from_reason(message)
}

/// Says what a gateway that was closed could not write.
pub fn report_left(left: LeftOver, calls: &Calls) {
    let LeftOver { records, counts } = left;
    if records.rows > 0 {
        let rows = records.rows;
        let what =
            "usage records that are not in the database; those in the journal follow at the next start";
        say(calls, &format!("closed with {rows} {what}"));
    }
    if counts {
        say(calls, "closed with budget counts that have not reached the state store, which is away");
    }
}

fn say(calls: &Calls, line: &str) {
    calls.outbox.send(&message::Line { line: format!("[gateway] {line}") });
}
