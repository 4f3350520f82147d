//! What is loaded and what is refused: pins, imports, the cache of compiled components.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::path::{Path, PathBuf};

use stagewright_engine::outcome::{Judgement, Outcome};
use stagewright_sandbox::{Capabilities, Capability, Compiler, Config, LoadError, Sandbox};
use support::{Run, deferred, guest, limits, sandbox, verdict};

/// A component in the text format, as a file.
fn component(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("component.wasm");
    std::fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    file
}

/// The entries of compiled components.
fn entries(cache: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

/// A folder for a cache, and a small component that compiles at once.
struct Own {
    folder: tempfile::TempDir,
}

impl Own {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn sandbox(&self) -> Sandbox {
        sandbox(self.cache(), 2)
    }

    /// Loads it, and shows by a run that what was loaded works.
    async fn works(&self) {
        let producer = self.sandbox().load("well-behaved", &guest("well-behaved"), None).unwrap();
        let produced = Run::new("nothing").on(&producer, limits()).await;
        assert_eq!(verdict(&produced).judgement, Judgement::Pass, "{produced:?}");
    }
}

#[test]
fn a_file_that_changed_is_refused_by_its_pin_and_told_with_both_digests() {
    let own = Own::new();
    let file = own.folder.path().join("producer.wasm");
    std::fs::copy(guest("well-behaved"), &file).unwrap();
    let sandbox = own.sandbox();
    let pin = sandbox.load("good", &file, None).unwrap().digest().to_owned();
    assert!(sandbox.load("good", &file, Some(&pin.to_uppercase())).is_ok());

    let mut bytes = std::fs::read(&file).unwrap();
    // A custom section at the end: another file, and the same component.
    bytes.extend([0, 2, 1, b'x']);
    std::fs::write(&file, bytes).unwrap();
    let error = sandbox.load("good", &file, Some(&pin)).unwrap_err();
    let LoadError::PinMismatch { expected, found, .. } = &error else { panic!("{error}") };
    assert_eq!(*expected, pin);
    assert_ne!(*found, pin);
    assert!(error.to_string().contains(&pin) && error.to_string().contains(found), "{error}");
    assert_eq!(error.code(), "component-changed");
}

#[test]
fn a_new_version_is_loaded_without_a_new_sandbox_while_the_old_one_can_still_run() {
    let own = Own::new();
    let file = own.folder.path().join("producer.wasm");
    let sandbox = own.sandbox();
    std::fs::copy(guest("well-behaved"), &file).unwrap();
    let old = sandbox.load("p", &file, None).unwrap();
    std::fs::copy(guest("asks-for-a-model"), &file).unwrap();
    let new = sandbox.load("p", &file, None).unwrap();
    assert_ne!(old.digest(), new.digest());
    assert!(old.imports().capabilities.is_empty());
    assert!(new.imports().capabilities.contains(&Capability::Llm));
}

#[test]
fn a_capability_that_is_not_granted_is_refused_with_the_key_that_would_grant_it() {
    let own = Own::new();
    let producer = own.sandbox().load("evil", &guest("hostile"), None).unwrap();
    assert_eq!(producer.imports().capabilities, [Capability::Process].into());
    assert!(producer.check(&[Capability::Process].into()).is_ok());
    let error = producer.check(&[Capability::Files].into()).unwrap_err();
    assert!(error.to_string().contains("producers.evil.grants.process.programs"), "{error}");
    assert_eq!(error.code(), "capability-not-granted");
}

#[tokio::test]
async fn a_run_without_the_capabilities_that_are_imported_is_held_and_nothing_is_run() {
    let own = Own::new();
    let producer = own.sandbox().load("evil", &guest("hostile"), None).unwrap();
    let mut run = Run::new("idle-pass");
    run.capabilities = Capabilities::default();
    let produced = run.on(&producer, limits()).await;
    let Outcome::Held(fault) = &produced.outcome else { panic!("{produced:?}") };
    assert_eq!(fault.code, "capability-not-granted");
    assert_eq!(produced.usage.peak_memory, 0, "an instance was made");
}

#[test]
fn the_way_to_a_model_is_refused_without_its_grant_and_open_with_it() {
    let own = Own::new();
    let producer = own.sandbox().load("evil", &guest("asks-for-a-model"), None).unwrap();
    let others = Capability::ALL.into_iter().filter(|capability| *capability != Capability::Llm);
    let error = producer.check(&others.collect()).unwrap_err();
    assert!(matches!(error, LoadError::NotGranted { capability: Capability::Llm, .. }), "{error}");
    assert!(error.to_string().contains("producers.evil.grants.llm.roles"), "{error}");
    producer.check(&Capability::ALL.into()).unwrap();
}

#[tokio::test]
async fn an_import_that_nobody_gets_is_shown_and_refused_by_name_with_the_reason() {
    let own = Own::new();
    let file =
        component(own.folder.path(), r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)))"#);
    let producer = own.sandbox().load("snake", &file, None).unwrap();
    assert_eq!(producer.imports().unknown, ["wasi:http/outgoing-handler@0.2.0"]);
    let error = producer.check(&Capability::ALL.into()).unwrap_err();
    assert!(
        error.to_string().contains("wasi:http/outgoing-handler@0.2.0")
            && error.to_string().contains("of WASI"),
        "{error}"
    );
    let produced = Run::new("nothing").on(&producer, limits()).await;
    assert!(matches!(&produced.outcome, Outcome::Held(fault) if fault.code == "component-import-unknown"));
}

#[test]
fn what_is_no_component_or_no_producer_is_refused_with_the_reason() {
    let own = Own::new();
    let file = own.folder.path().join("x.wasm");
    for bytes in [b"".as_slice(), b"hello", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0\xff\xff"] {
        std::fs::write(&file, bytes).unwrap();
        let error = own.sandbox().load("x", &file, None).unwrap_err();
        assert!(matches!(error, LoadError::NotAProducer { .. }), "{bytes:?}: {error}");
    }
    let file = component(own.folder.path(), "(component)");
    let error = own.sandbox().load("x", &file, None).unwrap_err();
    assert!(
        matches!(&error, LoadError::NotAProducer { reason, .. } if reason.contains("producer")),
        "{error}"
    );
    for missing in [own.folder.path().join("nothing.wasm"), own.folder.path().to_owned()] {
        let error = own.sandbox().load("x", &missing, None).unwrap_err();
        assert!(matches!(error, LoadError::Unreadable { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_truncated_or_forged_entry_of_the_cache_is_compiled_anew() {
    let own = Own::new();
    own.works().await;
    let [entry] = <[PathBuf; 1]>::try_from(entries(&own.cache())).unwrap();
    let good = std::fs::read(&entry).unwrap();

    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let truncated = good[..good.len() / 2].to_vec();
    // Whoever can't read the key can't seal: a digest over the code, where the seal should be, is none.
    let mut forged = good.clone();
    forged[8..40].fill(7);
    for (what, poison) in
        [("flipped", flipped), ("truncated", truncated), ("forged", forged), ("empty", Vec::new())]
    {
        std::fs::write(&entry, poison).unwrap();
        own.works().await;
        assert_eq!(std::fs::read(&entry).unwrap().len(), good.len(), "{what}: not compiled anew");
    }
}

#[tokio::test]
async fn an_entry_that_is_renamed_to_pass_for_another_component_is_not_believed() {
    let own = Own::new();
    let other = own.sandbox().load("other", &guest("asks-for-a-model"), None).unwrap();
    let [others] = <[PathBuf; 1]>::try_from(entries(&own.cache())).unwrap();
    let code = std::fs::read(&others).unwrap();
    own.works().await;
    let entry = entries(&own.cache()).into_iter().find(|entry| *entry != others).unwrap();
    assert!(others.to_string_lossy().contains(other.digest()));
    std::fs::write(&entry, code).unwrap();
    own.works().await;
}

#[tokio::test]
async fn an_entry_that_another_host_sealed_is_not_believed() {
    let (own, foreign) = (Own::new(), Own::new());
    own.works().await;
    foreign.works().await;
    let [entry] = <[PathBuf; 1]>::try_from(entries(&own.cache())).unwrap();
    let [theirs] = <[PathBuf; 1]>::try_from(entries(&foreign.cache())).unwrap();
    std::fs::copy(theirs, &entry).unwrap();
    let before = std::fs::read(&entry).unwrap();
    own.works().await;
    assert_ne!(std::fs::read(&entry).unwrap(), before, "the foreign entry was taken");
}

#[test]
fn a_second_start_takes_the_component_from_the_cache_and_not_from_the_compiler() {
    let own = Own::new();
    own.sandbox().load("p", &guest("well-behaved"), None).unwrap();
    let nothing_compiles = Compiler::Child("/bin/false".into(), Vec::new());
    let config = |cache| Config { cache, compiler: nothing_compiles.clone(), max_runs: 2 };
    let second = Sandbox::new(config(own.cache())).unwrap();
    second.load("p", &guest("well-behaved"), None).unwrap();
    let elsewhere = Sandbox::new(config(own.folder.path().join("empty"))).unwrap();
    let error = elsewhere.load("p", &guest("well-behaved"), None).unwrap_err();
    assert!(matches!(error, LoadError::Compiler(_)), "{error}");
}

/// A producer whose functions only trap, with a memory of so many pages and these further parts.
fn producer_with(pages: u32, parts: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (memory (export "memory") {pages})
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "stagewright:producer/producer@1.0.0#describe") (result i32) unreachable)
            (func (export "stagewright:producer/producer@1.0.0#preflight") (param i32 i32) (result i32) unreachable)
            (func (export "stagewright:producer/producer@1.0.0#produce") (param i32) (result i32) unreachable)
            {parts})"#
    );
    let mut module = wat::parse_str(text).unwrap();
    let mut wit = wit_parser::Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/v1");
    let (package, _) = wit.push_path(folder).unwrap();
    let world = wit.select_world(&[package], Some("base")).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &wit, world, encoding).unwrap();
    wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// The fault of a run of that producer.
async fn fault_of(component: &[u8]) -> String {
    let own = Own::new();
    let file = own.folder.path().join("producer.wasm");
    std::fs::write(&file, component).unwrap();
    let producer = own.sandbox().load("odd", &file, None).unwrap();
    let produced = Run::new("nothing").on(&producer, limits()).await;
    deferred(&produced).code.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_the_instance_is_made_is_limited_like_everything_else() {
    let endless = producer_with(1, "(func $start (loop $l br $l)) (start $start)");
    assert_eq!(fault_of(&endless).await, "component-overran");
    let trap = producer_with(1, "(func $start unreachable) (start $start)");
    assert_eq!(fault_of(&trap).await, "component-trapped");
    let memory = producer_with(1_100, "");
    assert_eq!(fault_of(&memory).await, "component-out-of-memory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_bomb_runs_out_of_memory() {
    let grow = "(table $t 1 funcref) (func $start (loop $l
        (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable) (start $start)";
    assert_eq!(fault_of(&producer_with(1, grow)).await, "component-out-of-memory");
    let initial = producer_with(1, "(table 45000 funcref) (table 45000 funcref) (table 45000 funcref)");
    assert_eq!(fault_of(&initial).await, "component-out-of-memory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_does_not_fit_the_pool_runs_on_demand() {
    // The pool has room for eight tables of one component, and a store for 32.
    assert_eq!(fault_of(&producer_with(1, &"(table 1 funcref) ".repeat(20))).await, "component-trapped");
    assert_eq!(fault_of(&producer_with(1, &"(table 1 funcref) ".repeat(40))).await, "component-not-started");
}

#[tokio::test]
async fn a_component_says_what_it_is_before_it_is_granted_anything() {
    let own = Own::new();
    let producer = own.sandbox().load("evil", &guest("hostile"), None).unwrap();
    let said = producer.describe().await.unwrap();
    assert_eq!(said.name, "hostile");
    assert!(said.settings_schema.contains("attack"), "{}", said.settings_schema);
}
