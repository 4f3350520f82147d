//! B5: a thousand runs at once, each of which waits for `sleep 5`, against a thousand bare `sleep 5` of tokio.
//!
//! Measured twice. *Runs alone*: component instances that wait for a process of theirs, each with its shepherd, its
//! confinement, its logs and the proof of its end. *End to end*: the real daemon, from its start to the last task that is
//! done, so with its repository's copy looked at, a clone by git and a report for each.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stagewright_capability::process::{Grant, Process, Program, Shepherd};
use stagewright_capability::{Cancel, Place, harden};
use stagewright_engine::identity::RunId;
use stagewright_sandbox::Capabilities;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Setting;
use crate::component::Loaded;
use crate::daemon::Site;
use crate::filled::Kind;
use crate::measure::{Failed, Row, Value, median};

const RUNS: usize = 1_000;
const ROUNDS: usize = 3;

pub(crate) async fn measure(setting: &Setting) -> Result<Vec<Row>, Failed> {
    // As the daemon does at its start: so many processes need more open files than is usual.
    harden::this_process()?;
    let (mut alone, mut bare) = (Vec::new(), Vec::new());
    let component = Arc::new(Loaded::with_room(&setting.components, "waits", u32::try_from(RUNS)?)?);
    for round in 1..=ROUNDS {
        eprintln!("      {RUNS} runs alone and {RUNS} bare processes, round {round} of {ROUNDS}");
        alone.push(runs_alone(setting, &component).await?);
        bare.push(processes().await?);
    }
    let bare = median(bare);
    eprintln!("      {RUNS} tasks by the daemon");
    let (end_to_end, memory) = by_the_daemon(setting).await?;
    let limit = Some(Value::Time(Duration::from_millis(6_500)));
    let row = |what: &str, value| Row {
        bar: "B5",
        what: what.to_owned(),
        value,
        bare: Some(("1,000 bare `sleep 5` of tokio", Value::Time(bare))),
        ratio: None,
        limit,
    };
    Ok(vec![
        row("1,000 runs at once, each waiting for `sleep 5`: the runs alone", Value::Time(median(alone))),
        row("the same end to end, by the daemon: clones and reports, too", Value::Time(end_to_end)),
        Row {
            bare: None,
            limit: Some(Value::Memory(350 << 20)),
            ..row("the most memory that the daemon had at it", Value::Memory(memory))
        },
    ])
}

async fn runs_alone(setting: &Setting, component: &Arc<Loaded>) -> Result<Duration, Failed> {
    let folder = setting.folder_on_disk()?;
    let shepherd = Shepherd::new(setting.programs.join("stagewright-shepherd"));
    let sleep = which("sleep")?;
    let mut places = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        places.push(place(folder.path())?);
    }
    let begun = Instant::now();
    let mut runs = JoinSet::new();
    for place in places.clone() {
        let (component, shepherd, program) =
            (Arc::clone(component), shepherd.clone(), Program::new(sleep.clone()));
        runs.spawn(async move {
            let grant = Grant { programs: [("sleep".to_owned(), program)].into(), ..Grant::default() };
            let cancel = Cancel::new();
            let process = Process::new(grant, place, shepherd, cancel.clone());
            let capabilities = Capabilities { process: Some(process), ..Capabilities::default() };
            component.pass(capabilities, cancel).await.map(drop)
        });
    }
    let ended = all(runs).await;
    let took = begun.elapsed();
    for place in places {
        std::fs::remove_dir_all(place.tmp)?;
    }
    ended.map(|()| took)
}

async fn processes() -> Result<Duration, Failed> {
    let begun = Instant::now();
    let mut waiting = JoinSet::new();
    for _ in 0..RUNS {
        let mut command = tokio::process::Command::new("sleep");
        command.arg("5").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        waiting.spawn(async move {
            let status = command.status().await?;
            if status.success() { Ok(()) } else { Err(format!("sleep: {status}").into()) }
        });
    }
    all(waiting).await?;
    Ok(begun.elapsed())
}

async fn all(mut tasks: JoinSet<Result<(), Failed>>) -> Result<(), Failed> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// How long the daemon took, and the most memory that it had.
async fn by_the_daemon(setting: &Setting) -> Result<(Duration, u64), Failed> {
    // A first one compiles the component, if nobody has yet.
    let warm = Site::new(setting, "0")?;
    warm.fill().await?.add(Kind::Queued, 1)?;
    let mut daemon = warm.serve(1).await?;
    daemon.hear("job-ended").await?;
    daemon.stop().await?;

    let site = Site::new(setting, "5")?;
    site.fill().await?.add(Kind::Queued, RUNS)?;
    let mut daemon = site.serve(RUNS).await?;
    for number in 1..=RUNS {
        daemon.hear("job-ended").await?;
        if number == 1 {
            eprintln!("      the first was done after {:.1?}", daemon.begun().elapsed());
        }
    }
    let took = daemon.begun().elapsed();
    let memory = daemon.memory("VmHWM")?;
    daemon.stop().await?;
    let done = site.count("SELECT count(*) FROM tasks WHERE state = 'done'")?;
    if done != RUNS as u64 {
        return Err(format!("{done} of {RUNS} tasks are done").into());
    }
    Ok((took, memory))
}

fn place(root: &Path) -> Result<Place, Failed> {
    let run = RunId::new(Uuid::now_v7());
    let root = root.join(run.to_string());
    let place = Place::make(run, &root, root.join("logs"))?;
    std::fs::create_dir(&place.clone)?;
    Ok(place)
}

/// Where a program of the path lies.
fn which(name: &str) -> Result<PathBuf, Failed> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    Ok(found.ok_or_else(|| format!("there is no `{name}` on the path"))?)
}
