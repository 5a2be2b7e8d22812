//! What a full queue does.

use futures::future::BoxFuture;
use gateway_model::config::{RecordSettings, WhenFull};

use super::*;
use crate::state::{Counter, CounterWindow};

/// A database that is away until it is back, and then keeps everything.
#[derive(Default)]
struct Database {
    is_back: std::sync::atomic::AtomicBool,
    kept: Mutex<Vec<Arc<Batch>>>,
}

impl Recorder for Database {
    fn keep<'a>(&'a self, _node: &'a str, batch: &'a Arc<Batch>) -> BoxFuture<'a, Result<Kept, StoreError>> {
        Box::pin(async {
            if !self.is_back.load(Ordering::Relaxed) {
                return Err(StoreError::away("sqlite:/data/usage.db", "the disk is full"));
            }
            self.kept.lock().unwrap().push(batch.clone());
            Ok(Kept::Rows)
        })
    }

    fn lag(&self) -> Lag {
        Lag::default()
    }

    fn close(&self) -> BoxFuture<'_, Lag> {
        Box::pin(async { Lag::default() })
    }
}

struct Nobody;

impl ChargeSink for Nobody {
    fn kept(&self, _charges: &[Charge], _kept: &Kept) {}
}

fn charge(key: &str, at_ms: i64) -> Charge {
    let counter = Counter { key: key.into(), window: CounterWindow::Rolling { length_ms: 3_600_000 } };
    Charge { counter, figures: [1, 2, 3, 4], at_ms }
}

#[tokio::test(start_paused = true)]
async fn records_that_are_dropped_leave_what_they_spent_and_are_told() {
    let (database, lines) = (Arc::new(Database::default()), Arc::new(Mutex::new(Vec::<String>::new())));
    let said = lines.clone();
    let report = Arc::new(move |line| said.lock().unwrap().push(line));
    let settings = RecordSettings { queue: Some(10), when_full: WhenFull::DropOldest };
    let books = Books::new(database.clone(), "node".into(), settings, report);
    let running = tokio::spawn(books.clone().run(Arc::new(Nobody)));
    for call in 0..1_000 {
        let row = UsageRow { request_id: call.to_string(), ..UsageRow::default() };
        let charges = vec![charge("all", call * 10), charge(&format!("user {}", call % 2), call * 10)];
        let _entry = books.enter(Some(row), charges);
        tokio::task::yield_now().await;
    }
    let dropped = usize::try_from(books.dropped()).unwrap();
    let told: Vec<_> =
        lines.lock().unwrap().iter().filter(|line| line.contains("dropped")).cloned().collect();
    assert_eq!(told.len(), 1, "once a minute: {told:?}");
    assert!(told[0].contains("what they spent of budgets is kept"), "{told:?}");

    database.is_back.store(true, Ordering::Relaxed);
    books.drain(Duration::from_secs(10)).await;
    books.close().await;
    running.await.unwrap();
    let kept = database.kept.lock().unwrap();
    let rows: Vec<_> = kept.iter().flat_map(|batch| &batch.rows).collect();
    assert_eq!(rows.len() + dropped, 1_000);
    assert_eq!(rows.last().unwrap().request_id, "999");
    let charges: Vec<_> = kept.iter().flat_map(|batch| &batch.charges).collect();
    let spent = |key: &str| {
        let of_key = charges.iter().filter(|charge| &*charge.counter.key == key);
        of_key.fold([0; 4], |sum, one| std::array::from_fn(|place| sum[place] + one.figures[place]))
    };
    assert_eq!(spent("all"), [1_000, 2_000, 3_000, 4_000]);
    assert_eq!((spent("user 0"), spent("user 1")), ([500, 1_000, 1_500, 2_000], [500, 1_000, 1_500, 2_000]));
    assert!(charges.len() < 100, "{} charges: those of dropped records become few", charges.len());
    assert!(charges.iter().all(|charge| charge.at_ms < 10_000 && charge.at_ms >= 0));
}
