//! Many seeds with everything in place: nothing that must never happen does.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use stagewright_simulation::{Options, Report, run};

/// How many seeds are lived through; `SIM_SEEDS` says otherwise.
const SEEDS: u64 = 2_000;

/// What the seeds have to come to. Where nothing happens nothing can go wrong.
const REACHED: [&str; 20] = [
    "a former owner acts",
    "a host ended in order",
    "a job was taken from the dead",
    "a lease was forced",
    "a lease was taken from the dead",
    "a person moved a task",
    "a person said what was true",
    "a process was stopped and went on",
    "a push led back or restarted",
    "a run was too old",
    "a stage was not written after its effects",
    "a target knew it again",
    "a target refused another head",
    "a task was held under a conclusion",
    "a transition with effects was completed",
    "an answer was lost",
    "an effect waited for its request",
    "an effect was left unresolved",
    "read back: absent",
    "read back: done",
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Lives through the seeds on all cores, and gives the first that broke and all that was seen.
fn live(seeds: std::ops::Range<u64>) -> (Option<Report>, BTreeMap<&'static str, u64>) {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<(Option<Report>, BTreeMap<&'static str, u64>)> = Mutex::default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || found.lock().unwrap().0.is_some() {
                        return;
                    }
                    let report = run(seed, Options::default());
                    let mut found = found.lock().unwrap();
                    for (what, times) in &report.seen {
                        *found.1.entry(what).or_default() += times;
                    }
                    let first = found.0.as_ref().is_none_or(|first| report.seed < first.seed);
                    if report.broken.is_some() && first {
                        found.0 = Some(report);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// Lives through a seed once more and tells its story.
fn tell(seed: u64) -> Option<String> {
    let report = run(seed, Options { tell: true, ..Options::default() });
    println!("the story of seed {seed}:");
    report.story.iter().for_each(|line| println!("{line}"));
    report.broken
}

#[test]
fn nothing_that_must_never_happen_does() {
    if let Some(seed) = number("SIM_SEED") {
        assert_eq!(tell(seed), None, "seed {seed}");
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let (broken, seen) = live(0..seeds);
    if let Some(report) = broken {
        let what = tell(report.seed);
        panic!(
            "seed {seed}: {what:?}\nits story is above; again: \
             SIM_SEED={seed} cargo nextest run -p stagewright-simulation --no-capture nothing_that_must_never",
            seed = report.seed,
        );
    }
    for (what, times) in &seen {
        println!("{times:>8}  {what}");
    }
    if seeds >= SEEDS {
        let missed: Vec<_> = REACHED.iter().filter(|what| !seen.contains_key(*what)).collect();
        assert!(missed.is_empty(), "no seed comes to what the simulation is for: {missed:?}");
    }
}
