//! What it is called when a run doesn't answer, or not sensibly. The table is in the [crate's documentation](crate).

use std::time::Duration;

use stagewright_engine::outcome::Fault;
use wasmtime::Trap;
use wasmtime::component::ResourceTableError;

use crate::limits::Counter;
use crate::seam::TooManyCalls;
use crate::text;
use crate::wasi::{Exited, TooMuchRandomness};

/// The longest evidence, in bytes.
const MAX_EVIDENCE: usize = 4_000;

/// A component computed for longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("the component computed for more than {} s", .0.as_secs_f32())]
pub(crate) struct TooMuchComputing(pub(crate) Duration);

/// A call into a component that ended by an error. `begun` tells whether the component was ready to run by then.
pub(crate) fn failed(error: &wasmtime::Error, counter: &Counter, begun: bool) -> Fault {
    let evidence = text::block(format!("{error:#}"), MAX_EVIDENCE);
    let (code, message) = if error.is::<TooMuchComputing>() {
        ("component-overran", error.root_cause().to_string())
    } else if error.is::<TooManyCalls>()
        || error.is::<TooMuchRandomness>()
        || matches!(error.downcast_ref(), Some(ResourceTableError::Full))
        || is_a_limit_of_wasmtimes(error)
    {
        ("component-over-limit", error.root_cause().to_string())
    } else if counter.refused {
        (
            "component-out-of-memory",
            "the component wanted more memory or larger tables than it may have".to_owned(),
        )
    } else if error.is::<Exited>() {
        ("component-exited", error.root_cause().to_string())
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        ("component-trapped", format!("the component trapped: {trap}"))
    } else if begun {
        // What is left once it runs: text that is no UTF-8, pointers and lengths outside of its memory, cases that a
        // variant doesn't have, handles that it doesn't hold.
        (
            "component-answered-nonsense",
            format!("the component broke the rules of its interface: {}", error.root_cause()),
        )
    } else {
        (
            "component-not-started",
            format!("the component could not be made ready to run: {}", error.root_cause()),
        )
    };
    authors(Fault::new(code, message)).with_evidence(evidence)
}

/// Too much was handed over, or too many handles were held or lent. wasmtime has no types for these; a test of each
/// fails if a later version has other words.
fn is_a_limit_of_wasmtimes(error: &wasmtime::Error) -> bool {
    let words = error.root_cause().to_string();
    words.contains("fuel allocated for hostcalls") || words.contains("store handle limit exceeded")
}

/// It ran for longer than it may, waiting included.
pub(crate) fn overran(wall: Duration) -> Fault {
    authors(Fault::new(
        "component-overran",
        format!("the component ran for more than {} s", wall.as_secs_f32()),
    ))
}

/// It answered, and the answer makes no sense.
pub(crate) fn nonsense(why: &str) -> Fault {
    authors(Fault::new(
        "component-answered-nonsense",
        format!("the component's answer makes no sense: {why}"),
    ))
}

/// No room for it came free within its time.
pub(crate) fn no_room(runs: u32) -> Fault {
    Fault::new("sandbox-full", format!("{runs} components were running all the time that this run had"))
        .with_remedy("if that happens often, raise `limits.jobs`, or give the runs more time")
}

/// The host itself failed.
pub(crate) fn host_failed(what: &str) -> Fault {
    Fault::new("sandbox-failed", "the host failed while it ran the component; this is a fault of stagewright")
        .with_evidence(text::block(what.to_owned(), MAX_EVIDENCE))
        .with_remedy("report it with the lines above")
}

fn authors(fault: Fault) -> Fault {
    fault.with_remedy("this is a fault of the producer, not of the code under test: tell its author")
}
