//! One batch at a time, looked at from inside: what is kept, what is undone, and who is told when.

use super::*;
use crate::sqlite::open::{Options, connect, open};

struct Place {
    _folder: tempfile::TempDir,
    thread: Thread,
    conn: Connection,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(&folder.path().join("store.sqlite3"), &Options::default()).unwrap();
    let path = opened.path.clone();
    let thread = Thread {
        conn: None,
        reopen: Box::new(move || connect(&path, Duration::from_secs(1))),
        busy: Duration::from_secs(1),
        counters: Arc::default(),
        numbers: Numbers::new(),
        at_commit: |_| {},
    };
    Place { _folder: folder, thread, conn: opened.conn }
}

fn event(batch: &mut Batch<'_>, kind: &str) -> Step<()> {
    batch.conn().execute(
        "INSERT INTO events (at, kind, detail, batch) VALUES (0, ?1, '{}', ?2)",
        params![kind, batch.number()],
    )?;
    batch.wrote_event(batch.conn().last_insert_rowid());
    Ok(())
}

fn kinds(conn: &Connection) -> Vec<String> {
    let mut query = conn.prepare("SELECT kind FROM events ORDER BY seq").unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

type Told = oneshot::Receiver<Result<(), Error>>;

/// A command as `Writer::write` makes it, and the end on which its answer arrives.
fn command(work: impl FnMut(&mut Batch<'_>) -> Step<()> + Send + 'static) -> (Box<dyn Command>, Told) {
    let (tell, told) = oneshot::channel();
    (Box::new(Call { work, result: None, tell }), told)
}

/// One that counts its runs and writes an event at each.
fn counted(kind: &'static str) -> (Box<dyn Command>, Told, Arc<AtomicU64>) {
    let runs = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&runs);
    let (command, told) = command(move |batch| {
        counter.fetch_add(1, Ordering::Relaxed);
        event(batch, kind)
    });
    (command, told, runs)
}

fn run(place: &mut Place, commands: Commands) -> Filled {
    let (queue, mut waiting) = mpsc::channel(QUEUE);
    let mut commands = commands.into_iter();
    let first = commands.next().unwrap();
    for command in commands {
        assert!(queue.try_send(command).is_ok());
    }
    place.conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    fill(&place.conn, 7, first, &mut waiting)
}

#[test]
fn a_refused_command_leaves_nothing_and_does_not_disturb_its_neighbours() {
    let mut place = place();
    let (first, mut told_first, runs) = counted("first");
    let (refused, mut told_refused) = command(|batch| {
        event(batch, "refused")?;
        Err(Failure::Refused(Error::Closed))
    });
    let (last, mut told_last) = command(|batch| event(batch, "last"));
    let Filled::Stands { commands, last_event } = run(&mut place, vec![first, last, refused]) else {
        panic!("the transaction was lost");
    };
    assert_eq!(runs.load(Ordering::Relaxed), 2, "the batch did not begin anew");
    assert!(told_first.try_recv().is_err(), "an answer was sent before COMMIT");
    let Place { mut thread, conn, .. } = place;
    thread.commit(conn, 7, last_event, commands);
    assert_eq!(told_first.try_recv().unwrap(), Ok(()));
    assert_eq!(told_refused.try_recv().unwrap(), Err(Error::Closed));
    assert_eq!(told_last.try_recv().unwrap(), Ok(()));
    assert_eq!(kinds(thread.conn.as_ref().unwrap()), ["first", "last"]);
}

#[test]
fn a_refusal_before_anything_was_written_disturbs_nobody() {
    let mut place = place();
    let (first, mut told_first, runs) = counted("first");
    let (refused, mut told_refused) = command(|_| Err(Failure::Refused(Error::Closed)));
    let Filled::Stands { commands, last_event } = run(&mut place, vec![first, refused]) else {
        panic!("the transaction was lost");
    };
    assert_eq!(runs.load(Ordering::Relaxed), 1, "the batch began anew");
    let Place { mut thread, conn, .. } = place;
    thread.commit(conn, 7, last_event, commands);
    assert_eq!(told_first.try_recv().unwrap(), Ok(()));
    assert_eq!(told_refused.try_recv().unwrap(), Err(Error::Closed));
    assert_eq!(kinds(thread.conn.as_ref().unwrap()), ["first"]);
}

#[test]
fn a_transaction_that_sqlite_rolls_back_fails_every_command_in_it() {
    let mut place = place();
    let full = Error::Full { detail: "no room".into() };
    let (good, mut told_good) = command(|batch| event(batch, "good"));
    let why = full.clone();
    let (bad, mut told_bad) = command(move |batch| {
        // What SQLite does by itself when the disk is full.
        batch.conn().execute_batch("ROLLBACK")?;
        Err(why.clone().into())
    });
    let Filled::Lost { commands, error } = run(&mut place, vec![good, bad]) else {
        panic!("the lost transaction was not noticed");
    };
    tell(commands, Some(&error));
    assert_eq!(told_good.try_recv().unwrap(), Err(full.clone()));
    assert_eq!(told_bad.try_recv().unwrap(), Err(full));
    assert!(kinds(&place.conn).is_empty());
}

#[test]
fn a_commit_that_took_place_though_it_failed_is_found_by_its_number() {
    let mut place = place();
    place.conn.execute_batch("BEGIN").unwrap();
    let mut batch = Batch { conn: &place.conn, number: 7, last_event: None };
    event(&mut batch, "mine").unwrap();
    let last = batch.last_event;
    place.conn.execute_batch("COMMIT").unwrap();
    assert_eq!(place.thread.settle(7, last), Ok(true));
    assert_eq!(kinds(&place.conn), ["mine"]);
}

#[test]
fn a_commit_that_did_not_take_place_is_written_over() {
    let mut place = place();
    // Another process has committed under the same place in the log.
    place
        .conn
        .execute("INSERT INTO events (at, kind, detail, batch) VALUES (0, 'other', '{}', 8)", [])
        .unwrap();
    let seq = place.conn.last_insert_rowid();
    assert_eq!(place.thread.settle(7, Some(seq)), Ok(false));
    assert_eq!(kinds(&place.conn), ["other", "commit-failed"]);
}
