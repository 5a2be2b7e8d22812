//! Processes with a journal before the database that are killed while they write to it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_engine::records::{Batch, Recorder};
use gateway_store::journal::{JournalSettings, JournaledRecorder};
use gateway_store::postgres::PostgresRecords;
use rand::Rng;
use sqlx::Row;
use tokio::runtime::Handle;

use super::{DAY, HOUR_MS, row, server};
use crate::schema_or_return;

const FOLDER: &str = "POSTGRES_TEST_FOLDER";
const URL: &str = "POSTGRES_TEST_URL";

fn start(folder: &str, url: &str) -> JournaledRecorder {
    let records = Arc::new(PostgresRecords::new(url).unwrap());
    let settings = JournalSettings { segment_bytes: 50_000, ..JournalSettings::new(folder) };
    JournaledRecorder::start(settings, records, None, Arc::new(|_| {}), &Handle::current()).unwrap()
}

/// The child: keeps calls for ever, and says which were kept.
#[tokio::test]
#[ignore = "started by another test"]
async fn child() {
    let (Ok(folder), Ok(url)) = (std::env::var(FOLDER), std::env::var(URL)) else { return };
    let recorder = start(&folder, &url);
    loop {
        let rows: Vec<_> = (0..5).map(|hour| row(DAY + hour * HOUR_MS)).collect();
        let ids: Vec<_> = rows.iter().map(|row| row.request_id.clone()).collect();
        recorder.keep(recorder.node(), &Arc::new(Batch { rows, charges: vec![] })).await.unwrap();
        writeln!(std::io::stdout().lock(), "kept {}", ids.join(" ")).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_before_a_kill_is_in_the_database_once() {
    let schema = schema_or_return!();
    schema.records().prepare().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let mut kept = BTreeSet::new();
    for _ in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "death::child", "--ignored", "--nocapture"])
            .env(FOLDER, path)
            .env(URL, &schema.url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let reading = std::thread::spawn(move || {
            let kept = lines.filter_map(|line| Some(line.strip_prefix("kept ")?.to_owned()));
            kept.flat_map(|ids| ids.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
        });
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(150..600))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        kept.extend(reading.join().unwrap());
    }
    let heir = start(path, &schema.url);
    let end = Instant::now() + Duration::from_secs(30);
    while std::fs::read_dir(path).unwrap().count() > 1 {
        assert!(Instant::now() < end, "the journals are applied");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    heir.close().await;
    assert!(kept.len() > 100, "{}", kept.len());
    let stored = schema.rows("SELECT encode(request_id, 'hex') FROM usage_rows").await;
    let stored: BTreeSet<String> = stored.iter().map(|row| row.get(0)).collect();
    for id in &kept {
        assert!(stored.contains(&id.replace('-', "")), "{id} was kept");
    }
    schema.check_sums().await;
}
