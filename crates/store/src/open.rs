//! Opens what the settings name.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use etcetera::{BaseStrategy, choose_base_strategy};
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::Stores;
use gateway_engine::records::{Batch, Recorder, UsageReader};
use gateway_engine::state::{StateStore, StoreError, StoreErrorKind};
use gateway_model::config::Settings;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::journal::{BatchSink, JournalSettings, JournaledRecorder, Numbered};
use crate::postgres::PostgresRecords;
use crate::redis::{RedisSettings, RedisStore};
use crate::sqlite::{Options, Role, SqliteStore};

/// How long a start waits for a database server.
const START: Duration = Duration::from_secs(1);

/// Takes a line for the operator.
pub type Report = Arc<dyn Fn(String) + Send + Sync>;

/// Opens the stores of `settings`; `None` where they name none. What they run in the background runs on `runtime`.
///
/// A SQLite file has to open. A Redis or PostgreSQL server that cannot be reached is no error: it may come later.
///
/// # Errors
/// A URL that names nothing; a file or a database that cannot be worked on, and what to do about it.
pub async fn open(
    settings: &Settings,
    runtime: &Handle,
    report: Report,
) -> Result<Option<Stores>, StoreError> {
    let state = settings.state.as_deref().filter(|state| *state != "memory:");
    let database = settings.database.as_deref();
    if state.is_none() && database.is_none() {
        return Ok(None);
    }
    let state = match state {
        None => State::None,
        Some(url) if is_sqlite(url) => {
            let both = database.is_some_and(|database| is_sqlite(database) && is_same_file(url, database));
            let role = if both { Role::Both } else { Role::State };
            State::Sqlite(Arc::new(SqliteStore::open_with(url, role, options(settings)).await?), both)
        }
        Some(url) => State::Remote(Arc::new(RedisStore::new(url, redis_settings(&report))?)),
    };
    Opening { settings, runtime, report }.with(state, database).await.map(Some)
}

/// As everywhere, Node.js's further authorities are trusted, and a file of them that cannot be read is passed over.
fn redis_settings(report: &Report) -> RedisSettings {
    let extra_roots = std::env::var_os("NODE_EXTRA_CA_CERTS").and_then(|path| std::fs::read(path).ok());
    RedisSettings { extra_roots, ..RedisSettings::new(report.clone()) }
}

enum State {
    None,
    /// True: it keeps the records as well.
    Sqlite(Arc<SqliteStore>, bool),
    Remote(Arc<dyn StateStore>),
}

/// A database of records, as a journal or the engine needs it.
struct Database {
    sink: Arc<dyn BatchSink>,
    usage: Option<Arc<dyn UsageReader>>,
    /// `None`: it may be away, so that a journal has to be before it.
    direct: Option<Arc<dyn Recorder>>,
}

struct Opening<'a> {
    settings: &'a Settings,
    runtime: &'a Handle,
    report: Report,
}

impl Opening<'_> {
    async fn with(&self, state: State, database: Option<&str>) -> Result<Stores, StoreError> {
        match (state, database) {
            (State::Sqlite(store, true), _) => Ok(self.of_one_file(store)),
            (State::Sqlite(store, false), None) => {
                let mut stores = self.of_one_file(store);
                stores.usage = None;
                Ok(stores)
            }
            (State::Sqlite(store, false), Some(url)) => self.of_parts(Some(store), url).await,
            (State::Remote(store), None) => {
                Ok(Stores { state: Some(store), ..self.stores(uuid::Uuid::now_v7().to_string()) })
            }
            (State::Remote(store), Some(url)) => self.of_parts(Some(store), url).await,
            (State::None, Some(url)) => self.of_parts(None, url).await,
            (State::None, None) => Ok(self.stores(String::new())),
        }
    }

    fn stores(&self, node: String) -> Stores {
        Stores { state: None, recorder: None, usage: None, node: node.into(), report: self.report.clone() }
    }

    fn of_one_file(&self, store: Arc<SqliteStore>) -> Stores {
        Stores {
            state: Some(store.clone()),
            recorder: Some(store.clone()),
            usage: Some(store),
            ..self.stores(uuid::Uuid::now_v7().to_string())
        }
    }

    /// Records in a database that is not the state's.
    async fn of_parts(&self, state: Option<Arc<dyn StateStore>>, url: &str) -> Result<Stores, StoreError> {
        let Database { sink, usage, direct } = self.database(url).await?;
        if let (None, Some(recorder)) = (&state, direct) {
            let node = uuid::Uuid::now_v7().to_string();
            return Ok(Stores { recorder: Some(recorder), usage, ..self.stores(node) });
        }
        let journal = JournalSettings::new(self.journal_folder()?);
        let log = self.report.clone();
        let recorder = JournaledRecorder::start(journal, sink, state.clone(), log, self.runtime)?;
        let node = recorder.node().to_owned();
        Ok(Stores { state, recorder: Some(Arc::new(recorder)), usage, ..self.stores(node) })
    }

    async fn database(&self, url: &str) -> Result<Database, StoreError> {
        if !is_sqlite(url) {
            let records = Arc::new(PostgresRecords::new(url)?);
            records.keep_pruning(self.settings.retention, self.runtime);
            // One that will never do is an error now; one that is away may come later.
            match timeout(START, records.prepare()).await {
                Ok(Err(error)) if error.kind == StoreErrorKind::Failed => return Err(error),
                Ok(Ok(())) => {}
                Ok(Err(error)) => (self.report)(format!("{error}; records wait for it in the journal")),
                Err(_) => (self.report)(format!(
                    "{}: no answer yet; records wait for it in the journal",
                    BatchSink::name(&*records)
                )),
            }
            return Ok(Database { sink: records.clone(), usage: Some(records), direct: None });
        }
        let store = Arc::new(SqliteStore::open_with(url, Role::Records, options(self.settings)).await?);
        Ok(Database { sink: store.clone(), usage: Some(store.clone()), direct: Some(store) })
    }

    /// As the settings say; else beside a SQLite file, else in the user's state folder.
    fn journal_folder(&self) -> Result<PathBuf, StoreError> {
        if let Some(folder) = &self.settings.journal {
            return Ok(folder.into());
        }
        let urls = [&self.settings.database, &self.settings.state].into_iter().flatten();
        let beside = urls.filter_map(|url| sqlite_path(url)).find_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some(path.with_file_name(format!("{name}.journal")))
        });
        let of_user = || {
            let user = choose_base_strategy().ok()?;
            Some(user.state_dir().unwrap_or_else(|| user.data_dir()).join("ai-gateway/journal"))
        };
        beside.or_else(of_user).ok_or_else(|| {
            StoreError::failed("journal", "this user has no state folder; name a folder in settings.journal")
        })
    }
}

fn options(settings: &Settings) -> Options {
    Options { retention: settings.retention, ..Options::default() }
}

fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}

fn sqlite_path(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    std::path::absolute(Path::new(rest.strip_prefix("//").unwrap_or(rest))).ok()
}

fn is_same_file(left: &str, right: &str) -> bool {
    sqlite_path(left).is_some_and(|left| sqlite_path(right).is_some_and(|right| left == right))
}

/// Behind a journal: rows that are there already stay as they are, so that no mark is needed.
impl BatchSink for SqliteStore {
    fn apply<'a>(
        &'a self,
        journal: &'a str,
        batches: &'a [Numbered],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let rows = batches.iter().flat_map(|numbered| numbered.batch.rows.iter().cloned()).collect();
            self.keep(journal, &Arc::new(Batch { rows, charges: Vec::new() })).await.map(drop)
        }
        .boxed()
    }

    fn is_away(&self) -> bool {
        StateStore::is_away(self)
    }

    fn name(&self) -> &str {
        StateStore::name(self)
    }
}
