//! Where the daemon of a state folder can be asked: a small file beside the store, for whoever looks for it.
//!
//! The file alone proves nothing: a killed daemon leaves it behind. It is believed only while the instance that wrote it is
//! alive by its lock.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stagewright_engine::identity::InstanceId;
use stagewright_engine::lease::LockProbe;

use crate::instance;
use crate::state::StateDir;

/// A daemon that can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    /// Where it listens.
    pub(crate) http: SocketAddr,
    /// Which instance it is.
    pub(crate) instance: InstanceId,
    /// Its process, for people.
    pub(crate) pid: u32,
}

/// The file, which goes with this value.
#[derive(Debug)]
pub(crate) struct Published(PathBuf, Address);

impl Address {
    /// Writes the file whole, over whatever an earlier daemon has left.
    pub(crate) fn publish(self, state: &StateDir) -> io::Result<Published> {
        let path = state.address();
        let unfinished = path.with_extension(self.instance.to_string());
        fs::write(&unfinished, serde_json::to_vec(&self)?)?;
        fs::rename(&unfinished, &path)?;
        Ok(Published(path, self))
    }

    /// The daemon of this state folder, if one lives.
    pub(crate) fn find(state: &StateDir) -> Option<Self> {
        let found: Self = serde_json::from_slice(&fs::read(state.address()).ok()?).ok()?;
        let (lock, _) = instance::probe(&state.instances(), found.instance);
        (lock == LockProbe::Held).then_some(found)
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // Another daemon on the same state may have published itself since.
        let ours = fs::read(&self.0).ok().and_then(|text| serde_json::from_slice::<Address>(&text).ok());
        if ours.as_ref() == Some(&self.1) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::instance::Alive;

    #[test]
    fn an_address_is_believed_while_its_instance_lives_and_is_gone_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        state.make_parts().unwrap();
        assert_eq!(Address::find(&state), None);
        let alive = Alive::begin(&state.instances(), InstanceId::new(clock::new_id())).unwrap();
        let address = Address { http: ([127, 0, 0, 1], 8470).into(), instance: alive.id(), pid: 1 };
        let published = address.clone().publish(&state).unwrap();
        assert_eq!(Address::find(&state), Some(address.clone()));
        // Killed: the file stays, the lock does not.
        drop(alive);
        assert_eq!(Address::find(&state), None);
        // Another one has come: its file is not ours to remove.
        let other = Alive::begin(&state.instances(), InstanceId::new(clock::new_id())).unwrap();
        let later = Address { instance: other.id(), ..address }.publish(&state).unwrap();
        drop(published);
        assert!(Address::find(&state).is_some());
        drop(later);
        assert!(!state.address().exists());
    }
}
