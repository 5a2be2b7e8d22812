//! The counters and token buckets that a transaction touches: each is read once, changed in memory, and written once.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use gateway_engine::state::{Charge, CounterState, Exchange, Take, Taken};
use rusqlite::{Connection, Error};

use super::bucket::{self, Bucket};
use super::counter::{Moment, Stored};
use super::stored;

pub(super) struct Ledger<'a> {
    connection: &'a Connection,
    moment: Moment,
    counters: HashMap<Arc<str>, Stored>,
    buckets: HashMap<Arc<str>, Vec<Bucket>>,
    changed: HashSet<Arc<str>>,
    taken: HashSet<Arc<str>>,
}

impl<'a> Ledger<'a> {
    pub fn new(connection: &'a Connection, moment: Moment) -> Self {
        Self {
            connection,
            moment,
            counters: HashMap::new(),
            buckets: HashMap::new(),
            changed: HashSet::new(),
            taken: HashSet::new(),
        }
    }

    fn counter(&mut self, key: &Arc<str>) -> Result<&mut Stored, Error> {
        match self.counters.entry(Arc::clone(key)) {
            Entry::Occupied(found) => Ok(found.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(stored::read_counter(self.connection, key)?)),
        }
    }

    fn counter_to_change(&mut self, key: &Arc<str>) -> Result<&mut Stored, Error> {
        if !self.changed.contains(key) {
            self.changed.insert(Arc::clone(key));
        }
        self.counter(key)
    }

    pub fn exchange(&mut self, node: &str, step: &Exchange) -> Result<CounterState, Error> {
        let moment = self.moment;
        let counter = self.counter_to_change(&step.counter.key)?;
        counter.exchange(node, step, moment);
        Ok(counter.seen_by(node, moment.now))
    }

    /// A charge of a batch of `node`, which its rows keep from being made twice.
    pub fn charge(&mut self, node: &str, charge: &Charge) -> Result<(), Error> {
        let now = self.moment.now;
        self.counter_to_change(&charge.counter.key)?.charge(node, charge, now);
        Ok(())
    }

    pub fn seen_by(&mut self, node: &str, key: &Arc<str>) -> Result<CounterState, Error> {
        let now = self.moment.now;
        Ok(self.counter(key)?.seen_by(node, now))
    }

    pub fn take(&mut self, take: &Take) -> Result<Taken, Error> {
        let buckets = match self.buckets.entry(Arc::clone(&take.key)) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => place.insert(stored::read_buckets(self.connection, &take.key)?),
        };
        if buckets.len() < take.buckets.len() {
            buckets.resize(take.buckets.len(), Bucket::default());
        }
        let taken = bucket::take(buckets, take, self.moment.now);
        if taken == Taken::All {
            self.taken.insert(Arc::clone(&take.key));
        }
        Ok(taken)
    }

    /// Writes all that was changed.
    pub fn write(&self) -> Result<(), Error> {
        for key in &self.changed {
            if let Some(counter) = self.counters.get(key) {
                stored::write_counter(self.connection, key, counter)?;
            }
        }
        for key in &self.taken {
            if let Some(buckets) = self.buckets.get(key) {
                stored::write_buckets(self.connection, key, buckets)?;
            }
        }
        Ok(())
    }
}
