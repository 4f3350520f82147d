//! The one writer of a store: a thread that takes what is waiting and commits it together (group commit).
//!
//! A durable commit costs one wait for the disk, whatever is in it. So commands that arrive while a commit
//! is under way share the next one. One that is refused leaves nothing behind and does not disturb its
//! neighbours: nearly every refusal comes before its command has written anything, and then there is nothing
//! to undo. One that had written makes the whole batch begin anew, now with a savepoint for each command, which
//! undoes exactly the refused one. So a command may be run twice, and only its last run counts.
//!
//! Rules that hold here and nowhere else:
//!
//! - **An answer is sent only after COMMIT**, a refusal too: it may rest on what a neighbour wrote.
//! - After any error the transaction is looked at. SQLite rolls all of it back when, for instance, the disk
//!   is full; then every command of the batch has failed, whatever it was told before.
//! - **A COMMIT that fails may have taken place.** The file is opened anew and read: the events of a batch
//!   carry its number, so their presence tells. If they are missing, a marker is written at once over what
//!   the failed commit may have left in the log, so that a later crash cannot bring it back.
//! - Another process may write the same file, so a transaction begins IMMEDIATE and waits its turn.
//!
//! It refuses to retry a command: whoever asked knows whether it still makes sense.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::failure::{Failure, Step, translate};
use super::open::Commit;
use crate::error::Error;
use crate::store::Metrics;

/// How many commands one commit takes at most. Bounds how long the first of them waits for the last.
const BATCH: usize = 256;
/// How many commands may wait. Whoever comes after that waits for room, which bounds the memory.
const QUEUE: usize = 1_024;

/// One transaction, as the commands in it see it.
pub(super) struct Batch<'c> {
    conn: &'c Connection,
    number: i64,
    last_event: Option<i64>,
}

impl<'c> Batch<'c> {
    /// The connection, inside the transaction and inside the command's savepoint.
    pub(super) fn conn(&self) -> &'c Connection {
        self.conn
    }

    /// The number that the events of this commit carry.
    pub(super) fn number(&self) -> i64 {
        self.number
    }

    /// Notes that an event was written under `seq`.
    pub(super) fn wrote_event(&mut self, seq: i64) {
        self.last_event = Some(seq);
    }
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    commands: AtomicU64,
}

/// One waiting command: what it does, and who waits for it.
trait Command: Send {
    /// Does it in a batch. Run again, it forgets what it came to before.
    fn run(&mut self, batch: &mut Batch<'_>) -> Fate;

    /// Tells the caller how it ended: after COMMIT (`None`), or with why all of it is undone.
    fn answer(self: Box<Self>, failed: Option<&Error>);
}

/// What becomes of a command's writes.
enum Fate {
    Keep,
    /// With the store's own trouble, if it was no rule that refused.
    Undo(Option<Error>),
}

struct Call<W, T, R> {
    work: W,
    result: Option<Result<T, R>>,
    tell: oneshot::Sender<Result<T, R>>,
}

impl<W, T, R> Command for Call<W, T, R>
where
    W: FnMut(&mut Batch<'_>) -> Step<T, R> + Send,
    T: Send,
    R: From<Error> + Send,
{
    fn run(&mut self, batch: &mut Batch<'_>) -> Fate {
        let (fate, result) = match (self.work)(batch) {
            Ok(value) => (Fate::Keep, Ok(value)),
            Err(Failure::Refused(rule)) => (Fate::Undo(None), Err(rule)),
            Err(Failure::Store(error)) => (Fate::Undo(Some(error.clone())), Err(error.into())),
        };
        self.result = Some(result);
        fate
    }

    fn answer(self: Box<Self>, failed: Option<&Error>) {
        let told = match (failed, self.result) {
            (Some(error), _) => Err(error.clone().into()),
            (None, Some(result)) => result,
            (None, None) => Err(Error::Closed.into()),
        };
        // A caller that has gone away does not want to know.
        let _ = self.tell.send(told);
    }
}

type Commands = Vec<Box<dyn Command>>;

/// Opens the file anew, with everything set that a writing connection needs.
pub(super) type Reopen = Box<dyn Fn() -> Result<Connection, Error> + Send>;

/// The handle of the thread. When the last clone is dropped the thread finishes what waits and ends.
#[derive(Clone)]
pub(super) struct Writer {
    commands: mpsc::Sender<Box<dyn Command>>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Starts the thread. `keep` is dropped after the connection is closed.
    pub(super) fn start(
        conn: Connection,
        reopen: Reopen,
        busy: Duration,
        keep: impl Send + 'static,
        at_commit: fn(Commit),
    ) -> std::io::Result<Self> {
        let (commands, waiting) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        std::thread::Builder::new().name("store-writer".into()).spawn(move || {
            let mut thread = Thread {
                conn: Some(conn),
                reopen,
                busy,
                counters: shared,
                numbers: Numbers::new(),
                at_commit,
            };
            thread.serve(waiting);
            drop(thread);
            drop(keep);
        })?;
        Ok(Self { commands, counters })
    }

    /// Runs `work` in a transaction and answers after its commit. It may be run twice: see the module.
    ///
    /// Dropping the future does not take the command back: it may be carried out all the same.
    pub(super) async fn write<T, R>(
        &self,
        work: impl FnMut(&mut Batch<'_>) -> Step<T, R> + Send + 'static,
    ) -> Result<T, R>
    where
        T: Send + 'static,
        R: From<Error> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let call = Box::new(Call { work, result: None, tell });
        self.commands.send(call).await.map_err(|_| Error::Closed)?;
        told.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    pub(super) fn metrics(&self) -> Metrics {
        Metrics {
            commits: self.counters.commits.load(Ordering::Relaxed),
            commands: self.counters.commands.load(Ordering::Relaxed),
        }
    }
}

struct Thread {
    /// `None` after an error that leaves the connection in doubt; the next batch opens it anew.
    conn: Option<Connection>,
    reopen: Reopen,
    busy: Duration,
    counters: Arc<Counters>,
    numbers: Numbers,
    at_commit: fn(Commit),
}

/// What a batch came to before its commit.
enum Filled {
    /// The transaction stands; the answers wait for COMMIT.
    Stands { commands: Commands, last_event: Option<i64> },
    /// SQLite rolled it back; nothing of it is in the store.
    Lost { commands: Commands, error: Error },
}

impl Thread {
    fn serve(&mut self, mut waiting: mpsc::Receiver<Box<dyn Command>>) {
        while let Some(first) = waiting.blocking_recv() {
            let begun = match self.begin() {
                Ok(conn) => conn,
                Err(error) => {
                    self.refuse(first, &mut waiting, &error);
                    continue;
                }
            };
            let number = self.numbers.next();
            let filled = fill(&begun, number, first, &mut waiting);
            match filled {
                Filled::Stands { commands, last_event } => self.commit(begun, number, last_event, commands),
                Filled::Lost { commands, error } => {
                    tracing::warn!(%error, commands = commands.len(), "the store's transaction was rolled back");
                    self.conn = Some(begun);
                    tell(commands, Some(&error));
                }
            }
        }
    }

    /// A connection with an open write transaction.
    fn begin(&mut self) -> Result<Connection, Error> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => (self.reopen)()?,
        };
        let asked = Instant::now();
        match conn.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => Ok(conn),
            Err(error) => {
                let error = match translate(&error) {
                    Error::Locked { .. } => {
                        self.conn = Some(conn);
                        Error::Locked { waited: asked.elapsed() }
                    }
                    // Anything else leaves doubt about the connection; it is opened anew for the next batch.
                    other => other,
                };
                Err(error)
            }
        }
    }

    /// Answers `first`, and whatever else waits by now, with `error`: they all waited for the same thing.
    fn refuse(&self, first: Box<dyn Command>, waiting: &mut mpsc::Receiver<Box<dyn Command>>, error: &Error) {
        tracing::warn!(%error, busy_ms = self.busy.as_millis() as u64, "the store can't begin a transaction");
        let mut commands = vec![first];
        while commands.len() < BATCH
            && let Ok(next) = waiting.try_recv()
        {
            commands.push(next);
        }
        tell(commands, Some(error));
    }

    fn commit(&mut self, conn: Connection, number: i64, last_event: Option<i64>, answered: Commands) {
        let commands = answered.len() as u64;
        (self.at_commit)(Commit::Before);
        match conn.execute_batch("COMMIT") {
            Ok(()) => {
                (self.at_commit)(Commit::After);
                self.conn = Some(conn);
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                self.counters.commands.fetch_add(commands, Ordering::Relaxed);
                tell(answered, None);
            }
            Err(error) => {
                let error = translate(&error);
                let known = if conn.is_autocommit() {
                    drop(conn);
                    self.settle(number, last_event)
                } else {
                    // The transaction still stands, so it has certainly not been committed.
                    let undone = conn.execute_batch("ROLLBACK");
                    self.conn = undone.is_ok().then_some(conn);
                    Ok(false)
                };
                match known {
                    Ok(true) => tell(answered, None),
                    Ok(false) => tell(answered, Some(&error)),
                    Err(reopening) => {
                        tracing::error!(%error, %reopening, "a commit failed and its fate can't be read");
                        tell(answered, Some(&error));
                    }
                }
            }
        }
    }

    /// After a COMMIT whose answer was an error and whose transaction is gone: did it take place?
    fn settle(&mut self, number: i64, last_event: Option<i64>) -> Result<bool, Error> {
        let conn = (self.reopen)()?;
        let happened = took_place(&conn, number, last_event)?;
        tracing::warn!(happened, "a commit ended with an error; the store was opened anew and read");
        if !happened {
            overwrite(&conn, self.numbers.next())?;
        }
        self.conn = Some(conn);
        Ok(happened)
    }
}

/// Runs `first` and whatever else waits in the open transaction of `conn`.
fn fill(
    conn: &Connection,
    number: i64,
    first: Box<dyn Command>,
    waiting: &mut mpsc::Receiver<Box<dyn Command>>,
) -> Filled {
    let mut batch = Batch { conn, number, last_event: None };
    let mut commands = Commands::new();
    let mut next = Some(first);
    while let Some(mut command) = next {
        let written = conn.total_changes();
        let fate = command.run(&mut batch);
        commands.push(command);
        if let Fate::Undo(why) = fate {
            if conn.is_autocommit() {
                return lost(conn, commands, why.unwrap_or(Error::Closed));
            }
            if conn.total_changes() != written {
                return fill_anew(conn, number, commands);
            }
        }
        next = if commands.len() < BATCH { waiting.try_recv().ok() } else { None };
    }
    Filled::Stands { commands, last_event: batch.last_event }
}

/// Runs the commands of a batch again, in a new transaction and each in a savepoint.
fn fill_anew(conn: &Connection, number: i64, mut commands: Commands) -> Filled {
    let again = conn.execute_batch("ROLLBACK").and_then(|()| conn.execute_batch("BEGIN IMMEDIATE"));
    if let Err(error) = again {
        return lost(conn, commands, translate(&error));
    }
    let mut batch = Batch { conn, number, last_event: None };
    let mut failed = None;
    for command in &mut commands {
        if let Err(error) = in_savepoint(&mut batch, command.as_mut()) {
            failed = Some(error);
            break;
        }
    }
    match failed {
        Some(error) => lost(conn, commands, error),
        None => Filled::Stands { commands, last_event: batch.last_event },
    }
}

/// Runs one command so that its writes, and only they, can be undone. An error means that the transaction is lost.
fn in_savepoint(batch: &mut Batch<'_>, command: &mut dyn Command) -> Result<(), Error> {
    let (conn, before) = (batch.conn, batch.last_event);
    savepoint(conn, "SAVEPOINT command")?;
    match command.run(batch) {
        // `is_autocommit` after any error: the transaction may be gone, and the savepoint with it.
        Fate::Undo(Some(error)) if conn.is_autocommit() => Err(error),
        Fate::Undo(_) => {
            batch.last_event = before;
            savepoint(conn, "ROLLBACK TO command").and_then(|()| savepoint(conn, "RELEASE command"))
        }
        Fate::Keep => savepoint(conn, "RELEASE command"),
    }
}

/// Gives a batch up that can't be gone on with; rolls back what SQLite has not rolled back itself.
fn lost(conn: &Connection, commands: Commands, error: Error) -> Filled {
    if !conn.is_autocommit() {
        // If this fails too, the next BEGIN fails and the connection is opened anew.
        let _ = conn.execute_batch("ROLLBACK");
    }
    Filled::Lost { commands, error }
}

fn savepoint(conn: &Connection, sql: &str) -> Result<(), Error> {
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map_err(|error| translate(&error))?;
    Ok(())
}

/// Whether the events of batch `number`, the last of which was `last_event`, are in the store.
///
/// A batch without events changed nothing (every change writes one), so whether it took place is all the same.
fn took_place(conn: &Connection, number: i64, last_event: Option<i64>) -> Result<bool, Error> {
    let Some(seq) = last_event else { return Ok(true) };
    conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM events WHERE seq = ?1 AND batch = ?2)",
        params![seq, number],
        |row| row.get(0),
    )
    .map_err(|error| translate(&error))
}

/// Commits an event of no other meaning, so that the log's next frames replace those of a failed commit.
fn overwrite(conn: &Connection, number: i64) -> Result<(), Error> {
    conn.execute(
        "INSERT INTO events (at, kind, detail, batch)
         VALUES (CAST(unixepoch('subsec') * 1000 AS INTEGER), 'commit-failed', '{}', ?1)",
        params![number],
    )
    .map(drop)
    .map_err(|error| translate(&error))
}

fn tell(commands: Commands, failed: Option<&Error>) {
    for command in commands {
        command.answer(failed);
    }
}

/// Numbers for batches, never the same one twice, not even in two processes.
struct Numbers(u64);

impl Numbers {
    fn new() -> Self {
        use std::hash::{BuildHasher as _, Hasher as _};
        // Seeded by the operating system's randomness, anew in each process.
        Self(std::hash::RandomState::new().build_hasher().finish())
    }

    fn next(&mut self) -> i64 {
        self.0 = self.0.wrapping_add(1);
        self.0.cast_signed()
    }
}

#[cfg(test)]
mod tests;
