//! The journal over a database and a state that come and go, and over processes that die.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod death;
mod fakes;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fakes::{Database, Lines, State, batch};
use gateway_engine::records::{Kept, Lag, Recorder};
use gateway_engine::state::{StateStore, StoreErrorKind};
use gateway_store::journal::{JournalSettings, JournaledRecorder, WhenFull};
use tokio::runtime::Handle;

struct Setup {
    folder: tempfile::TempDir,
    database: Arc<Database>,
    state: Arc<State>,
    lines: Lines,
}

impl Setup {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            database: Arc::default(),
            state: Arc::default(),
            lines: Lines::default(),
        }
    }

    fn settings(&self) -> JournalSettings {
        JournalSettings::new(self.folder.path())
    }

    fn start(&self) -> JournaledRecorder {
        self.start_with(self.settings())
    }

    fn start_with(&self, settings: JournalSettings) -> JournaledRecorder {
        let state: Arc<dyn StateStore> = self.state.clone();
        JournaledRecorder::start(
            settings,
            self.database.clone(),
            Some(state),
            self.lines.log(),
            &Handle::current(),
        )
        .unwrap()
    }

    fn files(&self, ending: &str) -> usize {
        files(self.folder.path(), ending)
    }
}

fn files(folder: &Path, ending: &str) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().ends_with(ending)).count()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "did not come: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn keep(recorder: &JournaledRecorder, id: &str) -> u64 {
    match recorder.keep(recorder.node(), &batch(id)).await.unwrap() {
        Kept::Journaled { sequence } => sequence,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn batches_are_numbered_and_reach_the_database() {
    let setup = Setup::new();
    let recorder = setup.start();
    for number in 1..=20 {
        assert_eq!(keep(&recorder, &format!("call {number}")).await, number);
    }
    until("the rows", || setup.database.count() == 20).await;
    until("no lag", || recorder.lag() == Lag::default()).await;
    recorder.charges_applied(20);
    assert_eq!(recorder.close().await, Lag::default());
    assert_eq!(setup.files(""), 0, "nothing is left of a journal that is applied");
    assert!(recorder.keep(recorder.node(), &batch("late")).await.is_err());
}

#[tokio::test]
async fn a_database_that_is_away_is_not_waited_for() {
    let setup = Setup::new();
    setup.database.set_away(true);
    let recorder = setup.start();
    for number in 0..50 {
        let begin = Instant::now();
        keep(&recorder, &format!("{number}")).await;
        assert!(begin.elapsed() < Duration::from_secs(1));
    }
    assert_eq!(recorder.lag().rows, 50);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(recorder.lag().oldest_ms >= 300);
    setup.database.set_away(false);
    until("the rows", || setup.database.count() == 50).await;
    assert!(setup.database.rows.lock().unwrap().values().all(|count| *count == 1));
    let told = setup.lines.with("does not answer");
    assert_eq!(told.len(), 1, "once a minute: {told:?}");
    assert!(told[0].contains("rows wait in journal"), "{told:?}");
    until("good news", || setup.lines.with("takes rows again").len() == 1).await;
}

#[tokio::test]
async fn a_backlog_beyond_what_is_at_hand_is_read_from_the_files() {
    let setup = Setup::new();
    setup.database.set_away(true);
    let recorder = setup.start_with(JournalSettings { segment_bytes: 50_000, ..setup.settings() });
    let keeping = (0..9_000).map(|number| {
        let recorder = &recorder;
        async move { keep(recorder, &format!("{number}")).await }
    });
    let mut numbers = futures::future::join_all(keeping).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=9_000).collect::<Vec<_>>());
    assert!(setup.files(".journal") > 10);
    setup.database.set_away(false);
    until("the rows", || setup.database.count() == 9_000).await;
    assert!(setup.database.rows.lock().unwrap().values().all(|count| *count == 1));
    // Charges keep the segments until they have reached the state.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(setup.files(".journal") > 10);
    recorder.charges_applied(9_000);
    until("segments go", || setup.files(".journal") == 1).await;
}

#[tokio::test]
async fn a_full_journal_refuses_and_says_what_to_do() {
    let setup = Setup::new();
    setup.database.set_away(true);
    let recorder = setup.start_with(JournalSettings { max_bytes: 2_000, ..setup.settings() });
    let mut kept = 0;
    let error = loop {
        match recorder.keep(recorder.node(), &batch(&format!("{kept}"))).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert!(error.to_string().contains("make it reachable"), "{error}");
    assert!((5..20).contains(&kept), "{kept}");
    assert_eq!(recorder.dropped_rows(), 0);
    recorder.charges_applied(kept);
    setup.database.set_away(false);
    until("the rows", || setup.database.count() as u64 == kept).await;
    until("room", || setup.files(".journal") == 1).await;
    keep(&recorder, "later").await;
}

#[tokio::test]
async fn a_full_journal_may_drop_its_oldest_and_counts_them() {
    let setup = Setup::new();
    setup.database.set_away(true);
    let settings = JournalSettings { max_bytes: 4_000, when_full: WhenFull::DropOldest, ..setup.settings() };
    let recorder = setup.start_with(settings);
    for number in 0..100 {
        keep(&recorder, &format!("{number:03}")).await;
    }
    let (dropped, lag) = (recorder.dropped_rows(), recorder.lag().rows);
    assert!(dropped > 50, "{dropped}");
    assert_eq!(dropped + lag, 100);
    assert_eq!(setup.lines.with("were let go").len(), 1, "{:?}", setup.lines.all());
    setup.database.set_away(false);
    until("what is left", || setup.database.rows.lock().unwrap().contains_key("099")).await;
}

#[tokio::test]
async fn a_batch_larger_than_the_journal_is_kept_where_the_oldest_may_go() {
    let setup = Setup::new();
    let settings = JournalSettings { max_bytes: 100, when_full: WhenFull::DropOldest, ..setup.settings() };
    let recorder = setup.start_with(settings);
    keep(&recorder, &"x".repeat(1_000)).await;
    until("the row", || setup.database.count() == 1).await;
}

#[tokio::test]
async fn the_journal_of_a_dead_recorder_is_taken_over_once() {
    let setup = Setup::new();
    setup.database.set_away(true);
    let dead = setup.start();
    for number in 0..10 {
        keep(&dead, &format!("{number}")).await;
    }
    drop(dead);
    until("its end", || setup.files(".lock") == 1).await;
    // Away for its successor, too: the journal waits.
    let first = setup.start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(setup.files(".journal"), 1);
    drop(first);
    setup.database.set_away(false);
    let heirs = [setup.start(), setup.start()];
    until("its rows", || setup.database.count() == 10).await;
    until("its files to go", || setup.files(".journal") == 0).await;
    assert_eq!(setup.state.spent("budget"), 10);
    assert!(setup.database.rows.lock().unwrap().values().all(|count| *count == 1));
    for heir in heirs {
        heir.close().await;
    }
    until("nothing left", || setup.files("") == 0).await;
}

#[tokio::test]
async fn the_journal_of_a_living_recorder_is_left_alone() {
    let setup = Setup::new();
    setup.database.set_away(true);
    let living = setup.start();
    keep(&living, "a").await;
    let other = Setup { folder: tempfile::tempdir().unwrap(), ..Setup::new() };
    let heir = other.start_with(setup.settings());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(other.database.count(), 0);
    drop(heir);
    setup.database.set_away(false);
    until("its row", || setup.database.count() == 1).await;
}

#[tokio::test]
async fn charges_that_did_not_reach_the_state_are_passed_on_by_the_next_process() {
    let setup = Setup::new();
    let recorder = setup.start();
    for number in 0..10 {
        keep(&recorder, &format!("{number}")).await;
    }
    recorder.charges_applied(4);
    assert_eq!(recorder.close().await, Lag::default());
    assert_eq!(setup.files(".lock"), 1, "charges of six batches are still in it");
    setup.state.away.store(true, Ordering::SeqCst);
    let waiting = setup.start();
    until("a line", || setup.lines.with("waits: fake://state").len() == 1).await;
    drop(waiting);
    setup.state.away.store(false, Ordering::SeqCst);
    let heir = setup.start();
    until("its files to go", || setup.files(".journal") == 0).await;
    assert_eq!(setup.state.spent("budget"), 6);
    assert_eq!(setup.database.count(), 10);
    drop(heir);
}

#[tokio::test]
async fn a_journal_for_another_database_is_left_alone_and_told() {
    let setup = Setup::new();
    setup.database.set_away(true);
    let dead = setup.start();
    keep(&dead, "a").await;
    drop(dead);
    let name = Some("fake://another");
    let other = Setup { database: Arc::new(Database { name, ..Database::default() }), ..Setup::new() };
    let _heir = other.start_with(setup.settings());
    until("a line", || other.lines.with("for the database fake://database").len() == 1).await;
    assert_eq!(other.database.count(), 0);
    assert_eq!(setup.files(".journal"), 1);
}

#[tokio::test]
async fn damage_is_told_with_its_place_and_all_else_is_applied() {
    let setup = Setup::new();
    setup.database.set_away(true);
    let dead = setup.start();
    for number in 0..3 {
        keep(&dead, &format!("{number}")).await;
    }
    drop(dead);
    let entries = std::fs::read_dir(setup.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let path = entries.into_iter().find(|path| path.extension().is_some_and(|end| end == "journal")).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let second = bytes.len() / 3;
    bytes[second + 40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    setup.database.set_away(false);
    let _heir = setup.start();
    until("the other rows", || setup.database.count() == 2).await;
    until("a line", || setup.lines.with(&format!(".000001.journal, byte {second}")).len() == 1).await;
    until("the damaged file under another name", || setup.files(".damaged") == 1).await;
    assert!(!setup.database.rows.lock().unwrap().contains_key("1"));
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told_at_the_start() {
    let setup = Setup::new();
    let file = setup.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let started = JournaledRecorder::start(
        JournalSettings::new(file.join("journal")),
        setup.database.clone(),
        None,
        setup.lines.log(),
        &Handle::current(),
    );
    let error = started.err().unwrap().to_string();
    assert!(error.contains("settings.journal"), "{error}");
}

#[tokio::test]
async fn a_batch_under_the_name_of_another_node_is_refused() {
    let setup = Setup::new();
    let recorder = setup.start();
    assert!(recorder.keep("another", &batch("a")).await.is_err());
}
