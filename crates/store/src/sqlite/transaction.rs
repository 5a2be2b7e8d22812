//! One transaction for all that arrived together: rows with their roll-ups, charges, exchanges, takes, values and notices.

use std::collections::HashSet;
use std::sync::Arc;

use gateway_engine::records::{Batch, UsageRow};
use gateway_engine::state::{Charge, CounterState, Exchange, Notice, Take, Taken};
use rusqlite::{Connection, Error};

use super::Role;
use super::counter::Moment;
use super::ledger::Ledger;
use super::rollup::{Place, RollUp};
use super::rows::Insert;
use super::series::{KnownSeries, Learner};
use super::sweep::Sweep;

/// What a caller wants done.
pub(super) enum Work {
    /// Rows, charges or both, by what the file is used for.
    Keep {
        node: String,
        batch: Arc<Batch>,
        role: Role,
    },
    Exchange {
        node: String,
        steps: Vec<Exchange>,
    },
    Take(Vec<Take>),
    Put {
        key: String,
        value: Vec<u8>,
        lapses_at: i64,
    },
    Post {
        board: String,
        notice: Notice,
        lapses_at: i64,
    },
    Sweep(Sweep),
}

/// What came of it, in the order of [`Work`].
pub(super) enum Done {
    Kept(Vec<(Arc<str>, CounterState)>),
    Exchanged(Vec<CounterState>),
    Taken(Vec<Taken>),
    Nothing,
    Swept(usize),
}

/// What a transaction did.
pub(super) struct Applied {
    /// In the order of the work.
    pub done: Vec<Done>,
    /// Texts of latencies that became longer.
    pub longer: Vec<(Place, usize)>,
}

/// Does all of `work` or nothing of it.
pub(super) fn apply(
    connection: &Connection,
    known: &mut KnownSeries,
    work: &[&Work],
    moment: Moment,
) -> Result<Applied, Error> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done = attempt(connection, known, work, moment);
    if done.is_err() {
        roll_back(connection);
    }
    done
}

fn attempt(
    connection: &Connection,
    known: &mut KnownSeries,
    work: &[&Work],
    moment: Moment,
) -> Result<Applied, Error> {
    let mut series = known.learn();
    let mut ledger = Ledger::new(connection, moment);
    let mut sums = RollUp::default();
    let mut done = Vec::with_capacity(work.len());
    for work in work {
        done.push(match work {
            Work::Keep { node, batch, role } => {
                let rows = if *role == Role::State { &[] } else { batch.rows.as_slice() };
                let charges = if *role == Role::Records { &[] } else { batch.charges.as_slice() };
                // A batch is kept as a whole: where all its rows are there, its charges were made with them.
                if rows.is_empty() || add_rows(connection, &mut series, &mut sums, rows)? {
                    charges.iter().try_for_each(|charge| ledger.charge(node, charge))?;
                }
                Done::Kept(states_of(&mut ledger, node, charges)?)
            }
            Work::Exchange { node, steps } => {
                let states = steps.iter().map(|step| ledger.exchange(node, step));
                Done::Exchanged(states.collect::<Result<_, _>>()?)
            }
            Work::Take(takes) => {
                Done::Taken(takes.iter().map(|take| ledger.take(take)).collect::<Result<_, _>>()?)
            }
            Work::Put { key, value, lapses_at } => {
                put(connection, key, value, *lapses_at)?;
                Done::Nothing
            }
            Work::Post { board, notice, lapses_at } => {
                post(connection, board, notice, *lapses_at, moment.now)?;
                Done::Nothing
            }
            Work::Sweep(sweep) => Done::Swept(sweep.run(connection, moment.now)?),
        });
    }
    let longer = sums.write(connection)?;
    ledger.write()?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    series.remember();
    Ok(Applied { done, longer })
}

/// Adds rows and what they are summed up to; `false`: all of them are there already.
fn add_rows(
    connection: &Connection,
    series: &mut Learner<'_>,
    sums: &mut RollUp,
    rows: &[UsageRow],
) -> Result<bool, Error> {
    let mut insert = Insert::new(connection)?;
    let mut has_new = false;
    for row in rows {
        let number = series.number(connection, row)?;
        if insert.row(row, number)? {
            has_new = true;
            sums.add(row, number);
        }
    }
    Ok(has_new)
}

/// Each counter once, whatever number of charges it had.
fn states_of(
    ledger: &mut Ledger<'_>,
    node: &str,
    charges: &[Charge],
) -> Result<Vec<(Arc<str>, CounterState)>, Error> {
    let mut seen = HashSet::new();
    let keys = charges.iter().map(|charge| &charge.counter.key).filter(|key| seen.insert(Arc::clone(key)));
    keys.map(|key| Ok((Arc::clone(key), ledger.seen_by(node, key)?))).collect()
}

fn put(connection: &Connection, key: &str, value: &[u8], lapses_at: i64) -> Result<(), Error> {
    let sql = "INSERT OR REPLACE INTO state_values (key, value, lapses_at) VALUES (?, ?, ?)";
    connection.prepare_cached(sql)?.execute((key, value, lapses_at)).map(drop)
}

fn post(
    connection: &Connection,
    board: &str,
    notice: &Notice,
    lapses_at: i64,
    now: i64,
) -> Result<(), Error> {
    let Notice { name, text, .. } = notice;
    if lapses_at <= now {
        let sql = "DELETE FROM state_notices WHERE board = ? AND name = ?";
        return connection.prepare_cached(sql)?.execute((board, name)).map(drop);
    }
    let sql = "INSERT OR REPLACE INTO state_notices (board, name, text, lapses_at) VALUES (?, ?, ?, ?)";
    connection.prepare_cached(sql)?.execute((board, name, text, lapses_at)).map(drop)
}

/// Ends a transaction that failed. Where SQLite has ended it by itself, there is none.
pub(super) fn roll_back(connection: &Connection) {
    if !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
}
