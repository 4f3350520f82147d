//! Edge effects: outside acts on a transition, and what may be done about one after a crash (O9).

use serde::{Deserialize, Serialize};

use crate::lease::Liveness;

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

    #[test]
    fn an_observable_effect_waits_for_its_request_and_is_then_read_back() {
        assert_eq!(after_crash(EffectClass::Observable, Liveness::Dead, false), AfterCrash::Wait);
        assert_eq!(after_crash(EffectClass::Observable, Liveness::Dead, true), AfterCrash::ReadBack);
    }
}
