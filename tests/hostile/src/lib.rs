//! A producer that attacks the host, in the way that its settings name.
//!
//! One component for all attacks that need the same capability (`process`), so that each test is a setting and not a
//! build. It never asks how it went: the tests look at what the host made of it.

mod answers;
mod calls;
mod exhaustion;

use stagewright_sdk::{Host, Job, Outcome, Process, Produce, Producer, ReportBuilder};

/// The producer.
#[derive(Debug)]
pub struct Hostile;

/// What to do.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The attack.
    attack: Attack,
}

/// The attacks.
#[derive(Clone, Copy, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Computes without end.
    EndlessLoop,
    /// Calls itself without end.
    DeepRecursion,
    /// Takes memory until there is none.
    MemoryBomb,
    /// Panics at once.
    Panic,
    /// Panics while a process of it runs.
    PanicWithAChild,
    /// Logs without end.
    LogStorm,
    /// Logs one line with characters that steer a terminal.
    LogEscapes,
    /// Asks for the time without end.
    CallStorm,
    /// Sleeps for a day, and takes no notice of a cancellation.
    SleepForADay,
    /// Sleeps until it is told to end, and then answers in order.
    EndWhenTold,
    /// Waits for a process that sleeps.
    WaitForAChild,
    /// Starts processes and keeps every handle.
    KeepHandles,
    /// Starts a process and drops its handle at once, again and again.
    DropHandles,
    /// Starts a process and kills it a thousand times.
    KillStorm,
    /// Starts a process, and answers PASS while it runs.
    LeaveAChild,
    /// Runs `true` as it should, and then some.
    RunTrue,
    /// Hands over a command with 64 MiB of input.
    HugeCall,
    /// Answers PASS without having done anything.
    IdlePass,
    /// Answers PASS and counts failures.
    ContradictoryPass,
    /// Answers PASS with a failed check.
    PassWithAFailedCheck,
    /// Answers with a body of 64 MiB.
    HugeBody,
    /// Answers with a body of 4 MiB, which is too long and not outrageous.
    LongBody,
    /// Answers with 100,000 checks.
    ManyChecks,
    /// Answers without a summary.
    NoSummary,
    /// Answers with a fact whose name would end the front matter.
    FactThatBreaksOut,
    /// Answers with a fault whose code is no code.
    OddFaultCode,
    /// Answers with a fault of the host's own.
    FaultOfTheHost,
    /// Answers with a text that is no UTF-8.
    BadText,
}

impl Producer for Hostile {
    type Settings = Settings;
    const NAME: &'static str = "hostile";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Attacks the host";
    const STAGES: &'static [&'static str] = &[];
}

impl<C: Host + Process> Produce<C> for Hostile {
    fn produce(_: &Job, settings: &Settings, host: &C) -> Outcome {
        match settings.attack {
            Attack::EndlessLoop => exhaustion::endless_loop(),
            Attack::DeepRecursion => exhaustion::deep_recursion(),
            Attack::MemoryBomb => exhaustion::memory_bomb(),
            #[allow(clippy::panic, reason = "it is the attack")]
            Attack::Panic => panic!("for no reason"),
            Attack::PanicWithAChild => calls::panic_with_a_child(host),
            Attack::LogStorm => calls::log_storm(host),
            Attack::LogEscapes => calls::log_escapes(host),
            Attack::CallStorm => calls::call_storm(host),
            Attack::SleepForADay => calls::sleep_for_a_day(host),
            Attack::EndWhenTold => calls::end_when_told(host),
            Attack::WaitForAChild => calls::wait_for_a_child(host),
            Attack::KeepHandles => calls::keep_handles(host),
            Attack::DropHandles => calls::drop_handles(host),
            Attack::KillStorm => calls::kill_storm(host),
            Attack::LeaveAChild => calls::leave_a_child(host),
            Attack::RunTrue => calls::run_true(host),
            Attack::HugeCall => calls::huge_call(host),
            Attack::IdlePass => pass("it did nothing"),
            Attack::ContradictoryPass => answers::contradictory_pass(),
            Attack::PassWithAFailedCheck => answers::pass_with_a_failed_check(),
            Attack::HugeBody => answers::body(64 << 20),
            Attack::LongBody => answers::body(4 << 20),
            Attack::ManyChecks => answers::many_checks(),
            Attack::NoSummary => answers::no_summary(),
            Attack::FactThatBreaksOut => answers::fact_that_breaks_out(),
            Attack::OddFaultCode => answers::fault("No Code At All\n---"),
            Attack::FaultOfTheHost => answers::fault("component-trapped"),
            Attack::BadText => answers::bad_text(),
        }
    }
}

pub(crate) fn pass(summary: &str) -> Outcome {
    Outcome::Verdict(ReportBuilder::pass(summary).build())
}

stagewright_sdk::export!(Hostile);
