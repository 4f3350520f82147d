//! From a component's bytes to native code, in this process or in a child.
//!
//! A hostile component can't make the compiler run its code, but it can make it work for hours and fill the memory.
//! The child bounds that: it limits its own processor time and memory before it reads the component, the size of its
//! answer is limited, and a wall clock ends it. What the child answers is trusted, since it is this program.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use wasmtime::Engine;

use crate::{Compiler, engine};

/// The largest component that is loaded, in bytes. One of Python has 18 MB.
pub(crate) const MAX_COMPONENT: u64 = 128 << 20;
/// The largest compiled code that a child may answer.
const MAX_CODE: u64 = 1 << 30;
/// How long a child may compile. A component of Python takes half a minute on a slow machine.
const CHILD_WALL: Duration = Duration::from_secs(300);

/// Why there is no compiled code.
pub(crate) enum Failure {
    /// The component can't be compiled.
    Component(String),
    /// The compiler itself couldn't be run.
    Compiler(String),
}

/// Compiles a component.
pub(crate) fn compile(engine: &Engine, compiler: &Compiler, component: &[u8]) -> Result<Vec<u8>, Failure> {
    match compiler {
        Compiler::InProcess => {
            engine.precompile_component(component).map_err(|error| Failure::Component(format!("{error:#}")))
        }
        Compiler::Child(program, args) => {
            let mut command = Command::new(program);
            // Nothing of ours is inherited: no token, and no variable that changes how code is compiled.
            command.args(args).env_clear();
            in_child(command, component)
        }
    }
}

fn in_child(mut command: Command, component: &[u8]) -> Result<Vec<u8>, Failure> {
    let unusable = |what: &str, error: std::io::Error| Failure::Compiler(format!("{what}: {error}"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| unusable("it can't be started", error))?;
    let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Failure::Compiler("its pipes are missing".to_owned()));
    };
    let (answer, answered) = mpsc::channel();
    let received = std::thread::scope(|threads| {
        threads.spawn(move || {
            // A child that gives up early closes its end; its exit and its words tell why.
            let _ = stdin.write_all(component);
        });
        threads.spawn(move || {
            let mut code = Vec::new();
            let read = stdout.take(MAX_CODE + 1).read_to_end(&mut code).map(|_| code);
            let _ = answer.send(read);
        });
        let words = threads.spawn(move || {
            let mut words = Vec::new();
            let _ = stderr.by_ref().take(16 << 10).read_to_end(&mut words);
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            String::from_utf8_lossy(&words).trim().to_owned()
        });
        let code = answered.recv_timeout(CHILD_WALL);
        // Until it has closed its output it may still write; after that it has nothing to do but end.
        if !matches!(&code, Ok(Ok(code)) if (code.len() as u64) <= MAX_CODE) {
            let _ = child.kill();
        }
        let status = child.wait();
        (code, status, words.join().unwrap_or_default())
    });
    match received {
        (Err(_), ..) => {
            Err(Failure::Component(format!("compiling it took more than {} s", CHILD_WALL.as_secs())))
        }
        (_, Err(error), _) => Err(unusable("its end is not known", error)),
        (Ok(Err(error)), ..) => Err(unusable("its answer can't be read", error)),
        (Ok(Ok(code)), Ok(status), words) => match status.code() {
            Some(0) if !code.is_empty() => Ok(code),
            Some(REFUSED) => Err(Failure::Component(words)),
            _ => Err(Failure::Compiler(format!("it ended with {status}. {words}"))),
        },
    }
}

/// A child's exit code for a component that can't be compiled, apart from a panic's 101 and a signal.
const REFUSED: i32 = 2;

/// Compiles a component: what the compiling child does, after it has limited itself. The code is the same as this
/// process would make.
///
/// # Errors
/// The reason why it can't be compiled.
pub fn precompile(component: &[u8]) -> Result<Vec<u8>, String> {
    // On demand, since a pool would need more address space than the child's limit leaves.
    let engine = engine::on_demand().map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(component).map_err(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_shell(script: &str) -> Result<Vec<u8>, Failure> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        // Larger than a pipe holds, so that a child that doesn't read it would block a careless parent.
        in_child(command, &vec![0; 1 << 20])
    }

    #[test]
    fn a_child_that_refuses_a_component_tells_why() {
        let refused = by_shell("echo 'not a component' >&2; exit 2");
        assert!(matches!(refused, Err(Failure::Component(why)) if why == "not a component"));
    }

    #[test]
    fn a_child_that_dies_is_a_fault_of_the_compiler_and_not_of_the_component() {
        for script in ["kill -9 $$", "exit 101", "exit 0"] {
            assert!(matches!(by_shell(script), Err(Failure::Compiler(_))), "{script}");
        }
    }

    #[test]
    fn what_a_child_answers_is_taken_whole() {
        let code = by_shell("cat; cat /dev/zero | head -c 1000000 >&2");
        assert!(matches!(code, Ok(code) if code.len() == 1 << 20));
    }
}
