//! Counters: what their scripts are given, and what they answer.

use gateway_engine::state::{CounterState, CounterWindow, Exchange, Figures, GrantRule};
use redis::Value;

use super::reply::{Malformed, array, integer, text};
use super::script::{Request, SCRIPTS};
use crate::clock::now_ms;

/// Before a counter's key.
pub(super) const PREFIX: &str = "gw:c:";

/// A step as a request; the script says how its arguments follow one another.
pub(super) fn exchange(node: &str, step: &Exchange, lease_ms: u64) -> Request {
    let request = Request::script(&SCRIPTS.exchange, &format!("{PREFIX}{}", step.counter.key)).arg(node);
    let request = match step.counter.window {
        CounterWindow::Rolling { length_ms } => request.arg("r").arg(length_ms),
        CounterWindow::Until { at_ms } => request.arg("u").arg(at_ms.max(0)),
    };
    let request = request.arg(lease_ms);
    let request = match &step.spent {
        // Its age, as the store's clock is another one; the sequence number so that it compares as text.
        Some(spent) => request
            .arg(format!("{:020}", spent.sequence))
            .arg(now_ms().saturating_sub(spent.at_ms).max(0))
            .arg(words(spent.figures)),
        None => request.arg("").arg("").arg(""),
    };
    let Some(lease) = &step.lease else { return request };
    let (rule, limits) = match lease.rule {
        GrantRule::Always => ("a", [None; 4]),
        GrantRule::Within(limits) => ("w", limits),
        GrantRule::Until(limits) => ("u", limits),
    };
    let full = std::array::from_fn(|place| lease.want[place].saturating_add(lease.spare[place]));
    let limits = limits.map(|limit| limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string()));
    request.arg(rule).arg(words(lease.keep)).arg(words(lease.want)).arg(words(full)).arg(limits.join(" "))
}

fn words([one, two, three, four]: Figures) -> String {
    format!("{one} {two} {three} {four}")
}

/// A counter as a node sees it, unchanged.
pub(super) fn look(node: &str, key: &str) -> Request {
    Request::script(&SCRIPTS.look, &format!("{PREFIX}{key}")).arg(node)
}

/// Version, milliseconds left (-1: no window runs), what is spent, the node's lease, and one lease of each other node.
pub(super) fn state(value: &Value) -> Result<CounterState, Malformed> {
    let [version, left, spent, own, others @ ..] = array(value)? else { return Err(Malformed) };
    let mut held_by_others = [0i64; 4];
    for other in others {
        let other = figures(other)?;
        held_by_others = std::array::from_fn(|place| held_by_others[place].saturating_add(other[place]));
    }
    let left = integer(left)?;
    Ok(CounterState {
        spent: figures(spent)?,
        held_by_others,
        held: figures(own)?,
        ends_in_ms: (left >= 0).then_some(left),
        version: u64::try_from(integer(version)?).map_err(|_| Malformed)?,
    })
}

fn figures(value: &Value) -> Result<Figures, Malformed> {
    let mut figures = [0; 4];
    let mut words = text(value)?.split(' ');
    for figure in &mut figures {
        *figure = words.next().ok_or(Malformed)?.parse().map_err(|_| Malformed)?;
    }
    Ok(figures)
}
