//! The wish that a run should end, with its cause. It is set once; the first cause stands.

use std::sync::{Arc, OnceLock};

use stagewright_engine::outcome::Cause;
use tokio_util::sync::CancellationToken;

/// A wish that can be heard by many. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    token: CancellationToken,
    cause: Arc<OnceLock<Cause>>,
}

impl Cancel {
    /// A wish that nobody has uttered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Utters it. Again, or with another cause: changes nothing.
    pub fn cancel(&self, cause: Cause) {
        // The cause stands before anybody is woken who would ask for it.
        if self.cause.set(cause).is_ok() {
            self.token.cancel();
        }
    }

    /// The cause, if it was uttered.
    pub fn cause(&self) -> Option<Cause> {
        self.cause.get().copied()
    }

    /// Waits until it is uttered.
    pub async fn cancelled(&self) -> Cause {
        self.token.cancelled().await;
        self.cause().unwrap_or(Cause::Operator)
    }
}
