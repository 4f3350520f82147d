//! Repositories and tasks.

use stagewright_engine::job::JobState;
use stagewright_engine::name::{RepoName, WorkItem};
use stagewright_engine::outcome::Judgement;
use stagewright_engine::task::TaskState;
use stagewright_engine::time::Span;

use super::Place;
use super::world::{World, commit, key, run_of};
use crate::request::conclusion::Becomes;
use crate::request::repo::NewRepo;
use crate::request::run::RunEnding;
use crate::request::task::{ObserveHead, TaskFilter, TaskRefused, TaskStateKind};

pub async fn a_task_that_exists_is_answered_as_it_is(place: &dyn Place) {
    let world = World::new(place).await;
    let first = world.task().await;
    let mut again = world.new_task("ORCH-1");
    again.stage = super::world::stage("review");
    assert_eq!(world.store.add_task(again).await.unwrap(), first);
    assert_eq!(world.task().await, first);
}

pub async fn a_task_needs_its_repository(place: &dyn Place) {
    let world = World::new(place).await;
    let mut task = world.new_task("ORCH-2");
    task.key.repo = RepoName::new("elsewhere").unwrap();
    let repo = task.key.repo.clone();
    assert_eq!(world.store.add_task(task).await, Err(TaskRefused::NoSuchRepo(repo)));
}

pub async fn a_repository_can_move_to_another_path(place: &dyn Place) {
    let world = World::new(place).await;
    let name = world.task.repo.clone();
    let moved = NewRepo { name: name.clone(), source: "/srv/a b\n".into(), now: world.now() };
    let put = world.store.put_repo(moved.clone()).await.unwrap();
    assert_eq!(put.source, moved.source);
    assert_eq!(world.store.repo(&name).await.unwrap(), Some(put));
    assert_eq!(world.store.repo(&RepoName::new("none").unwrap()).await.unwrap(), None);
}

pub async fn tasks_are_listed_page_by_page_and_by_what_is_asked(place: &dyn Place) {
    let world = World::new(place).await;
    for item in ["ORCH-5", "ORCH-3", "ORCH-4", "ORCH-2"] {
        world.add(item).await;
    }
    world.store.hold_task(&key("ORCH-3"), world.hold(), world.now()).await.unwrap();
    let items = async |filter: TaskFilter| -> Vec<String> {
        let tasks = world.store.tasks(filter).await.unwrap();
        tasks.into_iter().map(|task| task.key.work_item.to_string()).collect()
    };
    assert_eq!(items(TaskFilter { limit: 2, ..TaskFilter::default() }).await, ["ORCH-1", "ORCH-2"]);
    let next = TaskFilter { limit: 2, after: Some(key("ORCH-2")), ..TaskFilter::default() };
    assert_eq!(items(next).await, ["ORCH-3", "ORCH-4"]);
    let held = TaskFilter { state: Some(TaskStateKind::Held), ..TaskFilter::default() };
    assert_eq!(items(held).await, ["ORCH-3"]);
    let named = TaskFilter { work_item: Some(WorkItem::new("ORCH-4").unwrap()), ..TaskFilter::default() };
    assert_eq!(items(named).await, ["ORCH-4"]);
    let foreign = TaskFilter { repo: Some(RepoName::new("none").unwrap()), ..TaskFilter::default() };
    assert!(items(foreign).await.is_empty());
}

pub async fn a_branch_head_is_kept_apart_from_the_examined_commit(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    world.store.conclude(world.conclusion(&claimed, run_of(&claimed))).await.unwrap();
    let head = ObserveHead {
        task: world.task.clone(),
        head: commit('b'),
        changed_reports: Vec::new(),
        now: world.now(),
    };
    let task = world.store.observe_head(head).await.unwrap();
    assert_eq!(task.head, Some(commit('b')));
    assert_eq!(task.examined, Some(commit('a')));
    assert_eq!(task.verdicts[&super::world::stage("testing")].judgement, Judgement::Pass);
    let missing =
        ObserveHead { task: key("ORCH-9"), head: commit('b'), changed_reports: Vec::new(), now: world.now() };
    assert_eq!(world.store.observe_head(missing).await, Err(TaskRefused::NoSuchTask(key("ORCH-9"))));
}

pub async fn a_hold_keeps_its_reason_and_stops_the_waiting_job(place: &dyn Place) {
    let world = World::new(place).await;
    let job = world.enqueue().await;
    let hold = world.hold();
    world.store.hold_task(&world.task, hold.clone(), world.now()).await.unwrap();
    assert_eq!(world.task().await.state, TaskState::Held(hold));
    assert_eq!(world.store.job(job.id).await.unwrap().unwrap().state, JobState::Held);
    assert_eq!(world.store.claim_next(world.next_claim(9)).await.unwrap(), None);
}

pub async fn a_task_is_held_only_while_it_is_active_and_its_first_reason_stays(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let first = world.hold();
    world.store.hold_task(&world.task, first.clone(), world.now()).await.unwrap();
    let mut second = world.hold();
    second.fault.code = "another".into();
    let refused = world.store.hold_task(&world.task, second.clone(), world.now()).await;
    assert_eq!(refused, Err(TaskRefused::NotActive(Box::new(world.task().await))));
    // A run that was to hold the task when somebody else did: its job waits under the hold that is there.
    let end = world.end(&claimed, run_of(&claimed), RunEnding::Held(second));
    world.store.end_run(end).await.unwrap();
    assert_eq!(world.task().await.state, TaskState::Held(first));
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap().state, JobState::Held);

    let mut change = world.change("done", world.take_now(world.task().await.epoch));
    (change.becomes, change.past_a_hold) = (Becomes::Done, true);
    world.store.move_stage(change).await.unwrap();
    let refused = world.store.hold_task(&world.task, world.hold(), world.now()).await;
    assert_eq!(refused, Err(TaskRefused::NotActive(Box::new(world.task().await))));
}

pub async fn resume_puts_the_held_job_back_with_its_deferrals_forgotten(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let deferred = world.deferred(Span::from_secs(3_600));
    world.store.end_run(world.end(&claimed, run_of(&claimed), deferred)).await.unwrap();
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap().deferrals, 1);
    world.store.hold_task(&world.task, world.hold(), world.now()).await.unwrap();
    world.store.resume_task(&world.task, world.now()).await.unwrap();
    assert_eq!(world.task().await.state, TaskState::Active);
    let job = world.store.job(claimed.job.id).await.unwrap().unwrap();
    assert_eq!((job.state, job.deferrals), (JobState::Queued, 0));
    assert_eq!(world.store.claim_next(world.next_claim(9)).await.unwrap().unwrap().job.id, job.id);
}

pub async fn a_task_that_is_not_held_can_not_be_resumed(place: &dyn Place) {
    let world = World::new(place).await;
    let refused = world.store.resume_task(&world.task, world.now()).await;
    assert_eq!(refused, Err(TaskRefused::NotHeld(world.task.clone())));
}
