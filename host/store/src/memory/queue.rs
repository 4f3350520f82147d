//! The queue as it is watched.

use std::collections::BTreeMap;

use stagewright_engine::identity::TaskKey;
use stagewright_engine::job::Job;
use stagewright_engine::task::{Hold, Task};

use super::state::State;
use crate::request::effect::EffectEnding;
use crate::request::queue::{EventCounts, LiveFilter, LiveJob, LiveState, Overview};
use crate::request::task::TaskStateKind;

/// How many there are of each kind.
fn count<K: Ord>(kinds: impl Iterator<Item = K>) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

impl State {
    pub(super) fn overview(&self) -> Overview {
        let live = self.live.values().filter_map(|id| self.jobs.get(id));
        let open = self.effects.values().filter(|record| record.ended.is_none());
        let unresolved = |ended: &EffectEnding| matches!(ended, EffectEnding::Unresolved(_));
        let ended = self.effects.values().filter_map(|record| record.ended.as_ref());
        Overview {
            tasks: count(self.tasks.values().map(|task| TaskStateKind::of(&task.state))),
            jobs: count(live.filter_map(|kept| LiveState::of(&kept.job.state))),
            running: count(self.running(None).map(|kept| kept.producer.clone())),
            open_effects: open.count() as u64,
            unresolved_effects: ended.filter(|(ending, _)| unresolved(ending)).count() as u64,
        }
    }

    pub(super) fn live_jobs(&self, filter: &LiveFilter) -> Vec<LiveJob> {
        let live = self.live.values().filter_map(|id| self.jobs.get(id));
        let mut found: Vec<_> = live
            .filter_map(|kept| Some(((LiveState::of(&kept.job.state)?, kept.job.id), kept)))
            .filter(|((state, _), _)| filter.state.is_none_or(|wanted| wanted == *state))
            .filter(|(place, _)| filter.after.is_none_or(|after| *place > after))
            .collect();
        found.sort_by_key(|(place, _)| *place);
        let jobs = found.into_iter().take(filter.limit as usize).map(|(_, kept)| LiveJob {
            job: kept.job.clone(),
            producer: kept.producer.clone(),
            hold: self.tasks.get(&kept.job.task).and_then(Task::hold).cloned(),
        });
        jobs.collect()
    }

    pub(super) fn jobs_of(&self, task: &TaskKey, limit: u32) -> Vec<Job> {
        let of_it = self.jobs.values().map(|kept| &kept.job).filter(|job| job.task == *task);
        let mut jobs: Vec<Job> = of_it.cloned().collect();
        jobs.sort_by_key(|job| std::cmp::Reverse((job.created, job.id)));
        jobs.truncate(limit as usize);
        jobs
    }

    pub(super) fn held_by_fault(&self) -> BTreeMap<String, u64> {
        let holds = self.tasks.values().filter_map(Task::hold);
        count(holds.map(|hold: &Hold| hold.fault.code.clone()))
    }

    pub(super) fn event_counts(&self, after: u64) -> EventCounts {
        let later = || self.events.iter().filter(|event| event.seq > after);
        EventCounts {
            last: later().map(|event| event.seq).max().unwrap_or(after),
            kinds: count(later().map(|event| event.kind.clone())),
        }
    }
}
