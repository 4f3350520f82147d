//! B7: how long `serve` takes from its start to its first good `/health`, and what it costs while nothing is to be done.
//!
//! The start is that of a daemon on a state folder that was used before. The idle daemon is one that has done a job, so its
//! component is loaded and its connections to the store are open.

use std::time::{Duration, Instant};

use crate::Setting;
use crate::daemon::Site;
use crate::filled::Kind;
use crate::measure::{Failed, Row, Times, Value};

const ROUNDS: usize = 20;
/// How long a daemon has to come to rest after its job.
const REST: Duration = Duration::from_secs(2);
/// How long it is looked at.
const IDLE: Duration = Duration::from_secs(20);
/// Clock ticks a second, as `/proc` counts: 100 on every Linux that this runs on.
const TICKS: f64 = 100.0;

pub(crate) async fn measure(setting: &Setting) -> Result<Vec<Row>, Failed> {
    let site = Site::new(setting, "0")?;
    site.fill().await?.add(Kind::Queued, 1)?;
    let mut daemon = site.serve(4).await?;
    daemon.hear("job-ended").await?;
    tokio::time::sleep(REST).await;
    let (ticks, begun) = (daemon.ticks()?, Instant::now());
    eprintln!("      idle for {IDLE:?}");
    tokio::time::sleep(IDLE).await;
    let ticks = daemon.ticks()? - ticks;
    let share = ticks as f64 / TICKS / begun.elapsed().as_secs_f64();
    let memory = daemon.memory("VmRSS")?;
    daemon.stop().await?;
    if site.count("SELECT count(*) FROM tasks WHERE state = 'done'")? != 1 {
        return Err("the job before the measurement did not pass".into());
    }

    eprintln!("      {ROUNDS} starts");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..=ROUNDS {
        let daemon = site.serve(4).await?;
        daemon.connect().await?.good("/health").await?;
        ours.push(daemon.begun().elapsed());
        daemon.stop().await?;
        let begun = Instant::now();
        let told = site.command().arg("--version").output()?;
        if !told.status.success() {
            return Err(format!("--version: {}", told.status).into());
        }
        bare.push(begun.elapsed());
    }
    let times = Times::of_rounds(ours, bare);
    let row = |what: &str, value, limit| Row {
        bar: "B7",
        what: what.to_owned(),
        value,
        bare: None,
        ratio: None,
        limit: Some(limit),
    };
    Ok(vec![
        Row {
            bare: Some(("the same program saying its version", Value::Time(times.bare))),
            ..row(
                "`serve` from its start to the first good `/health`",
                Value::Time(times.ours),
                Value::Time(Duration::from_millis(60)),
            )
        },
        row("memory of a daemon at rest, after a job", Value::Memory(memory), Value::Memory(45 << 20)),
        row("processor time of a daemon at rest, of one core", Value::Share(share), Value::Share(0.002)),
    ])
}
