//! Opening a store's file: every check first, then the lock, then the migration.
//!
//! Whatever is wrong is said before anything on the disk is changed. Beside `store.sqlite3` lies
//! `store.sqlite3.lock`: each open store holds a shared kernel lock on it, and whoever changes the schema an
//! exclusive one. So a newer program never migrates under a live older one (D1), and of two programs that
//! start on a new state folder at once, one makes the schema and the other waits for it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::failure::translate;
use super::filesystem;
use crate::error::Error;

/// `PRAGMA application_id` of our files, "SWG1".
const APPLICATION: u32 = 0x5357_4731;
/// The schema's history, oldest first. Its length is the version that this program knows.
const MIGRATIONS: &[M<'static>] = &[
    M::up(include_str!("migrations/0001-initial.sql")),
    M::up(include_str!("migrations/0002-effects-of-jobs.sql")),
    M::up(include_str!("migrations/0003-watching.sql")),
    M::up(include_str!("migrations/0004-states-compared.sql")).foreign_key_check(),
    M::up(include_str!("migrations/0005-model-calls.sql")),
];
/// How often a waiting opener looks whether the other one has finished the schema.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How a store is opened. The defaults are right for every ordinary use.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a request waits for another process that writes the same file.
    pub busy: Duration,
    /// How long opening waits for another process that makes or migrates the schema.
    pub migration_wait: Duration,
    /// How many reading connections there are at most.
    pub readers: usize,
    /// Called around every COMMIT, on the writing thread: for tests that end the process right there (R1).
    pub at_commit: fn(Commit),
}

/// The two sides of a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Commit {
    /// Everything is written; nothing of it is durable.
    Before,
    /// It is durable; nobody has been told.
    After,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy: Duration::from_secs(10),
            migration_wait: Duration::from_secs(3),
            readers: 4,
            at_commit: |_| {},
        }
    }
}

/// Why a store can't be opened. In each case nothing on the disk was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder can't be looked at or made.
    #[error("the store {path} can't be opened: {source}")]
    Inaccessible {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder lies on a file system that several hosts share.
    #[error(
        "the store {path} lies on a network file system ({fs_type}), where its locks do not hold; use a local folder with --state-dir <folder>"
    )]
    NetworkFileSystem {
        /// The store's file.
        path: PathBuf,
        /// The file system's type, such as `nfs4`.
        fs_type: String,
    },
    /// The file can't be written.
    #[error(
        "the store {path} is read-only; make the file and its folder writable for this user, or use another with --state-dir <folder>"
    )]
    ReadOnly {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{path} is not a stagewright store ({found}); move it away or use another folder with --state-dir <folder>"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// The file is a store that does not hold together.
    #[error(
        "the store {path} is damaged: {detail}; restore it from a backup, or move it away to begin with an empty one"
    )]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A newer program has changed the schema.
    #[error(
        "the store {path} has schema version {found}, and this program knows versions up to {known}; use the newer stagewright that wrote it"
    )]
    NewerSchema {
        /// The store's file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The schema is older than this program, and another program uses the store.
    #[error(
        "the store {path} needs a migration from schema version {found} to {known}, and another stagewright is using it; end that one first"
    )]
    InUse {
        /// The store's file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The version that this program needs.
        known: u32,
    },
    /// The store's engine failed.
    #[error("the store {path} can't be opened: {source}")]
    Store {
        /// The store's file.
        path: PathBuf,
        /// What it said.
        source: Error,
    },
}

/// The newest schema version that this program knows.
pub(super) const fn known_version() -> u32 {
    MIGRATIONS.len() as u32
}

/// A writing connection to an up-to-date store, and the lock that keeps others from migrating it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) conn: Connection,
    pub(super) lock: File,
    pub(super) path: PathBuf,
}

/// Checks the file at `path` and opens it, making or migrating it if need be.
pub(super) fn open(path: &Path, options: &Options) -> Result<Opened, OpenError> {
    let path = std::path::absolute(path).map_err(|source| inaccessible(path, source))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    if let Some(fs_type) = filesystem::network_type(folder).map_err(|source| inaccessible(&path, source))? {
        return Err(OpenError::NetworkFileSystem { path, fs_type });
    }
    let mut version = look(&path)?;
    let lock = open_lock(&path)?;
    let began = Instant::now();
    loop {
        let taken = if version == known_version() { lock.try_lock_shared() } else { lock.try_lock() };
        match taken {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(inaccessible(&path, source)),
            Err(TryLockError::WouldBlock) if began.elapsed() < options.migration_wait => {
                std::thread::sleep(LOOK_AGAIN);
                version = look(&path)?;
                continue;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path, found: version, known: known_version() });
            }
        }
        // Under the lock nobody else changes the schema; what was seen before it may be out of date.
        version = look(&path)?;
        let conn = prepare(&path, options.busy, version)?;
        // The lock stays, so that nobody migrates while we live; others may now use the store beside us.
        lock.lock_shared().map_err(|source| inaccessible(&path, source))?;
        return Ok(Opened { conn, lock, path });
    }
}

fn inaccessible(path: &Path, source: io::Error) -> OpenError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => OpenError::ReadOnly { path },
        _ => OpenError::Inaccessible { path, source },
    }
}

/// Looks at the file without changing it: its schema version, 0 if there is none yet.
fn look(path: &Path) -> Result<u32, OpenError> {
    let facts = match fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(inaccessible(path, source)),
    };
    if !facts.is_file() {
        return Err(OpenError::Foreign { path: path.to_owned(), found: "not a regular file".into() });
    }
    // The superuser may write it all the same; the missing permission is then still somebody's wish.
    if facts.permissions().mode() & 0o222 == 0 {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    let mut file =
        OpenOptions::new().read(true).write(true).open(path).map_err(|source| inaccessible(path, source))?;
    let mut header = Vec::with_capacity(100);
    file.by_ref().take(100).read_to_end(&mut header).map_err(|source| inaccessible(path, source))?;
    if header.is_empty() {
        return Ok(0);
    }
    let Some(header) = Header::read(&header) else {
        let found = "no SQLite file".to_owned();
        return Err(OpenError::Foreign { path: path.to_owned(), found });
    };
    if has_log(path) {
        return through_log(path)?.check(path, None);
    }
    // Asked for after the header: another process that closes the store makes the file longer, not shorter.
    let size = file.metadata().map_err(|source| inaccessible(path, source))?.len();
    header.check(path, Some(size))
}

/// What the first 100 bytes of an SQLite file say (<https://www.sqlite.org/fileformat2.html#the_database_header>).
#[derive(Debug, PartialEq, Eq)]
struct Header {
    page_bytes: u64,
    pages: u64,
    version: u32,
    application: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < 100 || !bytes.starts_with(b"SQLite format 3\0") {
            return None;
        }
        let long =
            |at: usize| bytes.get(at..at + 4).map_or(0, |b| b.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
        let page_bytes = match u64::from(bytes[16]) << 8 | u64::from(bytes[17]) {
            1 => 65_536,
            n => n,
        };
        Some(Self { page_bytes, pages: long(28).into(), version: long(60), application: long(68) })
    }

    /// The schema version, if the file is ours, not newer than this program, and as long as it says.
    fn check(&self, path: &Path, size: Option<u64>) -> Result<u32, OpenError> {
        let path = path.to_owned();
        if self.application == 0 && self.version == 0 && self.pages <= 1 {
            // An empty database: somebody ended while making it.
            return Ok(0);
        }
        if self.application != APPLICATION {
            let found = format!("an SQLite file of another program, application id {:#x}", self.application);
            return Err(OpenError::Foreign { path, found });
        }
        if self.version > known_version() {
            return Err(OpenError::NewerSchema { path, found: self.version, known: known_version() });
        }
        if let Some(size) = size
            && size < self.pages * self.page_bytes
        {
            let detail = format!("it has {size} bytes and should have {}", self.pages * self.page_bytes);
            return Err(OpenError::Damaged { path, detail });
        }
        Ok(self.version)
    }
}

/// Whether there is a write-ahead log with something in it: then the file's own header may be out of date.
fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|facts| facts.len() > 0)
}

/// The header's facts as SQLite sees them through the log.
fn through_log(path: &Path) -> Result<Header, OpenError> {
    // Opened for writing so that a log that a crash left behind can be read; nothing is written.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = || -> rusqlite::Result<Header> {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(Duration::from_secs(2))?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok(Header {
            page_bytes: pragma("page_size")?.unsigned_abs(),
            pages: pragma("page_count")?.unsigned_abs(),
            version: pragma("user_version")? as u32,
            application: pragma("application_id")? as u32,
        })
    };
    read().map_err(|error| failed(path, translate(&error)))
}

fn failed(path: &Path, error: Error) -> OpenError {
    let path = path.to_owned();
    match error {
        Error::Damaged { detail } => OpenError::Damaged { path, detail },
        Error::ReadOnly { .. } => OpenError::ReadOnly { path },
        source => OpenError::Store { path, source },
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn open_lock(path: &Path) -> Result<File, OpenError> {
    // std opens every file close-on-exec, so no child keeps the lock alive.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(beside(path, ".lock"))
        .map_err(|source| inaccessible(path, source))
}

/// Opens the writing connection and brings the schema up to date. The caller holds the exclusive lock if
/// `version` is not the known one.
fn prepare(path: &Path, busy: Duration, version: u32) -> Result<Connection, OpenError> {
    let mut conn = connect(path, busy).map_err(|error| failed(path, error))?;
    if version != known_version() {
        // A table that others refer to can be made anew only while nobody looks; the migration itself looks at its end.
        let references = |conn: &Connection, looked_at| {
            let set = conn.pragma_update(None, "foreign_keys", looked_at);
            set.map_err(|error| failed(path, translate(&error)))
        };
        references(&conn, false)?;
        Migrations::from_slice(MIGRATIONS).to_latest(&mut conn).map_err(|error| match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => failed(path, translate(&err)),
            other => failed(path, Error::Rejected { detail: other.to_string() }),
        })?;
        references(&conn, true)?;
    }
    touch_tables(&conn).map_err(|error| failed(path, translate(&error)))?;
    Ok(conn)
}

/// Reads the first page of every table: damage that the header does not show is better found now.
fn touch_tables(conn: &Connection) -> rusqlite::Result<()> {
    for table in [
        "instances",
        "repos",
        "tasks",
        "verdicts",
        "jobs",
        "runs",
        "artifacts",
        "leases",
        "effects",
        "events",
    ] {
        conn.query_row(&format!("SELECT EXISTS (SELECT 1 FROM {table})"), [], |_| Ok(()))?;
    }
    Ok(())
}

/// A writing connection with everything set that it needs; makes the file if it is missing.
pub(super) fn connect(path: &Path, busy: Duration) -> Result<Connection, Error> {
    if !path.exists() {
        // Made here and not by SQLite, so that nobody else can read it.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(match error.kind() {
                io::ErrorKind::StorageFull => Error::Full { detail: error.to_string() },
                _ => Error::ReadOnly { detail: error.to_string() },
            });
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(busy)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        // FULL: the log is on the disk before COMMIT answers; an effect's intent survives power loss (D1).
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        // A file that somebody prepared can't make us call functions from its schema.
        conn.pragma_update(None, "trusted_schema", false)?;
        // What a savepoint keeps of the pages stays in memory. In a file it is three of four writes of a full batch
        // (measured); nothing durable depends on it.
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        // KiB, by the minus sign. The default of 2 MB does not hold the pages that 64 tasks at once touch.
        conn.pragma_update(None, "cache_size", -16_384)?;
        // Pages, 16 MiB of them, before the log is written back: what is written over in the meantime is written back once.
        conn.pragma_update(None, "wal_autocheckpoint", 4_000)?;
        conn.set_prepared_statement_cache_capacity(128);
        Ok(conn)
    };
    open().map_err(|error| translate(&error))
}
