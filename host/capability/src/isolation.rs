//! Which isolation this machine has, tried for real: a shepherd is started and says what it could enforce.

use crate::process::Shepherd;
use stagewright_shepherd::protocol::{Request, Word};

/// What keeps a run's processes in their bounds on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// As it stands in artifacts: `landlock-7`, or `none`.
    pub name: String,
    /// How long the shepherd took to start a command.
    pub start: std::time::Duration,
}

impl Isolation {
    /// Whether anything keeps them.
    pub fn is_any(&self) -> bool {
        self.name != "none"
    }
}

/// Starts `/bin/true` under the shepherd and tells what it was confined by.
pub async fn available(shepherd: &Shepherd) -> Result<Isolation, crate::Failure> {
    let request = Request {
        program: "/bin/true".into(),
        cwd: "/".into(),
        confine: true,
        read: crate::process::system_roots(),
        ..Request::default()
    };
    let begun = std::time::Instant::now();
    let mut flock = shepherd.start(&request).await?;
    let mut found = None;
    while let Some(word) = flock.next_word().await {
        match word {
            Word::Started { isolation, .. } => {
                found = Some(Isolation { name: isolation, start: begun.elapsed() });
            }
            Word::Failed { what, .. } => return Err(crate::process::start_failed(&what)),
            Word::Gone | Word::Lost(_) => break,
            Word::Exited(_) => {}
        }
    }
    found.ok_or_else(|| crate::process::start_failed("the shepherd ended without a word"))
}
