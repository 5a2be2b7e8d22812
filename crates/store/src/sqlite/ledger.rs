//! The counters and token buckets that a transaction touches: read once, changed in memory, written once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use gateway_engine::state::{Charge, CounterState, Exchange, Take, Taken};
use sqlx::Row;

use super::bucket::{self, Bucket};
use super::counter::{Lease, Moment, Stored};
use super::script::{Given, MOST_ROWS, Script, rows};
use super::stored;

#[derive(Default)]
pub(super) struct Ledger {
    counters: HashMap<Arc<str>, Stored>,
    buckets: HashMap<Arc<str>, Vec<Bucket>>,
    changed: HashSet<Arc<str>>,
    taken: HashSet<Arc<str>>,
    places: Vec<(What, usize)>,
}

#[derive(Clone, Copy)]
enum What {
    Counters,
    Leases,
    Buckets,
}

impl Ledger {
    /// A counter that is going to be needed.
    pub fn want_counter(&mut self, key: &Arc<str>) {
        self.counters.entry(Arc::clone(key)).or_default();
    }

    /// Buckets that are going to be needed, so many of one key.
    pub fn want_buckets(&mut self, key: &Arc<str>, count: usize) {
        let buckets = self.buckets.entry(Arc::clone(key)).or_default();
        buckets.resize(buckets.len().max(count), Bucket::default());
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.buckets.is_empty()
    }

    /// Adds to `script` what reads all that is needed.
    pub fn read(&mut self, script: &mut Script) -> Result<(), sqlx::Error> {
        let counters: Vec<&Arc<str>> = self.counters.keys().collect();
        for some in counters.chunks(MOST_ROWS) {
            let counters = format!("SELECT {} FROM counters WHERE key IN (VALUES ", stored::COUNTER);
            let leases = format!("SELECT {} FROM leases WHERE counter IN (VALUES ", stored::LEASE);
            self.places.push((What::Counters, read_by_key(script, &counters, some)?));
            self.places.push((What::Leases, read_by_key(script, &leases, some)?));
        }
        let buckets: Vec<&Arc<str>> = self.buckets.keys().collect();
        for some in buckets.chunks(MOST_ROWS) {
            let buckets =
                "SELECT key, place, missing, at_ms, full_at FROM token_buckets WHERE key IN (VALUES ";
            self.places.push((What::Buckets, read_by_key(script, buckets, some)?));
        }
        Ok(())
    }

    /// Takes what [`Self::read`] has read.
    pub fn load(&mut self, given: &mut [Given]) -> Result<(), sqlx::Error> {
        for (what, place) in std::mem::take(&mut self.places) {
            for row in rows(given, place) {
                let key: &str = row.try_get(0)?;
                match what {
                    What::Counters => {
                        if let Some(counter) = self.counters.get_mut(key) {
                            *counter = stored::counter(&row)?;
                        }
                    }
                    What::Leases => {
                        if let Some(counter) = self.counters.get_mut(key) {
                            counter.leases.push(stored::lease(&row)?);
                        }
                    }
                    What::Buckets => {
                        let place = usize::try_from(row.try_get::<i64, _>(1)?).unwrap_or(usize::MAX);
                        let Some(bucket) = self.buckets.get_mut(key).and_then(|all| all.get_mut(place))
                        else {
                            continue;
                        };
                        *bucket = Bucket {
                            missing: row.try_get(2)?,
                            at: row.try_get(3)?,
                            full_at: row.try_get(4)?,
                        };
                    }
                }
            }
        }
        Ok(())
    }

    pub fn exchange(&mut self, node: &str, step: &Exchange, moment: Moment) -> CounterState {
        let key = &step.counter.key;
        let counter = self.counters.entry(Arc::clone(key)).or_default();
        counter.exchange(node, step, moment);
        self.changed.insert(Arc::clone(key));
        counter.seen_by(node, moment.now)
    }

    /// A charge of a batch of `node`, which its rows keep from being made twice.
    pub fn charge(&mut self, node: &str, charge: &Charge, now: i64) {
        let counter = self.counters.entry(Arc::clone(&charge.counter.key)).or_default();
        counter.charge(node, charge, now);
        self.changed.insert(Arc::clone(&charge.counter.key));
    }

    pub fn seen_by(&self, node: &str, key: &str, now: i64) -> CounterState {
        self.counters.get(key).map(|counter| counter.seen_by(node, now)).unwrap_or_default()
    }

    pub fn take(&mut self, take: &Take, now: i64) -> Taken {
        self.want_buckets(&take.key, take.buckets.len());
        let Some(buckets) = self.buckets.get_mut(&take.key) else { return Taken::All };
        let taken = bucket::take(buckets, take, now);
        if taken == Taken::All {
            self.taken.insert(Arc::clone(&take.key));
        }
        taken
    }

    /// Adds to `script` what writes all that was changed.
    pub fn write(&self, script: &mut Script) -> Result<(), sqlx::Error> {
        let counters: Vec<(&Arc<str>, &Stored)> =
            self.changed.iter().filter_map(|key| self.counters.get_key_value(key)).collect();
        let leases: Vec<(&Arc<str>, &Lease)> = counters
            .iter()
            .flat_map(|(key, counter)| counter.leases.iter().map(move |lease| (*key, lease)))
            .filter(|(_, lease)| lease.changed)
            .collect();
        let buckets: Vec<(&Arc<str>, usize, &Bucket)> = self
            .taken
            .iter()
            .filter_map(|key| self.buckets.get_key_value(key))
            .flat_map(|(key, all)| all.iter().enumerate().map(move |(place, bucket)| (key, place, bucket)))
            .collect();
        for some in counters.chunks(MOST_ROWS) {
            write_counters(script, some)?;
        }
        for some in leases.chunks(MOST_ROWS) {
            write_leases(script, some)?;
        }
        for some in buckets.chunks(MOST_ROWS) {
            write_buckets(script, some)?;
        }
        Ok(())
    }
}

fn read_by_key(script: &mut Script, select: &str, keys: &[&Arc<str>]) -> Result<usize, sqlx::Error> {
    let place = script.values(select, 1, keys.len(), ")");
    keys.iter().try_for_each(|key| script.bind(Arc::clone(key)))?;
    script.pad(1, keys.len())?;
    Ok(place)
}

fn write_counters(script: &mut Script, counters: &[(&Arc<str>, &Stored)]) -> Result<(), sqlx::Error> {
    script.values(
        "INSERT OR REPLACE INTO counters \
         (key, begins_at, ends_at, previous_ended_at, spent_0, spent_1, spent_2, spent_3, version) SELECT * FROM (VALUES ",
        9,
        counters.len(),
        ") WHERE column1 IS NOT NULL",
    );
    for (key, counter) in counters {
        script.bind(Arc::clone(key))?;
        script.bind(counter.window.and_then(|window| window.begins))?;
        script.bind(counter.window.map(|window| window.ends))?;
        script.bind(counter.previous_ended)?;
        counter.spent.iter().try_for_each(|figure| script.bind(*figure))?;
        script.bind(counter.version)?;
    }
    script.pad(9, counters.len())
}

fn write_leases(script: &mut Script, leases: &[(&Arc<str>, &Lease)]) -> Result<(), sqlx::Error> {
    script.values(
        "INSERT OR REPLACE INTO leases \
         (counter, node, held_0, held_1, held_2, held_3, lapses_at, last_sequence) SELECT * FROM (VALUES ",
        8,
        leases.len(),
        ") WHERE column1 IS NOT NULL",
    );
    for (key, lease) in leases {
        script.bind(Arc::clone(key))?;
        script.bind(lease.node.as_str())?;
        lease.held.iter().try_for_each(|figure| script.bind(*figure))?;
        script.bind(lease.lapses)?;
        script.bind(lease.last_sequence.map(stored::from_unsigned))?;
    }
    script.pad(8, leases.len())
}

fn write_buckets(script: &mut Script, buckets: &[(&Arc<str>, usize, &Bucket)]) -> Result<(), sqlx::Error> {
    script.values(
        "INSERT OR REPLACE INTO token_buckets (key, place, missing, at_ms, full_at) SELECT * FROM (VALUES ",
        5,
        buckets.len(),
        ") WHERE column1 IS NOT NULL",
    );
    for (key, place, bucket) in buckets {
        script.bind(Arc::clone(key))?;
        script.bind(i64::try_from(*place).unwrap_or(i64::MAX))?;
        script.bind(bucket.missing)?;
        script.bind(bucket.at)?;
        script.bind(bucket.full_at)?;
    }
    script.pad(5, buckets.len())
}
