//! Compiled components, kept between starts of the host.
//!
//! An entry is native code: to load one that somebody else wrote is to run their program. So an entry is believed only
//! with a seal, an HMAC-SHA256 under a key that this host made at random and keeps beside the entries. The folder is
//! the host's own (mode 0700) and out of reach of what runs confine; the seal is what notices the rest: a cache that
//! was copied from elsewhere, a half-written or damaged file, an entry that was renamed to pass for another
//! component's. It can't help against somebody who can read the key; nothing in this folder could.
//!
//! An entry that doesn't hold is removed and compiled anew. A cache that can't be written costs time and nothing else.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::Error;

/// First bytes of every entry; the number grows when the layout changes.
const MAGIC: &[u8; 8] = b"stgwrt\x00\x01";
const SEAL: usize = 32;

/// The folder of compiled components.
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
}

impl Cache {
    /// Opens the folder, and makes it and its key if they aren't there.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Cache { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
        let file = folder.join("key");
        let key = read_or_make_key(&file).map_err(failed(&file))?;
        Ok(Self { folder: folder.to_owned(), key })
    }

    /// The component from its entry, if there is one that holds.
    pub(crate) fn get(&self, engine: &Engine, component: &str) -> Option<Component> {
        let file = self.entry(engine, component);
        let bytes = fs::read(&file).ok()?;
        let Some(code) = self.unseal(&bytes, &file) else {
            tracing::warn!(file = %file.display(), "a compiled component was damaged or not written by this host; it is compiled anew");
            let _ = fs::remove_file(&file);
            return None;
        };
        match load(engine, code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!(file = %file.display(), error = format!("{error:#}"), "a compiled component does not load");
                None
            }
        }
    }

    /// Keeps compiled code. Whoever reads meanwhile sees the whole entry or none.
    pub(crate) fn put(&self, engine: &Engine, component: &str, code: &[u8]) {
        let file = self.entry(engine, component);
        if let Err(error) = self.write(&file, code) {
            tracing::warn!(file = %file.display(), %error, "a compiled component can't be kept; it is compiled again at the next start");
        }
    }

    /// Named by the component and by everything about engine and machine that its code depends on.
    fn entry(&self, engine: &Engine, component: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.folder.join(format!("{component}-{:016x}.cwasm", hasher.finish()))
    }

    fn write(&self, file: &Path, code: &[u8]) -> std::io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let draft = file.with_extension(format!("draft-{}-{number}", std::process::id()));
        let written = (|| {
            let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            out.write_all(MAGIC)?;
            out.write_all(&self.seal(file, code))?;
            out.write_all(code)?;
            // No fsync: an entry that a power cut left half written doesn't hold, and is compiled anew.
            fs::rename(&draft, file)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written
    }

    fn unseal<'a>(&self, bytes: &'a [u8], file: &Path) -> Option<&'a [u8]> {
        let (seal, code) = bytes.strip_prefix(MAGIC)?.split_at_checked(SEAL)?;
        // Compared by digests of both, so that the time taken tells nothing about how much was right.
        (Sha256::digest(seal) == Sha256::digest(self.seal(file, code))).then_some(code)
    }

    /// HMAC-SHA256 (RFC 2104) over the entry's name and code.
    fn seal(&self, file: &Path, code: &[u8]) -> [u8; SEAL] {
        let pad = |with: u8| {
            let mut block = [with; 64];
            block.iter_mut().zip(self.key).for_each(|(byte, key)| *byte ^= key);
            block
        };
        let name = file.file_name().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
        let inner = Sha256::new()
            .chain_update(pad(0x36))
            .chain_update(name)
            .chain_update([0])
            .chain_update(code)
            .finalize();
        Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
    }
}

/// The key appears whole or not at all, so that two hosts that start at once agree on one.
fn read_or_make_key(file: &Path) -> std::io::Result<[u8; 32]> {
    if let Ok(bytes) = fs::read(file)
        && let Ok(key) = bytes.try_into()
    {
        return Ok(key);
    }
    let draft = file.with_extension(format!("draft-{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut key = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?.write_all(&key)?;
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => match fs::read(file)?.try_into() {
            Ok(key) => Ok(key),
            Err(_) => Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "the key has not 32 bytes; remove the folder, it holds nothing that can't be made again",
            )),
        },
        Err(error) => Err(error),
    }
}

/// Turns compiled code into a component.
#[allow(unsafe_code, reason = "the one place where compiled code becomes runnable; the argument is below")]
pub(crate) fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` demands bytes that `Engine::precompile_component` made and nobody changed. They come from
    // two places. From the cache: the seal over exactly these bytes was just verified, and this host seals only what
    // its compiler has answered; they are in memory by then, so the file can change without effect. From the
    // compiler itself: this process, or the child that runs this same program. wasmtime checks version, target and
    // settings by itself.
    unsafe { Component::deserialize(engine, code) }
}
