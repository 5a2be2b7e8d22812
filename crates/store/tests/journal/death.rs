//! Processes that append and are killed, or run out of room: the test starts itself as a child.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gateway_engine::records::Recorder;
use gateway_engine::state::StateStore;
use gateway_store::journal::{JournalSettings, JournaledRecorder};
use rand::Rng;
use tokio::runtime::Handle;

use super::fakes::{Database, Lines, State, batch};
use super::{files, until};

const FOLDER: &str = "JOURNAL_TEST_FOLDER";
const NAME: &str = "JOURNAL_TEST_NAME";
const FORMER: &str = "acknowledged ";

/// The child: appends for ever, from several tasks at once, and says what it was told to be kept.
#[tokio::test]
#[ignore = "started by other tests"]
async fn child() {
    let (Ok(folder), Ok(name)) = (std::env::var(FOLDER), std::env::var(NAME)) else { return };
    let away = Arc::new(Database::default());
    away.set_away(true);
    let state: Arc<dyn StateStore> = Arc::new(State::default());
    let settings = JournalSettings { segment_bytes: 20_000, ..JournalSettings::new(folder) };
    let recorder =
        JournaledRecorder::start(settings, away, Some(state), Arc::new(|_| {}), &Handle::current()).unwrap();
    let appending = (0..8).map(|task| {
        let (recorder, name) = (&recorder, &name);
        async move {
            for number in 0.. {
                let id = format!("{name}-{task}-{number}");
                let kept = recorder.keep(recorder.node(), &batch(&id)).await;
                let line = match kept {
                    Ok(_) => format!("{FORMER}{id}\n"),
                    Err(error) => format!("refused {error}\n"),
                };
                let refused = line.starts_with("refused");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                if refused {
                    return;
                }
            }
        }
    });
    futures::future::join_all(appending).await;
}

fn child_of(program: &mut Command, folder: &Path, name: &str) -> Child {
    program.env(FOLDER, folder).env(NAME, name).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn lines(child: &mut Child) -> Vec<String> {
    let out = BufReader::new(child.stdout.take().unwrap());
    out.lines().map_while(Result::ok).collect()
}

fn acknowledged(lines: &[String]) -> impl Iterator<Item = String> + '_ {
    lines.iter().filter_map(|line| line.strip_prefix(FORMER)).map(str::to_owned)
}

async fn take_over(folder: &Path) -> (Arc<Database>, Arc<State>, Lines) {
    let (database, state, lines) =
        (Arc::new(Database::default()), Arc::new(State::default()), Lines::default());
    let shared: Arc<dyn StateStore> = state.clone();
    let settings = JournalSettings::new(folder);
    let recorder =
        JournaledRecorder::start(settings, database.clone(), Some(shared), lines.log(), &Handle::current())
            .unwrap();
    until("the journals to be applied", || files(folder, ".journal") == 0).await;
    recorder.close().await;
    (database, state, lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_kill_is_applied_once_by_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = BTreeSet::new();
    for round in 0..12 {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "death::child", "--ignored", "--nocapture"]);
        let mut child = child_of(&mut program, folder.path(), &round.to_string());
        let begun = || files(folder.path(), ".000001.journal") > round;
        let reading = {
            let out = child.stdout.take().unwrap();
            std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).collect::<Vec<_>>())
        };
        until("the first batch", begun).await;
        tokio::time::sleep(Duration::from_micros(rand::rng().random_range(0..80_000))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        kept.extend(acknowledged(&reading.join().unwrap()));
    }
    let (database, state, lines) = take_over(folder.path()).await;
    let rows = database.rows.lock().unwrap();
    for id in &kept {
        assert_eq!(rows.get(id), Some(&1), "{id} of {} was acknowledged", kept.len());
    }
    assert!(kept.len() > 100, "{}", kept.len());
    assert!(rows.values().all(|count| *count == 1));
    assert_eq!(usize::try_from(state.spent("budget")).unwrap(), rows.len());
    assert_eq!(lines.with("damaged"), Vec::<String>::new());
    assert_eq!(files(folder.path(), ""), 0);
}

/// Files may not grow beyond 16 KiB: as on a full disk, a write fails in its midst.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_what_it_cannot_keep_and_loses_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new("bash");
    program
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 16; exec \"$0\" --exact death::child --ignored --nocapture");
    program.arg(std::env::current_exe().unwrap());
    let mut child = child_of(&mut program, folder.path(), "full");
    let lines = lines(&mut child);
    child.wait().unwrap();
    let refused: Vec<_> = lines.iter().filter(|line| line.starts_with("refused")).collect();
    assert!(!refused.is_empty() && refused.iter().all(|line| line.contains("free space")), "{refused:?}");
    let kept: BTreeSet<_> = acknowledged(&lines).collect();
    let (database, _, told) = take_over(folder.path()).await;
    let rows = database.rows.lock().unwrap();
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), kept);
    assert_eq!(told.with("damaged"), Vec::<String>::new());
}
