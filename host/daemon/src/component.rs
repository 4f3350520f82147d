//! Which file a producer's component is, and the digest that it must have.
//!
//! What the operator names stands above what is built in, so a built-in producer can be replaced by a newer file
//! without a new program. Either way there is a pin: no component is run by its name alone.

use std::collections::BTreeSet;
use std::path::PathBuf;

use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_sandbox::Capability;

use crate::config::Config;
use crate::installation::{self, Installation};

/// A component's file and pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Where it lies.
    pub file: PathBuf,
    /// SHA-256 of its bytes, in lower-case hex.
    pub sha256: String,
    /// Whether it came with this program.
    pub built_in: bool,
}

/// Finds the component of a producer. It does not look at the file.
pub fn locate(
    config: &Config,
    installation: &Installation,
    producer: &ProducerName,
) -> Result<Component, installation::Error> {
    let configured = config.producers.get(producer).map(|producer| &producer.producer);
    if let Some((Some(file), Some(sha256))) =
        configured.map(|producer| (&producer.component, &producer.sha256))
    {
        return Ok(Component { file: file.clone(), sha256: sha256.to_ascii_lowercase(), built_in: false });
    }
    let builtin = installation.builtin(producer.as_str())?;
    Ok(Component { file: builtin.file, sha256: builtin.sha256, built_in: true })
}

/// The capabilities that a producer is granted for one repository.
pub fn granted(config: &Config, producer: &ProducerName, repo: &RepoName) -> BTreeSet<Capability> {
    let process = config.programs(producer, repo).map(|_| Capability::Process);
    let files = config.files_granted(producer).then_some(Capability::Files);
    let probe = config.endpoints(producer).map(|_| Capability::Probe);
    let ssh = config.targets(producer, repo).map(|_| Capability::Ssh);
    let llm = config.roles_of(producer, None).map(|_| Capability::Llm);
    [process, files, probe, ssh, llm].into_iter().flatten().collect()
}
