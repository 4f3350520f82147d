//! How often something may be tried, and how long to wait in between (J3, E4).

use serde::{Deserialize, Serialize};

use crate::time::{Span, Timestamp};

/// How often a job may be put off because its work did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeferralBudget {
    /// So many deferrals; the next fault holds the task.
    pub max: u32,
    /// The wait after the first one.
    pub first: Span,
    /// The longest wait; each one is twice the one before.
    pub longest: Span,
}

impl Default for DeferralBudget {
    /// Three deferrals: 30 s, 1 min, 2 min; never more than 10 min.
    fn default() -> Self {
        Self { max: 3, first: Span::from_secs(30), longest: Span::from_secs(600) }
    }
}

impl DeferralBudget {
    /// When to try again after `deferrals` deferrals were spent already; `None` if the budget is spent.
    ///
    /// A wait that the fault asks for counts if it is longer, up to the longest one.
    pub fn next(&self, deferrals: u32, asked: Option<Span>, now: Timestamp) -> Option<Timestamp> {
        if deferrals >= self.max {
            return None;
        }
        let doubled = self.first.times(1_u64.checked_shl(deferrals).unwrap_or(u64::MAX));
        let wait = doubled.max(asked.unwrap_or(Span::ZERO)).min(self.longest);
        Some(now.plus(wait))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_waits_double_and_end_after_three() {
        let budget = DeferralBudget::default();
        let now = Timestamp::from_millis(0);
        let waits: Vec<_> = (0..5)
            .map(|spent| budget.next(spent, None, now).map(|at| at.since(now).as_millis() / 1_000))
            .collect();
        assert_eq!(waits, [Some(30), Some(60), Some(120), None, None]);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_longest_and_never_shorter_than_the_one_before(
            max in 0_u32..200, first in 0_u64..1_000_000, longest in 0_u64..10_000_000, asked in any::<Option<u64>>(),
        ) {
            let budget = DeferralBudget {
                max, first: Span::from_millis(first), longest: Span::from_millis(longest),
            };
            let now = Timestamp::from_millis(7);
            let mut before = Span::ZERO;
            for spent in 0..max {
                let wait = budget.next(spent, asked.map(Span::from_millis), now).unwrap().since(now);
                prop_assert!(wait <= budget.longest && wait >= before);
                before = wait;
            }
            prop_assert_eq!(budget.next(max, None, now), None);
        }
    }
}
