//! What holds whatever happened.

use super::*;

/// How a run may end: in half of the cases with a verdict that the gate has read as it was given.
fn ends() -> impl Strategy<Value = (Outcome, Option<GateDecision>)> {
    let fault = || Fault::new("some-fault", "message");
    let outcomes = prop_oneof![
        Just(verdict(Judgement::Pass)),
        Just(verdict(Judgement::Fail)),
        Just(Outcome::Deferred(fault())),
        Just(Outcome::Held(fault())),
        prop::sample::select(vec![Cause::Superseded, Cause::Operator, Cause::Deadline, Cause::Shutdown])
            .prop_map(Outcome::Cancelled),
    ];
    let gates = prop::option::of(prop::sample::select(vec![
        GateDecision::Pass,
        GateDecision::Fail,
        GateDecision::Rejected { reason: "r".into() },
    ]));
    prop_oneof![
        1 => Just((verdict(Judgement::Pass), Some(GateDecision::Pass))),
        1 => Just((verdict(Judgement::Fail), Some(GateDecision::Fail))),
        2 => (outcomes, gates),
    ]
}

fn states() -> impl Strategy<Value = TaskState> {
    prop_oneof![
        4 => Just(TaskState::Active),
        1 => Just(TaskState::Held(held_since_before())),
        1 => Just(TaskState::Done),
        1 => Just(TaskState::Cancelled),
    ]
}

fn stages() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "analysis",
        "development",
        "review",
        "testing",
        "deploy-staging",
        "deploy",
        "done",
        "no-such-stage",
    ])
}

proptest! {
    #[test]
    fn the_rules_hold_however_a_run_ends(
        (outcome, gate) in ends(),
        saw_work in prop::bool::weighted(0.7),
        at in stages(),
        elsewhere in prop::option::weighted(0.2, stages()),
        state in states(),
        attempts_spent in prop_oneof![0_u32..5, Just(u32::MAX)],
        fails_in_a_row in prop_oneof![0_u32..5, Just(u32::MAX)],
        deferrals in prop_oneof![0_u32..6, Just(u32::MAX)],
    ) {
        let mut task = in_state(at, state);
        task.attempts_spent = attempts_spent;
        judged(&mut task, at, commit('a'));
        task.verdicts.get_mut(&stage(at)).unwrap().fails_in_a_row = fails_in_a_row;
        let mut job = job(elsewhere.unwrap_or(at));
        job.deferrals = deferrals;
        let after = decide(&task, &job, &outcome, gate.clone(), saw_work);

        if task.stage != job.stage {
            prop_assert_eq!(&after, &AfterRun::Supersede, "a job for another stage is stale");
        }
        match &task.state {
            TaskState::Active => {}
            TaskState::Held(hold) => prop_assert!(
                after == AfterRun::Supersede || after == AfterRun::Hold(hold.clone()), "a hold stays as it is"
            ),
            TaskState::Done | TaskState::Cancelled => prop_assert_eq!(&after, &AfterRun::Supersede),
        }
        let ran = matches!(outcome, Outcome::Verdict(_));
        match after {
            AfterRun::Move(to) => {
                prop_assert!(ran && saw_work, "only a verdict with evidence moves");
                prop_assert_eq!(&to.expected, &task.stage);
                let read = if to.judgement == Judgement::Pass { GateDecision::Pass } else { GateDecision::Fail };
                prop_assert_eq!(gate, Some(read), "the gate has read the same");
                let pipeline = Pipeline::embedded().unwrap();
                let order = pipeline.position(&to.to).cmp(&pipeline.position(&to.expected));
                prop_assert_eq!(to.judgement == Judgement::Pass, order == Ordering::Greater, "only a PASS leads on");
                prop_assert_eq!(to.spends_attempt, order == Ordering::Less, "only what leads back spends");
                prop_assert!(to.hold.is_none() || to.judgement == Judgement::Fail);
            }
            AfterRun::Defer { until, .. } => prop_assert!(until > NOW && deferrals < 3 && !ran),
            AfterRun::Requeue | AfterRun::Cancel(_) => prop_assert!(!ran, "no verdict is thrown away"),
            AfterRun::Hold(_) | AfterRun::Supersede => {}
        }
    }

    #[test]
    fn a_push_never_leads_on_and_never_moves_what_is_not_on_its_way(
        at in stages(),
        state in states(),
        verdicts in prop::collection::vec((stages(), any::<bool>()), 0..6),
        job_is_old in prop::option::of(any::<bool>()),
    ) {
        let pipeline = Pipeline::embedded().unwrap();
        let mut task = in_state(at, state);
        let about = |old: bool| commit(if old { 'a' } else { 'b' });
        for (stage, old) in &verdicts {
            judged(&mut task, stage, about(*old));
        }
        let live = job_is_old.map(|old| Job { commit: about(old), ..job(at) });
        match after_push(&pipeline, &task, live.as_ref(), |known| *known == about(false)) {
            AfterPush::Back { expected, to } => {
                prop_assert_eq!(&task.state, &TaskState::Active);
                prop_assert_eq!(&expected, &task.stage);
                prop_assert!(pipeline.position(&to) < pipeline.position(&expected));
                prop_assert_eq!(&task.verdicts[&to].commit, &about(true));
            }
            AfterPush::Restart => prop_assert!(task.state == TaskState::Active && job_is_old == Some(true)),
            AfterPush::Nothing => {}
        }
    }

    #[test]
    fn a_person_can_not_put_a_task_where_its_pipeline_has_no_stage(
        at in stages(),
        to in stages(),
        state in states(),
    ) {
        let pipeline = Pipeline::embedded().unwrap();
        let task = in_state(at, state);
        for request in [Request::Retry, Request::Move { to: stage(to) }] {
            if let Ok(AfterRequest::Move(person)) = after_request(&pipeline, &task, &request, NOW) {
                let stage = pipeline.stage(&person.to).unwrap();
                prop_assert_eq!(person.becomes == Standing::Done, stage.is_end());
                prop_assert_eq!(&person.expected, &task.stage);
            }
        }
    }
}
