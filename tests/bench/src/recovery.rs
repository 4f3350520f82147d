//! B9: a daemon with a thousand running jobs is killed; how long the next one takes from its start until the queue is
//! consistent again: nothing is owned by the dead, no process of theirs is left, and every job is queued or runs anew.
//!
//! The baseline is the least that has to happen: a thousand bare processes are killed and waited for.

use std::process::Stdio;
use std::time::{Duration, Instant};

use stagewright_capability::survivors;

use crate::Setting;
use crate::daemon::{Daemon, PATIENCE, Site};
use crate::filled::Kind;
use crate::measure::{Failed, Row, Value, median};

const JOBS: usize = 1_000;
const ROUNDS: usize = 2;
/// How soon it is looked again whether all of them run.
const AGAIN: Duration = Duration::from_millis(500);

pub(crate) async fn measure(setting: &Setting) -> Result<Vec<Row>, Failed> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        eprintln!("      {JOBS} jobs, and {JOBS} bare processes; round {round} of {ROUNDS}");
        ours.push(recovered(setting).await?);
        bare.push(processes_ended().await?);
    }
    Ok(vec![Row {
        bar: "B9",
        what: "from the start after `kill -9` with 1,000 running jobs to a consistent queue".to_owned(),
        value: Value::Time(median(ours)),
        bare: Some(("1,000 bare processes killed and waited for", Value::Time(median(bare)))),
        ratio: None,
        limit: Some(Value::Time(Duration::from_secs(3))),
    }])
}

async fn recovered(setting: &Setting) -> Result<Duration, Failed> {
    // Long enough that none ends by itself.
    let site = Site::new(setting, "600")?;
    site.fill().await?.add(Kind::Queued, JOBS)?;
    let first = site.serve(JOBS).await?;
    until_all_run(&site, &first).await?;
    let dead = site.runs("state = 'running'")?;
    first.kill()?;

    let next = site.serve(JOBS).await?;
    let body = next.connect().await?.good("/queue").await?;
    let took = next.begun().elapsed();

    let shown: serde_json::Value = serde_json::from_slice(&body)?;
    let counts = |state: &str| shown["counts"][state].as_u64().unwrap_or_default();
    let owned_by_the_dead = "SELECT count(*) FROM jobs WHERE state = 'running' \
                             AND instance IN (SELECT id FROM instances WHERE retired IS NOT NULL)";
    let (left, stale) = (survivors::count(&dead), site.count(owned_by_the_dead)?);
    next.kill()?;
    if counts("queued") + counts("running") != JOBS as u64 || left != 0 || stale != 0 {
        return Err(format!(
            "the queue is not consistent: {}, {stale} jobs owned by the dead, {left} processes of theirs",
            shown["counts"]
        )
        .into());
    }
    Ok(took)
}

/// Waits until the suite of every job runs.
async fn until_all_run(site: &Site, daemon: &Daemon) -> Result<(), Failed> {
    loop {
        let running = site.runs("state = 'running'")?;
        if running.len() == JOBS && survivors::count(&running) >= JOBS {
            eprintln!("      all run after {:.1?}", daemon.begun().elapsed());
            return Ok(());
        }
        if daemon.begun().elapsed() > PATIENCE {
            return Err(format!("not all jobs run after {PATIENCE:?}").into());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn processes_ended() -> Result<Duration, Failed> {
    let mut processes = Vec::with_capacity(JOBS);
    for _ in 0..JOBS {
        let mut command = tokio::process::Command::new("sleep");
        command
            .arg("600")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        processes.push(command.spawn()?);
    }
    let begun = Instant::now();
    for process in &mut processes {
        process.start_kill()?;
    }
    for process in &mut processes {
        process.wait().await?;
    }
    Ok(begun.elapsed())
}
