//! Reading connections: a small pool, used on blocking threads, unable to write.
//!
//! A read sees one state of the store: it runs in a transaction of its own, which ends before the answer
//! leaves. So no reader keeps the log from being truncated for longer than one query.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::failure::{Failure, Step, translate};
use crate::error::Error;

/// The pool. Cloning gives another handle of the same one.
#[derive(Clone)]
pub(super) struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    busy: Duration,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    /// A pool of at most `size` connections, opened as they are needed.
    pub(super) fn new(path: PathBuf, size: usize, busy: Duration) -> Self {
        let permits = Semaphore::new(size.max(1));
        Self { shared: Arc::new(Shared { path, busy, idle: Mutex::new(Vec::new()), permits }) }
    }

    /// Runs `query` on one state of the store.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Step<T> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.shared.permits.acquire().await.map_err(|_| Error::Closed)?;
        let shared = Arc::clone(&self.shared);
        let result = tokio::task::spawn_blocking(move || shared.run(query)).await;
        result.unwrap_or_else(|panicked| Err(Error::Rejected { detail: panicked.to_string() }))
    }
}

impl Shared {
    fn run<T>(&self, query: impl FnOnce(&Connection) -> Step<T>) -> Result<T, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => connect(&self.path, self.busy)?,
        };
        let answer = in_transaction(&conn, query);
        // A connection that has seen an error may hold more of it; the next read opens another.
        if answer.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
        answer
    }
}

fn in_transaction<T>(conn: &Connection, query: impl FnOnce(&Connection) -> Step<T>) -> Result<T, Error> {
    let transaction = conn.unchecked_transaction().map_err(|error| translate(&error))?;
    match query(&transaction) {
        Ok(value) => Ok(value),
        Err(Failure::Refused(error) | Failure::Store(error)) => Err(error),
    }
}

fn connect(path: &Path, busy: Duration) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(busy)?;
        conn.pragma_update(None, "query_only", true)?;
        conn.set_prepared_statement_cache_capacity(64);
        Ok(conn)
    };
    open().map_err(|error| translate(&error))
}
