//! Compiled components on disk, so that a start costs a fraction of a millisecond and not a compilation.
//!
//! An entry is named by the component's digest and by everything of the engine that compiled code depends
//! on; its first 32 bytes are the digest of the rest. What does not fit is thrown away and compiled anew: a
//! truncated or foreign entry never reaches the engine. That nobody but the host can write an entry is the
//! state folder's to see to.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::Compiler;
use crate::engine::Engines;

/// How long a compiling child process may take.
const COMPILE_TIME: Duration = Duration::from_secs(120);

/// The compiled component with these bytes: from the cache, else compiled and put there.
pub(crate) fn compiled(engines: &Engines, bytes: &[u8], digest: &str) -> Result<Component, String> {
    let entry = entry(&engines.config.cache, &engines.engine, digest);
    if let Some(code) = read(&entry)
        && let Some(component) = load(&engines.engine, &code)
    {
        return Ok(component);
    }
    let code = compile(engines, bytes)?;
    // A cache that can't be written costs time and nothing else.
    let _ = write(&entry, &code);
    load(&engines.engine, &code).ok_or_else(|| "the compiled component does not load".to_owned())
}

fn entry(folder: &Path, engine: &Engine, digest: &str) -> PathBuf {
    let mut hash = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hash);
    folder.join(format!("{digest}-{:016x}.bin", hash.finish()))
}

fn read(entry: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(entry).ok()?;
    let (digest, code) = bytes.split_first_chunk::<32>()?;
    if Sha256::digest(code).as_slice() == digest {
        return Some(code.to_vec());
    }
    let _ = fs::remove_file(entry);
    None
}

fn write(entry: &Path, code: &[u8]) -> io::Result<()> {
    let folder = entry.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Written aside and renamed: a reader sees a whole entry or none.
    let aside = folder.join(format!(".{}-{}", std::process::id(), uuid::Uuid::now_v7().simple()));
    let mut file = fs::File::options().write(true).create_new(true).open(&aside)?;
    file.write_all(&Sha256::digest(code))?;
    file.write_all(code)?;
    fs::rename(&aside, entry).inspect_err(|_| {
        let _ = fs::remove_file(&aside);
    })
}

#[allow(unsafe_code)]
fn load(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: `deserialize` asks for bytes that `precompile_component` made. These were made by it in this
    // process or in the compiling child of ours, or read from an entry whose digest, written together with
    // them by this host into a folder that foreign code can't write, was just compared. wasmtime itself
    // refuses code of another version or other settings.
    unsafe { Component::deserialize(engine, code) }.ok()
}

fn compile(engines: &Engines, bytes: &[u8]) -> Result<Vec<u8>, String> {
    match &engines.config.compiler {
        Compiler::InProcess => {
            engines.engine.precompile_component(bytes).map_err(|error| format!("{error:#}"))
        }
        Compiler::Child(program, args) => in_child(program, args, bytes),
    }
}

fn in_child(program: &Path, args: &[String], bytes: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("{}: {error}", program.display());
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A child that ends early does not read all of it; its own message tells why.
            let _ = stdin.map(|mut stdin| stdin.write_all(bytes));
        });
        let code = scope.spawn(|| read_all(stdout));
        let message = scope.spawn(|| read_all(stderr));
        let status = loop {
            match child.try_wait().map_err(failed)? {
                Some(status) => break status,
                None if begun.elapsed() > COMPILE_TIME => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("compiling took longer than {} s", COMPILE_TIME.as_secs()));
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let code = code.join().unwrap_or_default();
        let message = message.join().unwrap_or_default();
        if status.success() {
            return Ok(code);
        }
        let message: String = String::from_utf8_lossy(&message).trim().chars().take(2_000).collect();
        Err(if message.is_empty() { format!("the compiling process ended with {status}") } else { message })
    })
}

fn read_all(stream: Option<impl io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let _ = stream.take(1 << 30).read_to_end(&mut bytes);
    }
    bytes
}
