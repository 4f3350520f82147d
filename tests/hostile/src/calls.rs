//! Attacks by host calls.

use stagewright_sdk::{Child, Command, Event, Exit, Host, Level, Outcome, Process};

use crate::pass;

fn command(program: &str, args: &[&str]) -> Command {
    Command {
        program: program.to_owned(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: Vec::new(),
        cwd: None,
        stdin: Vec::new(),
        timeout_ms: None,
    }
}

/// A process that outlives every test that doesn't end it.
fn sleeper<C: Process>(host: &C) -> Option<C::Child> {
    host.spawn(&command("sleep", &["600"])).ok()
}

#[allow(clippy::panic, reason = "it is the attack")]
pub(crate) fn panic_with_a_child<C: Host + Process>(host: &C) -> Outcome {
    let _child = sleeper(host);
    panic!("with a child")
}

pub(crate) fn log_storm<C: Host>(host: &C) -> Outcome {
    loop {
        host.log(Level::Info, "a line of a storm");
    }
}

pub(crate) fn log_escapes<C: Host>(host: &C) -> Outcome {
    host.log(Level::Info, "before\u{1b}[2J\u{7}after");
    host.progress(1, 2, "half\u{1b}]0;title\u{7}");
    pass("it logged")
}

pub(crate) fn call_storm<C: Host>(host: &C) -> Outcome {
    loop {
        std::hint::black_box(host.now_ms());
    }
}

pub(crate) fn sleep_for_a_day<C: Host>(host: &C) -> Outcome {
    loop {
        host.sleep_ms(24 * 3_600 * 1_000);
    }
}

pub(crate) fn end_when_told<C: Host>(host: &C) -> Outcome {
    while host.cancelled().is_none() {
        host.sleep_ms(3_600 * 1_000);
    }
    pass("it was told to end")
}

pub(crate) fn wait_for_a_child<C: Host + Process>(host: &C) -> Outcome {
    host.log(Level::Info, "waiting");
    match host.run(&command("sleep", &["600"])) {
        Ok(done) => pass(&format!("{:?}", done.exit)),
        Err(failure) => pass(&failure.code),
    }
}

pub(crate) fn keep_handles<C: Process>(host: &C) -> Outcome {
    let mut kept = Vec::new();
    loop {
        kept.push(host.spawn(&command("true", &[])));
    }
}

pub(crate) fn drop_handles<C: Process>(host: &C) -> Outcome {
    for _ in 0..20 {
        drop(sleeper(host));
    }
    pass("it dropped twenty")
}

pub(crate) fn kill_storm<C: Process>(host: &C) -> Outcome {
    let Some(child) = sleeper(host) else { return pass("no child") };
    for _ in 0..1_000 {
        child.kill();
    }
    loop {
        if let Event::Ended(done) = child.next(1, 1_000) {
            return pass(&format!("{:?}", done.exit));
        }
    }
}

pub(crate) fn leave_a_child<C: Process>(host: &C) -> Outcome {
    std::mem::forget(sleeper(host));
    pass("it left one")
}

pub(crate) fn run_true<C: Process>(host: &C) -> Outcome {
    match host.run(&command("true", &[])) {
        Ok(done) if done.exit == Exit::Code(0) => pass("it ran"),
        other => pass(&format!("{other:?}")),
    }
}

pub(crate) fn huge_call<C: Process>(host: &C) -> Outcome {
    let stdin = vec![b'x'; 64 << 20];
    match host.run(&Command { stdin, ..command("true", &[]) }) {
        Ok(_) => pass("it went through"),
        Err(failure) => pass(&failure.code),
    }
}
