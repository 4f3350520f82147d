//! The count: what the effects have left where they were done, what the store says, and who still runs.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::Command;

use super::world::World;
use crate::command;
use crate::error::Error;
use crate::step::say;

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Count {
    kills: u32,
    tasks: u32,
    effects: u32,
    duplicates: u32,
    lost: u32,
    surviving: u32,
}

impl Count {
    pub(super) const fn is_clean(&self) -> bool {
        self.duplicates == 0 && self.lost == 0 && self.surviving == 0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, tasks, effects, duplicates, lost, surviving } = self;
        write!(
            f,
            "soak: kills {kills}, tasks {tasks}, effects {effects}, duplicates {duplicates}, lost {lost}, surviving processes {surviving}"
        )
    }
}

/// The one thing that is counted and no effect.
const STAGE: &str = "stage-written";

/// Counts.
pub(super) fn count(world: &World) -> Result<Count, Error> {
    let mut count = Count { kills: world.all_kills(), tasks: world.tasks(), ..Count::default() };
    for task in world.not_done()? {
        say(format!("lost: {task}"));
        count.lost += 1;
    }
    let keys: Vec<String> = (1..=world.tasks()).map(|number| format!("S-{number}")).collect();
    for class in ["keyed", "observable", "blind"] {
        let text = fs::read_to_string(world.outside(class)).unwrap_or_default();
        // `<repo>/<work item>/<from>><to>/<name>@<commit>#<job>`
        let items = text.lines().filter_map(|line| line.split('/').nth(1));
        once_each(&mut count, class, &keys, items);
    }
    let repo = world.repo();
    let mut log = Command::new("git");
    log.arg("-C").arg(&repo).args(["log", "--merges", "--format=%s", "main"]);
    let merges = command::read("reading the merges", &mut log)?;
    let merged = merges.lines().filter_map(|line| line.strip_prefix("Merge ")?.split(' ').next());
    once_each(&mut count, "merge", &keys, merged);
    // Each task goes from testing to done: one write of its stage, and no second.
    let writes = stage_writes(world)?;
    once_each(&mut count, STAGE, &keys, writes.iter().map(String::as_str));
    count.surviving = survivors(world);
    Ok(count)
}

/// What should be there once for each key: more is a duplicate, none is lost.
fn once_each<'a>(count: &mut Count, what: &str, keys: &[String], found: impl Iterator<Item = &'a str>) {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for key in found {
        *times.entry(key).or_default() += 1;
    }
    for key in keys {
        match times.get(key.as_str()).copied().unwrap_or(0) {
            0 => {
                say(format!("lost: {what} of {key}"));
                count.lost += 1;
            }
            1 => {}
            more => {
                say(format!("duplicate: {what} of {key}, {more} times"));
                count.duplicates += more - 1;
            }
        }
        count.effects += u32::from(what != STAGE);
    }
}

/// The work item of every write of a stage, from the audit trail.
fn stage_writes(world: &World) -> Result<Vec<String>, Error> {
    const SCRIPT: &str = "import sqlite3, sys\n\
        rows = sqlite3.connect(sys.argv[1]).execute(\"SELECT work_item FROM events JOIN tasks ON tasks.id = events.task \
        WHERE kind = 'stage-written'\")\n\
        print(*(item for item, in rows), sep='\\n')\n";
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT]).arg(world.state().join("store.sqlite3"));
    Ok(command::read("reading the audit trail", &mut python)?.lines().map(str::to_owned).collect())
}

/// Processes whose command line or environment names the soak's folder. Nothing of it runs any more.
fn survivors(world: &World) -> u32 {
    let folder = world.folder.to_string_lossy().into_owned();
    let mut count = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let is_process = entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        if !is_process || entry.file_name().to_string_lossy() == std::process::id().to_string() {
            continue;
        }
        let names = ["environ", "cmdline"].into_iter().any(|file| {
            let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(&folder)
        });
        if names {
            say(format!("still there: process {}", entry.file_name().to_string_lossy()));
            count += 1;
        }
    }
    count
}
