//! A component's import list read as its list of capabilities.
//!
//! What a component doesn't use disappears as it is made, so its imports say before it runs what it could reach.
//! What it can reach is what it imports *and* the operator granted; an import without a grant, or one that this host
//! doesn't know, is refused when the component is loaded. Nothing is stubbed out to make a component fit.

use std::collections::BTreeSet;
use std::fmt;

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::wasi;

/// Something that only a grant lets a component do. To log, to read the clock and to notice a cancellation need none, and
/// neither does WASI, by which nothing is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Local processes in the run's clone.
    Process,
    /// Commands on remote hosts.
    Ssh,
    /// The run's files.
    Files,
    /// Read-only HTTP requests.
    Probe,
    /// A language model.
    Llm,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Process, Self::Ssh, Self::Files, Self::Probe, Self::Llm];

    /// Its interface's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Ssh => "ssh",
            Self::Files => "files",
            Self::Probe => "probe",
            Self::Llm => "llm",
        }
    }

    /// The configuration key, below `producers.<name>.`, that grants it.
    pub const fn grant_key(self) -> &'static str {
        match self {
            Self::Process => "grants.process.programs",
            Self::Ssh => "grants.ssh.targets",
            Self::Files => "grants.files",
            Self::Probe => "grants.probe.endpoints",
            Self::Llm => "grants.llm.roles",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a component imports: everything that it could reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// Capabilities.
    pub capabilities: BTreeSet<Capability>,
    /// Interfaces of WASI that it is given, as they are written. It reaches nothing by them.
    pub wasi: Vec<String>,
    /// Imports that no component gets, as they are written.
    pub unknown: Vec<String>,
}

impl Imports {
    /// Reads them off a component.
    pub(crate) fn of(component: &Component) -> Self {
        let engine = component.engine();
        let kind = component.component_type();
        let mut imports = Self::default();
        for (name, import) in kind.imports(engine) {
            // A type at the root is another name for one of an interface that is imported as well.
            if !matches!(import.ty, ComponentItem::Type(_)) {
                imports.add(name);
            }
        }
        imports
    }

    fn add(&mut self, name: &str) {
        match known(name) {
            Some(Import::Capability(capability)) => {
                self.capabilities.insert(capability);
            }
            Some(Import::Free) => {}
            None if wasi::serves(name) => self.wasi.push(name.to_owned()),
            None => self.unknown.push(name.chars().take(200).flat_map(char::escape_debug).collect()),
        }
    }
}

enum Import {
    Capability(Capability),
    Free,
}

/// The versions of the interface that this host serves: 1.0.x. A minor version that adds functions is listed here
/// when it is served, so that a component made for a later one is refused and not half run.
fn known(name: &str) -> Option<Import> {
    let rest = name.strip_prefix("stagewright:producer/")?;
    let (interface, version) = rest.split_once('@')?;
    version.strip_prefix("1.0.").filter(|patch| patch.bytes().all(|digit| digit.is_ascii_digit()))?;
    match interface {
        "host" | "types" => Some(Import::Free),
        _ => Capability::ALL
            .into_iter()
            .find(|capability| capability.name() == interface)
            .map(Import::Capability),
    }
}

/// Why nobody gets this import, and the way out.
pub(crate) fn why_unknown(name: &str) -> &'static str {
    if name.starts_with("stagewright:producer/") {
        "it belongs to another version of the plugin interface; this host serves stagewright:producer@1.0.x"
    } else if name.starts_with("wasi:") {
        "of WASI a component is given `cli`, `clocks`, `filesystem`, `io`, `random` and `sockets` at 0.2, with no file and \
         no network behind them, and nothing else; build it without this import (jco: disable `http` and `fetch-event`; \
         Rust: for wasm32-unknown-unknown, which needs no WASI)"
    } else {
        "it is not part of stagewright:producer, and a component gets nothing else"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(name: &str) -> Imports {
        let mut imports = Imports::default();
        imports.add(name);
        imports
    }

    #[test]
    fn an_interface_of_ours_is_the_capability_of_its_name() {
        for capability in Capability::ALL {
            let imports = imports(&format!("stagewright:producer/{capability}@1.0.0"));
            assert_eq!(imports.capabilities, BTreeSet::from([capability]));
        }
        assert_eq!(imports("stagewright:producer/host@1.0.0"), Imports::default());
    }

    #[test]
    fn whatever_else_is_imported_is_unknown() {
        for name in [
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:cli/environment@0.3.0",
            "stagewright:producer/process@2.0.0",
            "stagewright:producer/process@1.1.0",
            "stagewright:producer/process@1.0.0-rc",
            "stagewright:producer/process",
            "stagewright:producer/shell@1.0.0",
            "evil",
        ] {
            assert_eq!(imports(name).unknown, [name], "{name} was taken for something known");
        }
    }

    #[test]
    fn wasi_that_is_served_is_neither_a_capability_nor_unknown() {
        let imports = imports("wasi:cli/environment@0.2.0");
        assert_eq!(imports.wasi, ["wasi:cli/environment@0.2.0"]);
        assert!(imports.capabilities.is_empty() && imports.unknown.is_empty());
    }

    #[test]
    fn a_name_with_control_characters_is_shown_escaped() {
        assert!(!imports("a\u{1b}[31m").unknown[0].contains('\u{1b}'));
    }
}
