//! One transaction for all that arrived together: rows with their roll-ups, charges, exchanges, takes, values and notices.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use gateway_engine::state::{Charge, CounterState, Exchange, Notice, Take, Taken};
use sqlx::{Row, SqliteConnection};

use super::counter::Moment;
use super::fault;
use super::ledger::Ledger;
use super::rollup::{Place, RollUp};
use super::rows::{self, SealedRow};
use super::script::{self, Given, MOST_ROWS, Script};
use super::series::{self, KnownSeries, Series};
use super::sweep::Sweep;

/// What a caller wants done.
pub(super) enum Work {
    Keep { node: String, rows: Vec<SealedRow>, charges: Vec<Charge> },
    Exchange { node: String, steps: Vec<Exchange> },
    Take(Vec<Take>),
    Put { key: String, value: Vec<u8>, lapses_at: i64 },
    Post { board: String, notice: Notice, lapses_at: i64 },
    Sweep(Sweep),
}

/// What came of it, in the order of [`Work`].
pub(super) enum Done {
    Kept(Vec<(Arc<str>, CounterState)>),
    Exchanged(Vec<CounterState>),
    Taken(Vec<Taken>),
    Nothing,
    Swept(u64),
}

/// What a transaction did.
pub(super) struct Applied {
    /// In the order of the work.
    pub done: Vec<Done>,
    /// Texts of latencies that became longer.
    pub longer: Vec<(Place, usize)>,
}

/// Does all of `work` or nothing of it.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    known: &KnownSeries,
    work: &[&Work],
    moment: Moment,
) -> Result<Applied, sqlx::Error> {
    let done = match attempt(connection, known, work, moment, Care::Little).await {
        Err(error) if fault::is_duplicate(&error) => {
            roll_back(connection).await;
            attempt(connection, known, work, moment, Care::Much).await
        }
        done => done,
    };
    if done.is_err() {
        roll_back(connection).await;
    }
    done
}

/// Whether it is looked up first which rows are there already. Usually none are: where that is wrong, the first attempt fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    Little,
    Much,
}

async fn attempt(
    connection: &mut SqliteConnection,
    known: &KnownSeries,
    work: &[&Work],
    moment: Moment,
    care: Care,
) -> Result<Applied, sqlx::Error> {
    let Moment { now, .. } = moment;
    let mut script = Script::default();
    script.statement("BEGIN IMMEDIATE");
    let rows: Vec<&SealedRow> = work.iter().copied().flat_map(rows_of).collect();
    let learned = number_series(connection, &mut script, &rows).await?;
    let mut there = match care {
        Care::Little => HashSet::new(),
        Care::Much => rows_there(connection, &mut script, &rows).await?,
    };

    let mut ledger = wanted(work);
    ledger.read(&mut script)?;
    let (mut new, mut sums) = (Vec::with_capacity(rows.len()), RollUp::default());
    let mut have_new = HashSet::new();
    for (index, work) in work.iter().enumerate() {
        for row in rows_of(work) {
            if care == Care::Much && !there.insert(row.id.clone()) {
                continue;
            }
            have_new.insert(index);
            new.push(row);
            sums.add(row, row.series(&learned)?);
        }
    }
    for some in new.chunks(MOST_ROWS) {
        rows::insert(&mut script, some, &learned)?;
    }
    let longer = sums.write(&mut script)?;

    // What is read decides what is written: a trip of its own, where anything is.
    if !ledger.is_empty() {
        ledger.load(&mut std::mem::take(&mut script).run(connection).await?)?;
    }
    let mut done = Vec::with_capacity(work.len());
    let mut sweeps = Vec::new();
    for (index, work) in work.iter().enumerate() {
        done.push(match work {
            Work::Keep { node, rows, charges } => {
                // A batch is kept as a whole: where all its rows are there, its charges were made with them.
                if rows.is_empty() || have_new.contains(&index) {
                    charges.iter().for_each(|charge| ledger.charge(node, charge, now));
                }
                Done::Kept(states_of(&ledger, node, charges, now))
            }
            Work::Exchange { node, steps } => {
                Done::Exchanged(steps.iter().map(|step| ledger.exchange(node, step, moment)).collect())
            }
            Work::Take(takes) => Done::Taken(takes.iter().map(|take| ledger.take(take, now)).collect()),
            Work::Put { key, value, lapses_at } => {
                put(&mut script, key, value, *lapses_at)?;
                Done::Nothing
            }
            Work::Post { board, notice, lapses_at } => {
                post(&mut script, board, notice, *lapses_at, now)?;
                Done::Nothing
            }
            Work::Sweep(sweep) => {
                sweeps.push((index, sweep.write(&mut script, now)?));
                Done::Nothing
            }
        });
    }
    ledger.write(&mut script)?;
    script.statement("COMMIT");
    let given = script.run(connection).await?;
    known.remember(learned);
    for (index, place) in sweeps {
        if let (Some(done), Some(Given { changes, .. })) = (done.get_mut(index), given.get(place)) {
            *done = Done::Swept(*changes);
        }
    }
    Ok(Applied { done, longer })
}

/// What has to be read for it.
fn wanted(work: &[&Work]) -> Ledger {
    let mut ledger = Ledger::default();
    for work in work {
        match work {
            Work::Keep { charges, .. } => {
                charges.iter().for_each(|charge| ledger.want_counter(&charge.counter.key));
            }
            Work::Exchange { steps, .. } => {
                steps.iter().for_each(|step| ledger.want_counter(&step.counter.key))
            }
            Work::Take(takes) => {
                takes.iter().for_each(|take| ledger.want_buckets(&take.key, take.buckets.len()));
            }
            Work::Put { .. } | Work::Post { .. } | Work::Sweep(_) => {}
        }
    }
    ledger
}

fn rows_of(work: &Work) -> &[SealedRow] {
    match work {
        Work::Keep { rows, .. } => rows,
        _ => &[],
    }
}

/// The numbers of the series that were not known; new ones are added. Takes a trip only if there are any.
async fn number_series(
    connection: &mut SqliteConnection,
    script: &mut Script,
    rows: &[&SealedRow],
) -> Result<HashMap<String, i64>, sqlx::Error> {
    let mut unknown: HashMap<&str, &Series> = HashMap::new();
    for row in rows.iter().filter(|row| row.series.id.is_none()) {
        unknown.insert(&row.series.text, &row.series);
    }
    let unknown: Vec<&Series> = unknown.into_values().collect();
    let mut learned = HashMap::new();
    for some in unknown.chunks(MOST_ROWS) {
        let place = series::ensure(script, some)?;
        let mut given = std::mem::take(script).run(connection).await?;
        learned.extend(series::learned(some, script::rows(&mut given, place))?);
    }
    Ok(learned)
}

/// Which of these rows are in the table.
async fn rows_there(
    connection: &mut SqliteConnection,
    script: &mut Script,
    rows: &[&SealedRow],
) -> Result<HashSet<(Vec<u8>, i64)>, sqlx::Error> {
    let mut there = HashSet::new();
    for some in rows.chunks(MOST_ROWS) {
        let place = script.values(
            "SELECT request_id, part FROM usage_rows WHERE (request_id, part) IN (VALUES ",
            2,
            some.len(),
            ")",
        );
        for row in some {
            script.bind(row.id.0.clone())?;
            script.bind(row.id.1)?;
        }
        script.pad(2, some.len())?;
        let mut given = std::mem::take(script).run(connection).await?;
        for row in script::rows(&mut given, place) {
            there.insert((row.try_get(0)?, row.try_get(1)?));
        }
    }
    Ok(there)
}

/// Each counter once, whatever number of charges it had.
fn states_of(ledger: &Ledger, node: &str, charges: &[Charge], now: i64) -> Vec<(Arc<str>, CounterState)> {
    let mut seen = HashSet::new();
    let keys = charges.iter().map(|charge| &charge.counter.key).filter(|key| seen.insert(Arc::clone(key)));
    keys.map(|key| (Arc::clone(key), ledger.seen_by(node, key, now))).collect()
}

fn put(script: &mut Script, key: &str, value: &[u8], lapses_at: i64) -> Result<(), sqlx::Error> {
    script.statement("INSERT OR REPLACE INTO state_values (key, value, lapses_at) VALUES (?, ?, ?)");
    script.bind(key)?;
    script.bind(value)?;
    script.bind(lapses_at)
}

fn post(
    script: &mut Script,
    board: &str,
    notice: &Notice,
    lapses_at: i64,
    now: i64,
) -> Result<(), sqlx::Error> {
    if lapses_at <= now {
        script.statement("DELETE FROM state_notices WHERE board = ? AND name = ?");
        script.bind(board)?;
        return script.bind(notice.name.as_str());
    }
    script
        .statement("INSERT OR REPLACE INTO state_notices (board, name, text, lapses_at) VALUES (?, ?, ?, ?)");
    script.bind(board)?;
    script.bind(notice.name.as_str())?;
    script.bind(notice.text.as_str())?;
    script.bind(lapses_at)
}

/// Ends a transaction that failed. Where SQLite has ended it by itself, there is none.
pub(super) async fn roll_back(connection: &mut SqliteConnection) {
    let mut script = Script::default();
    script.statement("ROLLBACK");
    drop(script.run(connection).await);
}
