//! Wraps core modules as components: `xtask-componentize <module.wasm> <component.wasm> …`, in pairs.
//!
//! A program of its own, so that `cargo xtask` starts in seconds and this, which is slower to build, is built as
//! a visible step and only when a component has to be made. It refuses a module that imports anything which its
//! own WIT metadata doesn't declare, such as WASI: our components import our interfaces and nothing else.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use wit_component::ComponentEncoder;

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let (pairs, rest) = paths.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return refuse("usage: xtask-componentize <module.wasm> <component.wasm> …");
    }
    for [module, component] in pairs {
        if let Err(reason) = wrap(Path::new(module), Path::new(component)) {
            return refuse(&format!("{module} can't be made a component: {reason}"));
        }
    }
    ExitCode::SUCCESS
}

/// Writes the component beside its final name and renames it, so that a reader never sees half of one; leaves the
/// file alone when it already holds these bytes.
fn wrap(module: &Path, component: &Path) -> Result<(), String> {
    let module = fs::read(module).map_err(|error| error.to_string())?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))?;
    if fs::read(component).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let unfinished = component.with_extension(format!("wasm-{}", std::process::id()));
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, component))
        .map_err(|error| format!("{} can't be written: {error}", component.display()))
}

#[allow(clippy::print_stderr, reason = "a command tells its user what is wrong")]
fn refuse(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}
