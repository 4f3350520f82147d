//! Attacks on time, stack and memory.

use std::hint::black_box;

use stagewright_sdk::Outcome;

use crate::pass;

pub(crate) fn endless_loop() -> Outcome {
    let mut number = 0_u64;
    while black_box(true) {
        number = black_box(number.wrapping_add(1));
    }
    pass(&number.to_string())
}

pub(crate) fn deep_recursion() -> Outcome {
    pass(&deeper(black_box(1)).to_string())
}

#[allow(
    unconditional_recursion,
    reason = "it is the attack; the compiler can't see the end that never comes"
)]
fn deeper(depth: u64) -> u64 {
    // The sum after the call keeps the compiler from making a loop of it.
    if black_box(depth) == 0 { 0 } else { deeper(black_box(depth + 1)) + black_box(depth) }
}

pub(crate) fn memory_bomb() -> Outcome {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
        black_box(&kept);
    }
}
