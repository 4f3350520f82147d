//! WASI for components of languages whose runtime can't do without: Python, JavaScript, Go.
//!
//! It is an exact list of interfaces, and behind each stands as little as a runtime can live with. A component reaches
//! nothing by them, so they need no grant; what it wants to reach it asks of our own interfaces.
//!
//! | interfaces | what a component is given |
//! |---|---|
//! | `clocks/*` | the run's clock, and the time of day at which the run began plus that clock |
//! | `random/*` | the seam's randomness, also where WASI would allow less |
//! | `cli/stdout`, `cli/stderr` | the run's log, line by line (`info`, `warn`), within the limit on its lines |
//! | `cli/stdin` | a stream that is at its end |
//! | `cli/environment` | no variables, no arguments, no folder |
//! | `cli/terminal-*` | no terminal |
//! | `cli/exit` | the end of the run as a fault, whatever status is given: it is no verdict |
//! | `io/*` | streams and waiting for the above |
//! | `filesystem/*` | no folder to begin with, and so no file |
//! | `sockets/*` | every socket and every name is denied |
//!
//! Everything else by the name of `wasi:` (`http`, `keyvalue`, `config`, …) is refused as the component is loaded.
//!
//! # Versions
//!
//! A component is made for one 0.2.x, and wasmtime defines the latest it knows. wasmtime's linker takes an import for
//! any definition that is semver-compatible with it (`alternate_lookup_key` in `wasmtime-environ`: up to the minor
//! number, as long as the major one is 0), older or newer. A newer one that uses a function this host doesn't have is
//! refused by the linker as it is loaded. Pre-releases, 0.1 and 0.3 are other interfaces.
//!
//! # What bounds it
//!
//! Each call counts against the limit on host calls; handles lie in the run's own table, with its limit; what one call
//! hands over is bounded like every other. Whatever doesn't wait is counted as the component's own computing, and only
//! `poll` and `block` stop that watch: they can wait until the run's time is over and no longer.

mod host;
mod output;

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtx, WasiSocketsCtxView};
use wasmtime_wasi_io::bindings::wasi::io;

pub(crate) use host::{Exited, TooMuchRandomness};
use output::Output;

use crate::log::Log;
use crate::run::RunState;

/// The interfaces, without the version. [`link`] defines exactly these.
const INTERFACES: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Whether a component may import this.
pub(crate) fn serves(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    let patch = version.strip_prefix("0.2.");
    INTERFACES.contains(&interface)
        && patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit()))
}

/// What WASI keeps for one run.
pub(crate) struct Wasi {
    output: Output,
    // Both as they are made: no folder is open, and no use of a network is allowed.
    files: WasiFilesystemCtx,
    sockets: WasiSocketsCtx,
}

impl Wasi {
    pub(crate) fn new(log: &Log) -> Self {
        Self {
            output: Output::new(log),
            files: WasiFilesystemCtx::default(),
            sockets: WasiSocketsCtx::default(),
        }
    }

    /// The run is over: what was written without a line's end is logged as it is.
    pub(crate) fn end(&self) {
        self.output.end();
    }
}

/// Streams and errors: what they stand for is in the run's table.
struct Handles;

impl HasData for Handles {
    type Data<'a> = &'a mut ResourceTable;
}

// Each of these is asked at every call of an interface that wasmtime-wasi implements, so each counts the call.

fn handles(state: &mut RunState) -> &mut ResourceTable {
    state.seam.count();
    &mut state.handles
}

fn files(state: &mut RunState) -> WasiFilesystemCtxView<'_> {
    state.seam.count();
    WasiFilesystemCtxView { ctx: &mut state.wasi.files, table: &mut state.handles }
}

fn network(state: &mut RunState) -> WasiSocketsCtxView<'_> {
    state.seam.count();
    WasiSocketsCtxView { ctx: &mut state.wasi.sockets, table: &mut state.handles }
}

/// Gives a component that imports WASI what it may have of it.
pub(crate) fn link(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    // What says or shows something of the world is ours.
    type Ours = HasSelf<RunState>;
    let ours: fn(&mut RunState) -> &mut RunState = |state| state;
    clocks::monotonic_clock::add_to_linker::<_, Ours>(linker, ours)?;
    clocks::wall_clock::add_to_linker::<_, Ours>(linker, ours)?;
    random::random::add_to_linker::<_, Ours>(linker, ours)?;
    random::insecure::add_to_linker::<_, Ours>(linker, ours)?;
    random::insecure_seed::add_to_linker::<_, Ours>(linker, ours)?;
    cli::environment::add_to_linker::<_, Ours>(linker, ours)?;
    cli::exit::add_to_linker::<_, Ours>(linker, ours)?;
    cli::stdin::add_to_linker::<_, Ours>(linker, ours)?;
    cli::stdout::add_to_linker::<_, Ours>(linker, ours)?;
    cli::stderr::add_to_linker::<_, Ours>(linker, ours)?;
    cli::terminal_input::add_to_linker::<_, Ours>(linker, ours)?;
    cli::terminal_output::add_to_linker::<_, Ours>(linker, ours)?;
    cli::terminal_stdin::add_to_linker::<_, Ours>(linker, ours)?;
    cli::terminal_stdout::add_to_linker::<_, Ours>(linker, ours)?;
    cli::terminal_stderr::add_to_linker::<_, Ours>(linker, ours)?;
    io::poll::add_to_linker::<_, Ours>(linker, ours)?;

    // What works on handles that the above gave out, and what has nothing to work on, is wasmtime-wasi's.
    io::error::add_to_linker::<_, Handles>(linker, handles)?;
    io::streams::add_to_linker::<_, Handles>(linker, handles)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, files)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, files)?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, network)?;
    sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, network)?;
    let options = sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<_, WasiSockets>(linker, &options, network)?;
    sockets::tcp::add_to_linker::<_, WasiSockets>(linker, network)?;
    sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, network)?;
    sockets::udp::add_to_linker::<_, WasiSockets>(linker, network)?;
    sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_of_the_list_is_served_at_every_0_2_and_at_nothing_else() {
        for version in ["0.2.0", "0.2.9", "0.2.12"] {
            assert!(serves(&format!("wasi:io/poll@{version}")), "{version}");
        }
        for version in ["0.1.0", "0.3.0", "1.2.0", "0.2", "0.2.", "0.2.0-rc-2023-11-10", "0.2.x"] {
            assert!(!serves(&format!("wasi:io/poll@{version}")), "{version}");
        }
        assert!(!serves("wasi:io/poll"));
    }

    #[test]
    fn what_is_not_on_the_list_is_not_served() {
        for interface in ["wasi:http/outgoing-handler", "wasi:cli/run", "wasi:clocks/timezone", "wasi:io"] {
            assert!(!serves(&format!("{interface}@0.2.0")), "{interface}");
        }
    }
}
