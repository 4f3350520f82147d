//! Edge effects: outside acts on a transition, and what may be done about one after a crash (O9).
//!
//! The journal says of each act how it stands; its class says what that allows. Nothing in here acts: whoever does
//! asks [`next_step`] before the act and [`after_act`] behind it.

use serde::{Deserialize, Serialize};

use crate::budget::DeferralBudget;
use crate::lease::Liveness;
use crate::outcome::Fault;
use crate::time::{Span, Timestamp};

/// What makes it safe, or unsafe, to do an act again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectClass {
    /// The target itself refuses it if things have changed: a merge that names the head commit.
    Conditional,
    /// The target knows it again by a key: a comment with an external id.
    Keyed,
    /// Whether it has happened can be read back from the target.
    Observable,
    /// None of these.
    Blind,
}

/// How an effect ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectEnding {
    /// Done, with what the target answered.
    Done(String),
    /// Certainly not done, and why.
    Failed(String),
    /// Nobody can say whether it was done, and why; or it was, and the task went elsewhere all the same. A person has to
    /// look; what they find settles it.
    Unresolved(String),
}

impl EffectEnding {
    /// Its name, in the log and wherever else it is kept.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
            Self::Unresolved(_) => "unresolved",
        }
    }
}

/// How an effect stands in the journal, for whoever holds the lease and comes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was not there; its intent is written now.
    New,
    /// It was done.
    Done,
    /// It was tried, and certainly not done.
    Failed,
    /// Nobody could say.
    Unresolved,
    /// Its intent was written, its end was not.
    Open {
        /// Whether whoever wrote the intent is still there. An act of the asker's own that has ended counts as dead.
        owner: Liveness,
        /// Whether the time-out of the act itself has passed since the intent was written.
        request_over: bool,
    },
}

/// What to do about an effect now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Nothing: it is done.
    GoOn,
    /// The act, under the intent that was just written.
    Act,
    /// The act, after its intent was written once more.
    ActAgain,
    /// Ask the target whether it has happened. Absent: act again. Unknown: unresolved.
    ReadBack,
    /// Come back later: the request may still be under way.
    Wait,
    /// A person has to say what is true: unresolved.
    AskAPerson,
}

/// What to do about an effect of this class that stands so.
pub const fn next_step(class: EffectClass, standing: Standing) -> NextStep {
    match standing {
        Standing::New => NextStep::Act,
        Standing::Done => NextStep::GoOn,
        Standing::Failed => NextStep::ActAgain,
        Standing::Unresolved => NextStep::AskAPerson,
        Standing::Open { owner, request_over } => match after_crash(class, owner, request_over) {
            AfterCrash::Repeat => NextStep::ActAgain,
            AfterCrash::ReadBack => NextStep::ReadBack,
            AfterCrash::Wait => NextStep::Wait,
            AfterCrash::Unresolved => NextStep::AskAPerson,
        },
    }
}

/// What is known of earlier tries of an act, as another one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// There was none, or it certainly did nothing.
    Nothing,
    /// There was one, and nobody knows whether it did anything.
    InDoubt,
}

impl Standing {
    /// What is known of earlier tries of an act that stands so. A target that was asked and has nothing of it clears the
    /// doubt.
    pub const fn before(self) -> Before {
        match self {
            Self::Open { .. } | Self::Unresolved => Before::InDoubt,
            Self::New | Self::Done | Self::Failed => Before::Nothing,
        }
    }
}

/// What an act came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It was done, with what the target answered.
    Done(String),
    /// It was certainly not done, for a reason that may pass.
    NotNow(Fault),
    /// It was certainly not done, and won't be until a person has acted.
    NotThis(Fault),
    /// Whether it was done is not known: it overran its time, or the connection was cut.
    Unclear(Fault),
}

/// What follows from an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterAct {
    /// What the journal gets. `None`: the intent stays open, and the class says what may be done about it next time.
    pub settle: Option<EffectEnding>,
    /// What becomes of the transition.
    pub then: Then,
}

/// What becomes of a transition after one of its effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// On to the next effect, or to the stage.
    GoOn,
    /// It is tried again, not before this time.
    Defer {
        /// When.
        until: Timestamp,
        /// Why.
        fault: Fault,
    },
    /// It waits for a person.
    Hold(Fault),
}

/// Decides what follows from an act. `deferrals` are those that its job has spent already.
///
/// That a try did nothing says nothing of one before it whose end nobody knows: then the intent stays open.
pub fn after_act(
    class: EffectClass,
    before: Before,
    acted: Acted,
    deferrals: u32,
    budget: &DeferralBudget,
    now: Timestamp,
) -> AfterAct {
    match acted {
        Acted::Done(answer) => AfterAct { settle: Some(EffectEnding::Done(answer)), then: Then::GoOn },
        Acted::NotNow(fault) => {
            AfterAct { settle: not_done(before, &fault), then: put_off(fault, deferrals, budget, now) }
        }
        Acted::NotThis(fault) => AfterAct { settle: not_done(before, &fault), then: Then::Hold(fault) },
        Acted::Unclear(fault) => match class {
            EffectClass::Blind => {
                let settle = Some(EffectEnding::Unresolved(fault.message.clone()));
                AfterAct { settle, then: Then::Hold(fault) }
            }
            EffectClass::Conditional | EffectClass::Keyed | EffectClass::Observable => {
                AfterAct { settle: None, then: put_off(fault, deferrals, budget, now) }
            }
        },
    }
}

fn not_done(before: Before, fault: &Fault) -> Option<EffectEnding> {
    match before {
        Before::Nothing => Some(EffectEnding::Failed(fault.message.clone())),
        Before::InDoubt => None,
    }
}

/// Later, while the budget lasts; then a person has to look.
pub fn put_off(fault: Fault, deferrals: u32, budget: &DeferralBudget, now: Timestamp) -> Then {
    let asked = fault.retry_after_ms.map(Span::from_millis);
    match budget.next(deferrals, asked, now) {
        Some(until) => Then::Defer { until, fault },
        None => Then::Hold(fault),
    }
}

/// What is to be done about an effect whose intent was written and whose end was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCrash {
    /// Do it again.
    Repeat,
    /// Read back from the target whether it has happened; do it again only if it is absent.
    ReadBack,
    /// Too early to tell: the request may still be under way, or its owner may live.
    Wait,
    /// Nobody can say: mark it unresolved and hold the task.
    Unresolved,
}

/// What an effect's class, its former owner and the time allow after a crash.
///
/// `request_over` says whether the time-out of the act itself has passed since the intent was written.
pub const fn after_crash(class: EffectClass, owner: Liveness, request_over: bool) -> AfterCrash {
    match (class, owner) {
        (_, Liveness::Alive | Liveness::Doubt) => AfterCrash::Unresolved,
        (EffectClass::Conditional | EffectClass::Keyed, Liveness::Dead) => AfterCrash::Repeat,
        (EffectClass::Observable, Liveness::Dead) if request_over => AfterCrash::ReadBack,
        (EffectClass::Observable, Liveness::Dead) => AfterCrash::Wait,
        (EffectClass::Blind, Liveness::Dead) => AfterCrash::Unresolved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_repeated_while_its_owner_may_live() {
        for class in
            [EffectClass::Conditional, EffectClass::Keyed, EffectClass::Observable, EffectClass::Blind]
        {
            for owner in [Liveness::Alive, Liveness::Doubt] {
                for request_over in [false, true] {
                    assert_eq!(after_crash(class, owner, request_over), AfterCrash::Unresolved);
                }
            }
        }
    }

    #[test]
    fn a_blind_effect_is_never_repeated() {
        for request_over in [false, true] {
            assert_eq!(after_crash(EffectClass::Blind, Liveness::Dead, request_over), AfterCrash::Unresolved);
        }
    }

    const CLASSES: [EffectClass; 4] =
        [EffectClass::Conditional, EffectClass::Keyed, EffectClass::Observable, EffectClass::Blind];

    fn acted(class: EffectClass, acted: Acted, deferrals: u32) -> AfterAct {
        let budget = DeferralBudget::default();
        after_act(class, Before::Nothing, acted, deferrals, &budget, Timestamp::from_millis(0))
    }

    #[test]
    fn what_is_done_is_never_done_again_and_what_is_unresolved_is_a_persons() {
        for class in CLASSES {
            assert_eq!(next_step(class, Standing::Done), NextStep::GoOn);
            assert_eq!(next_step(class, Standing::Unresolved), NextStep::AskAPerson);
            assert_eq!(next_step(class, Standing::Failed), NextStep::ActAgain);
            assert_eq!(next_step(class, Standing::New), NextStep::Act);
        }
    }

    #[test]
    fn an_unclear_end_of_a_blind_act_holds_the_task_and_leaves_others_to_their_class() {
        for class in CLASSES {
            let after = acted(class, Acted::Unclear(Fault::new("cut", "the connection was cut")), 0);
            match class {
                EffectClass::Blind => {
                    assert!(matches!(after.settle, Some(EffectEnding::Unresolved(_))));
                    assert!(matches!(after.then, Then::Hold(_)));
                }
                _ => {
                    assert_eq!(after.settle, None);
                    assert!(matches!(after.then, Then::Defer { .. }));
                }
            }
        }
    }

    #[test]
    fn an_act_that_can_not_be_done_now_is_tried_again_until_the_budget_is_spent() {
        let fault = Fault::new("locked", "the target is locked");
        let first = acted(EffectClass::Blind, Acted::NotNow(fault.clone()), 0);
        assert!(matches!(first.settle, Some(EffectEnding::Failed(_))));
        assert!(matches!(first.then, Then::Defer { .. }));
        assert!(matches!(acted(EffectClass::Blind, Acted::NotNow(fault), 3).then, Then::Hold(_)));
    }

    #[test]
    fn a_try_that_did_nothing_says_nothing_of_a_doubtful_one_before_it() {
        let open = Standing::Open { owner: Liveness::Dead, request_over: true };
        let budget = DeferralBudget::default();
        for acted in [Acted::NotNow(Fault::new("a", "b")), Acted::NotThis(Fault::new("a", "b"))] {
            for class in CLASSES {
                let now = Timestamp::from_millis(0);
                let after =
                    |standing: Standing| after_act(class, standing.before(), acted.clone(), 0, &budget, now);
                assert_eq!(after(open).settle, None);
                assert_eq!(after(Standing::Failed).settle, Some(EffectEnding::Failed("b".to_owned())));
                assert_eq!(after(open).then, after(Standing::Failed).then);
            }
        }
    }

    #[test]
    fn an_observable_effect_waits_for_its_request_and_is_then_read_back() {
        assert_eq!(after_crash(EffectClass::Observable, Liveness::Dead, false), AfterCrash::Wait);
        assert_eq!(after_crash(EffectClass::Observable, Liveness::Dead, true), AfterCrash::ReadBack);
    }
}
