//! `serve`: the daemon. Starts the actors, tells how jobs end, and stops in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use stagewright_engine::job::Job;
use stagewright_engine::name::ProducerName;
use stagewright_engine::outcome::Judgement;
use stagewright_engine::transition::AfterRun;
use stagewright_store::request::job::Claimed;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::config_command::load;
use super::output::print;
use super::progress::printable;
use super::{Failure, Global};
use crate::actor::finalizer::Finalizer;
use crate::actor::pool::{Ends, Pool};
use crate::actor::preflight::Preflight;
use crate::actor::reconciler::Reconciler;
use crate::actor::{Phase, Pipelines, Stop, orphans, preflight, reaper};
use crate::clock;
use crate::exit::Exit;
use crate::host::{self, Host};
use crate::http::address::{Address, Published};
use crate::http::{self, Listener, Parts, Token};
use crate::operator::Operator;
use crate::service;
use crate::state::StateDir;
use crate::transition::{self, Completed};
use crate::worker::{self, Worked};

/// What `serve` takes: everything else is in the configuration.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewright serve\n  stagewright serve --set limits.jobs=8 --json\n\nTold to stop (SIGTERM, or Ctrl-C), it begins nothing new and waits for what runs, at most jobs.drain_s. Told again, it ends what runs at\nonce. Jobs that were ended go back into the queue."
)]
pub(crate) struct ServeArgs {}

pub(crate) async fn serve(global: &Global, ServeArgs {}: &ServeArgs) -> Result<Exit, Failure> {
    let config = load(global)?;
    let drain = Duration::from_secs(config.jobs.drain_s.0);
    let git = host::git(&config).await?;
    let pipeline = host::pipeline(&config, std::path::Path::new(""))?;
    let config = Arc::new(config);
    let pipelines = Pipelines::read(&config)?;
    // Before anything else is begun: an address that is in use ends it here, and nothing is half started.
    let listener = Listener::bind(&config.http).await?;
    let token = match &listener {
        Some(_) => Some(Token::read_or_make(&StateDir::open(&host::state_location(&config)?)?.token())?),
        None => None,
    };
    let mut host = Host::start(config, pipeline, git).await?;
    host.worker.commits_reports = host.worker.config.artifacts.commit;
    let told = Arc::new(Told { json: global.json });
    // Before anybody hears that it serves: whoever hears it may tell it to stop.
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);

    let stop = Stop::default();
    let [queued, look, finished] = [(); 3].map(|()| Arc::new(Notify::new()));
    let repositories = Arc::new(host.repositories.clone());
    let address = listener.as_ref().map(Listener::address);
    let published = address.and_then(|address| publish(&host, address));
    let preflight = Preflight::default();
    let server = listener.zip(token).map(|(listener, token)| {
        let parts = Parts {
            store: Arc::clone(&host.worker.store),
            state: host.worker.state.clone(),
            config: Arc::clone(&host.worker.config),
            pipelines: pipelines.clone(),
            repositories: Arc::clone(&repositories),
            operator: Operator::within(Arc::clone(&host.worker.store), host.worker.instance),
            preflight: preflight.clone(),
            instance: host.worker.instance,
            started: clock::now(),
            stop: stop.clone(),
            queued: Arc::clone(&queued),
            look: Arc::clone(&look),
            token,
            address: listener.address(),
        };
        tokio::spawn(http::serve(listener, parts))
    });
    told.started(&host, address);
    let reconciler = Reconciler {
        worker: host.worker.clone(),
        repositories: Arc::clone(&repositories),
        pipelines: pipelines.clone(),
        look: Arc::clone(&look),
        queued: Arc::clone(&queued),
    };
    let ends: Arc<dyn Ends> = told.clone();
    let finalizer = Finalizer {
        worker: host.worker.clone(),
        repositories: Arc::clone(&repositories),
        pipelines: pipelines.clone(),
        finished: Arc::clone(&finished),
        queued: Arc::clone(&queued),
        look: Arc::clone(&look),
        ends: Arc::clone(&ends),
    };
    let pool = Pool { worker: host.worker.clone(), repositories, pipelines, queued, look, finished, ends };
    let beside = [
        tokio::spawn(reconciler.run(stop.clone())),
        tokio::spawn(reaper::run(host.worker.clone(), stop.clone())),
        tokio::spawn(orphans::run(stop.clone())),
        tokio::spawn(preflight::run(host.worker.clone(), preflight, stop.clone())),
        tokio::spawn(listen(signals, stop.clone(), drain, Arc::clone(&told))),
    ];
    // The finalizer is the last to go: what the pool finishes while it drains is completed, too.
    let last = Stop::default();
    let finalizer = tokio::spawn(finalizer.run(last.clone()));
    let (all, also) = (stop.clone(), last.clone());
    let told_to_end = tokio::spawn(async move {
        all.reached(Phase::Ending).await;
        also.enter(Phase::Ending);
    });
    let pool = tokio::spawn(pool.run(stop.clone()));
    let ended = pool.await;
    last.enter(Phase::Draining);
    if ended.is_err() {
        stop.enter(Phase::Ending);
    }
    let ended = ended.and(finalizer.await);
    // A pool that fell over must not leave the others behind it.
    stop.enter(Phase::Ending);
    for actor in beside.into_iter().chain([told_to_end]) {
        actor.abort();
        // Its end, or its abort: nothing of it matters any more.
        let _ = actor.await;
    }
    if let Some(server) = server
        && let Err(error) = server.await
    {
        tracing::error!(%error, "the HTTP server ended abruptly");
    }
    drop(published);
    host.end().await;
    ended.map_err(|error| Failure::internal("the worker pool ended abruptly", &error))?;
    told.stopped();
    Ok(Exit::Success)
}

/// Says in the state folder where this daemon is. Without it the daemon works all the same.
fn publish(host: &Host, address: SocketAddr) -> Option<Published> {
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "others can reach this address: reading needs the token too, and nothing is encrypted");
    }
    let here = Address { http: address, instance: host.worker.instance, pid: std::process::id() };
    here.publish(&host.worker.state)
        .inspect_err(
            |error| tracing::warn!(%error, "the daemon's address could not be written into the state folder"),
        )
        .ok()
}

/// Turns signals, and time, into the phases of the end.
async fn listen(signals: [io::Result<Signal>; 2], stop: Stop, drain: Duration, told: Arc<Told>) {
    let [Ok(mut terminate), Ok(mut interrupt)] = signals else {
        tracing::error!("signals can't be listened to; end this process with SIGKILL, the next start mends");
        return;
    };
    let mut heard = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    heard().await;
    told.stopping(drain);
    stop.enter(Phase::Draining);
    tokio::select! {
        () = heard() => {}
        () = tokio::time::sleep(drain) => {}
    }
    stop.enter(Phase::Ending);
}

/// Says on standard output what happens: a line of text, or an object a line.
struct Told {
    json: bool,
}

impl Told {
    fn say(&self, text: &str, object: impl FnOnce() -> serde_json::Value) {
        match self.json {
            true => print(&format!("{}\n", object())),
            false => print(&format!("{text}\n")),
        }
    }

    fn started(&self, host: &Host, http: Option<SocketAddr>) {
        let state = host.worker.state.root().display().to_string();
        let jobs = host.worker.config.limits.jobs;
        let taken: usize = host.taken_over.iter().map(|dead| dead.jobs).sum();
        service::ready(&format!("at most {jobs} jobs at once; {taken} jobs taken over"));
        let url = http.map(|address| format!("http://{address}"));
        let place = url.as_ref().map(|url| format!("; {url}")).unwrap_or_default();
        self.say(
            &format!("serving {state}, at most {jobs} jobs at once; {taken} jobs taken over{place}"),
            || json!({"event": "serving", "state": state, "jobs": jobs, "taken_over": taken, "pid": std::process::id(), "http": url}),
        );
    }

    fn stopping(&self, drain: Duration) {
        service::stopping(drain);
        self.say(
            &format!("stopping: nothing new is begun, what runs has {} s", drain.as_secs()),
            || json!({"event": "stopping", "drain_s": drain.as_secs()}),
        );
    }

    fn stopped(&self) {
        self.say("stopped", || json!({"event": "stopped"}));
    }
}

impl Ends for Told {
    fn ended(&self, claimed: &Claimed, producer: &ProducerName, worked: &Result<Worked, worker::Error>) {
        let (key, stage) = (&claimed.task.key, &claimed.job.stage);
        let worked = match worked {
            Ok(worked) => worked,
            Err(error) => {
                // Its job goes back into the queue when the store can be written again, or with the next start.
                tracing::error!(task = %key, job = %claimed.job.id, %error, "what a job came to could not be kept");
                return;
            }
        };
        let (outcome, rest) = match &worked.after {
            _ if worked.overtaken => ("superseded", String::new()),
            AfterRun::Move(to) if worked.finished => {
                ("verdict", format!(" {}, its transition follows", found(to.judgement)))
            }
            AfterRun::Move(to) => {
                ("verdict", format!(" {}, goes to {}", found(to.judgement), worked.task.stage))
            }
            AfterRun::Defer { fault, .. } => ("deferred", format!(" ({}: {})", fault.code, fault.message)),
            AfterRun::Hold(hold) => ("held", format!(" ({}: {})", hold.fault.code, hold.fault.message)),
            AfterRun::Cancel(_) => ("cancelled", String::new()),
            AfterRun::Requeue => ("requeued", String::new()),
            AfterRun::Supersede => ("superseded", String::new()),
        };
        let text = format!("{key} {stage} by {producer}: {outcome}{}", printable(&rest));
        self.say(&text, || {
            json!({
                "event": "job-ended",
                "work_item": key.work_item,
                "repo": key.repo,
                "stage": stage,
                "producer": producer,
                "job": claimed.job.id,
                "run": worker::run_of(claimed),
                "outcome": outcome,
                "judgement": worked.judgement(),
                "to_stage": worked.task.stage,
                "artifact": worked.artifact,
                "fault": worked.fault().map(|fault| json!({"code": fault.code, "message": fault.message})),
            })
        });
    }

    fn completed(&self, job: &Job, completed: &Result<Completed, transition::Error>) {
        let (outcome, rest, to, fault) = match completed {
            Ok(Completed::Moved { task, .. }) => {
                ("moved", format!("goes to {}", task.stage), Some(&task.stage), None)
            }
            Ok(Completed::PutOff(fault)) => {
                ("put-off", format!("put off ({}: {})", fault.code, fault.message), None, Some(fault))
            }
            Ok(Completed::Held(fault)) => {
                ("held", format!("held ({}: {})", fault.code, fault.message), None, Some(fault))
            }
            // It is tried again in a moment, or found by whoever is responsible for it.
            Ok(Completed::Busy | Completed::Stale | Completed::Overtaken) | Err(_) => return,
        };
        self.say(&format!("{} {}: {}", job.task, job.stage, printable(&rest)), || {
            json!({
                "event": "transition-ended",
                "work_item": job.task.work_item,
                "repo": job.task.repo,
                "stage": job.stage,
                "job": job.id,
                "outcome": outcome,
                "to_stage": to,
                "fault": fault.map(|fault| json!({"code": fault.code, "message": fault.message})),
            })
        });
    }
}

const fn found(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Pass => "PASS",
        Judgement::Fail => "FAIL",
    }
}
