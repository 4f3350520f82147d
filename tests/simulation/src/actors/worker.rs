//! The worker: from a claimed job to what follows from its run (daemon: `worker/mod.rs`).

use sha2::{Digest as _, Sha256};
use stagewright_engine::gate::GateDecision;
use stagewright_engine::identity::{JobId, RunId};
use stagewright_engine::job::JobState;
use stagewright_engine::ledger::{Act, Entry, Ledger};
use stagewright_engine::outcome::{Cause, Fault, Judgement, Outcome, Report, Tally};
use stagewright_engine::pipeline::Work;
use stagewright_engine::task::StageVerdict;
use stagewright_engine::time::Timestamp;
use stagewright_engine::transition::{AfterRun, Move, RunEnd, after_run};
use stagewright_store::request::artifact::Artifact;
use stagewright_store::request::conclusion::{
    Attempts, Becomes, ConcludeRefused, Conclusion, Ownership, StageChange,
};
use stagewright_store::request::job::{Claimed, NewJob};
use stagewright_store::request::run::{EndRun, RunEnding};

use super::{Host, budget};

/// What a run left behind.
struct Left {
    outcome: Outcome,
    ledger: Ledger,
    artifact: Option<(Artifact, GateDecision)>,
}

impl Left {
    fn nothing(outcome: Outcome) -> Self {
        Self { outcome, ledger: Ledger::default(), artifact: None }
    }
}

pub(crate) async fn work(host: Host, claimed: Claimed) {
    // The host's copy is brought up to date; the job's commit must be the branch's head.
    host.sim.step().await;
    let is_head = host.sim.world().heads.get(&claimed.task.key) == Some(&claimed.job.commit);
    let left = match is_head {
        true => produce(&host, &claimed).await,
        false => Left::nothing(Outcome::Cancelled(Cause::Superseded)),
    };
    conclude(&host, &claimed, left).await;
    host.sim.world().worker_has_ended(&claimed);
}

/// A run of some time, in which the worker looks now and then whether it was overtaken.
async fn produce(host: &Host, claimed: &Claimed) -> Left {
    let slices = host.sim.world().chance.between(1, 5);
    for _ in 0..slices {
        host.sim.sleep(4_000).await;
        if host.sim.stopping() {
            return Left::nothing(Outcome::Cancelled(Cause::Shutdown));
        }
        if host.sim.world().chance.one_in(2)
            && let Ok(Some(task)) = host.store.task(&claimed.task.key).await
            && task.epoch != claimed.epoch
        {
            host.sim.saw("a worker noticed that it was overtaken");
            return Left::nothing(Outcome::Cancelled(Cause::Superseded));
        }
    }
    let work = host.pipeline.work(&claimed.job.stage).cloned();
    let Some(work) = work else { return Left::nothing(Outcome::Held(fault("no-work"))) };
    let mut world = host.sim.world();
    if !world.rough {
        return judged(&work, Judgement::Pass, true, true);
    }
    let kinds = [(60, 0), (14, 1), (8, 2), (4, 3), (4, 4), (3, 5), (3, 6), (2, 7)];
    match world.chance.weighed(&kinds) {
        0 => judged(&work, Judgement::Pass, true, true),
        1 => judged(&work, Judgement::Fail, true, true),
        2 => Left::nothing(Outcome::Deferred(fault("unreachable"))),
        3 => Left::nothing(Outcome::Held(fault("runner-missing"))),
        4 => Left::nothing(Outcome::Cancelled(Cause::Deadline)),
        5 => judged(&work, Judgement::Pass, false, true),
        6 => judged(&work, Judgement::Pass, true, false),
        _ => Left::nothing(Outcome::Cancelled(Cause::Operator)),
    }
}

fn fault(code: &str) -> Fault {
    Fault::new(code, "the work did not run")
}

/// A verdict with its artifact; without evidence, or with an artifact that the gate does not accept.
fn judged(work: &Work, judgement: Judgement, evidence: bool, readable: bool) -> Left {
    let mut ledger = Ledger::default();
    if evidence {
        let act = Act::Probe { endpoint: "e".to_owned(), path: "/".to_owned(), answer: "200".to_owned() };
        ledger.record(Entry { at_ms: 0, duration_ms: 1, act });
    }
    let key = work.gate.key();
    let word = if readable { key.word(judgement) } else { "MAYBE" };
    let text = format!("---\n{}: {word}\n---\n", key.name());
    let sha256 = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let gate = work.gate.judge(&text);
    let artifact = Artifact { path: work.artifact.clone(), bytes: text.into_bytes(), sha256 };
    let report = Report {
        judgement,
        summary: String::new(),
        body: String::new(),
        tally: Tally { passed: 1, ..Tally::default() },
        checks: Vec::new(),
        facts: Vec::new(),
    };
    Left { outcome: Outcome::Verdict(report), ledger, artifact: Some((artifact, gate)) }
}

/// Writes down what the run came to. A transition with effects is left to the finalizer.
async fn conclude(host: &Host, claimed: &Claimed, left: Left) {
    let run = run_of(claimed);
    loop {
        let now = host.now();
        let Ok(Some(task)) = host.store.task(&claimed.task.key).await else { return };
        let gate = left.artifact.as_ref().map(|(_, gate)| gate);
        let end = RunEnd { outcome: &left.outcome, gate, saw_work: left.ledger.shows_work() };
        let after = after_run(&host.pipeline, &task, &claimed.job, end, &budget(), now);
        let ending = match (after, &left.artifact) {
            (AfterRun::Move(to), Some((artifact, _))) => {
                let verdict = verdict(claimed, &to, run, artifact, now);
                if to.effects.is_empty() {
                    let conclusion = Conclusion {
                        job: claimed.job.id,
                        run,
                        outcome: left.outcome.clone(),
                        artifact: artifact.clone(),
                        verdict,
                        ledger: left.ledger.clone(),
                        attachments: Vec::new(),
                        change: change(host, claimed, &to, now),
                    };
                    match host.store.conclude(conclusion).await {
                        // Held between the look and the write: what follows from that is the engine's to say.
                        Err(ConcludeRefused::NotActive(_)) => {
                            host.sim.saw("a task was held under a conclusion");
                            continue;
                        }
                        Err(_) => {
                            host.sim.saw("a conclusion was refused");
                            return;
                        }
                        Ok(_) => return,
                    }
                }
                RunEnding::Finished { artifact: artifact.clone(), verdict }
            }
            (AfterRun::Defer { until, fault }, _) => RunEnding::Deferred { until, fault },
            (AfterRun::Hold(hold), _) => RunEnding::Held(hold),
            (AfterRun::Cancel(cause), _) => RunEnding::Cancelled(cause),
            (AfterRun::Requeue, _) => RunEnding::Requeued,
            (AfterRun::Supersede | AfterRun::Move(_), _) => RunEnding::Superseded,
        };
        let end = EndRun {
            job: claimed.job.id,
            run,
            epoch: claimed.epoch,
            outcome: left.outcome.clone(),
            ending,
            ledger: left.ledger.clone(),
            attachments: Vec::new(),
            events: Vec::new(),
            now,
        };
        if host.store.end_run(end).await.is_err() {
            host.sim.saw("a run's end was refused");
        }
        return;
    }
}

fn verdict(claimed: &Claimed, to: &Move, run: RunId, artifact: &Artifact, now: Timestamp) -> StageVerdict {
    StageVerdict {
        judgement: to.judgement,
        fails_in_a_row: to.fails_in_a_row,
        commit: claimed.job.commit.clone(),
        artifact_sha256: artifact.sha256.clone(),
        run,
        at: now,
    }
}

fn change(host: &Host, claimed: &Claimed, to: &Move, now: Timestamp) -> StageChange {
    let mut change = change_of(host, &claimed.job, to, now);
    change.ownership = Ownership::TakeNow { owner: host.instance, epoch: claimed.epoch };
    change
}

/// The stage that follows from a job's verdict, with the next job. By what right is the caller's to say.
pub(super) fn change_of(
    host: &Host,
    job: &stagewright_engine::job::Job,
    to: &Move,
    now: Timestamp,
) -> StageChange {
    let next_job = host.pipeline.work(&to.to).map(|_| NewJob {
        id: JobId::new(host.sim.id()),
        task: job.task.clone(),
        stage: to.to.clone(),
        commit: job.commit.clone(),
        now,
    });
    let becomes = match (&to.hold, to.arrives) {
        (Some(hold), _) => Becomes::Held(hold.clone()),
        (None, true) => Becomes::Done,
        (None, false) => Becomes::Active { next_job },
    };
    StageChange {
        task: job.task.clone(),
        expected_stage: to.expected.clone(),
        to: to.to.clone(),
        ownership: Ownership::TakeNow {
            owner: host.instance,
            epoch: stagewright_engine::identity::Epoch::INITIAL,
        },
        completes: None,
        past_a_hold: false,
        attempts: if to.spends_attempt { Attempts::Spend } else { Attempts::Keep },
        becomes,
        reason: to.reason.clone(),
        events: Vec::new(),
        now,
    }
}

pub(crate) fn run_of(claimed: &Claimed) -> RunId {
    match claimed.job.state {
        JobState::Running { run, .. } => run,
        _ => unreachable!("a claimed job is a running one"),
    }
}
