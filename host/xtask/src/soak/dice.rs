//! Random numbers from a seed: SplitMix64, which is all that choosing a moment needs.

use std::time::{SystemTime, UNIX_EPOCH};

/// A seed of this moment.
pub(super) fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    u64::try_from(now % u128::from(u64::MAX)).unwrap_or(0)
}

/// A row of random numbers.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// One of these, or none of them, each as often.
    pub(super) fn one_of_or_none<'a>(&mut self, these: &[&'a str]) -> Option<&'a str> {
        let at = self.below(these.len() as u64 + 1);
        usize::try_from(at).ok().and_then(|at| these.get(at)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_every_choice_comes() {
        let row = |seed| {
            let mut dice = Dice::new(seed);
            (0..50).map(|_| dice.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(row(7), row(7));
        assert_ne!(row(7), row(8));
        let mut dice = Dice::new(1);
        let chosen: std::collections::BTreeSet<_> =
            (0..100).map(|_| dice.one_of_or_none(&["a", "b"])).collect();
        assert_eq!(chosen.len(), 3);
    }
}
