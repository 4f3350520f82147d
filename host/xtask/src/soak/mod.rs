//! Kills the daemon again and again at its work, and counts what was lost or done twice (R1).
//!
//! ```text
//! each round   a few more tasks; a daemon that dies at a named point (before or after a commit or an act), or at a
//!              random time; a person who looks at what the host can't know, and says what is true
//! the end      a daemon that is left alone until every task is done
//! the count    in the repository, in the files that the effects wrote, in the store, in the table of processes
//! ```
//!
//! Everything is real: the program, the store on the disk, git, the suites' processes, SIGKILL. What is counted is found
//! where the effects were done, and never asked of the host alone.

mod count;
mod dice;
mod world;

use std::time::{Duration, Instant};

use self::dice::Dice;
use self::world::{Daemon, World};
use crate::error::Error;
use crate::step::{say, step};
use crate::workspace::{Profile, Workspace};
use crate::{build, setup};

/// Where a daemon can be made to kill itself, beside random times.
const POINTS: [&str; 8] = [
    "before-commit",
    "after-commit",
    "lease-taken",
    "intended",
    "before-act",
    "after-act",
    "settled",
    "before-stage",
];
/// How long a daemon may live that has not come to its point. Longer than the time-out of an effect: what a dead owner has left
/// open is waited for anew by each daemon.
const LONGEST: Duration = Duration::from_millis(3_500);
/// How many tasks are under way at least while there are kills to come.
const AT_LEAST: usize = 6;
/// How long the last daemon may take for what is left. A safety net.
const LAST: Duration = Duration::from_secs(600);

/// Builds what is needed, and kills.
pub(crate) fn run(workspace: &Workspace, kills: u32, seed: Option<u64>) -> Result<(), Error> {
    setup::run(workspace)?;
    build::run(workspace, Profile::Debug)?;
    step("soak", || kill(workspace, kills, seed))
}

/// Kills so many times and counts. The build is the caller's.
pub(crate) fn kill(workspace: &Workspace, kills: u32, seed: Option<u64>) -> Result<(), Error> {
    let seed = seed.unwrap_or_else(dice::seed);
    say(format!("seed {seed}"));
    let mut dice = Dice::new(seed);
    let mut world = World::new(workspace)?;
    // The first one in peace: it compiles the component for the cache, which takes longer than the others live.
    world.add_task()?;
    world.finish(LAST)?;
    let begun = Instant::now();
    let mut told = Instant::now();
    for round in 0..kills {
        if round % 4 == 0 {
            for _ in world.under_way()?..AT_LEAST {
                world.add_task()?;
            }
        }
        let point = dice.one_of_or_none(&POINTS).map(|point| {
            // A transition has five effects; a daemon's life has some dozens of commits.
            let most = if point.ends_with("commit") { 40 } else { 7 };
            format!("{point}:{}", 1 + dice.below(most))
        });
        let mut daemon = Daemon::start(&world, point.as_deref())?;
        let limit = if point.is_some() { LONGEST } else { Duration::from_millis(200 + dice.below(3_300)) };
        let at_its_point = daemon.die_within(limit)?;
        world.killed(point.as_deref().filter(|_| at_its_point));
        if dice.below(6) == 0 {
            world.person()?;
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            say(format!(
                "{} of {kills} kills, {} tasks, {} s",
                round + 1,
                world.tasks(),
                begun.elapsed().as_secs()
            ));
        }
    }
    world.finish(LAST)?;
    let count = count::count(&world)?;
    for line in world.summary() {
        say(line);
    }
    println!("{count}");
    if count.is_clean() { Ok(()) } else { Err(Error::Told) }
}
