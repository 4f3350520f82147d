//! The wish that the daemon should end, in two steps: first nothing new is begun, then what runs is ended.

use tokio::sync::watch;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everybody works.
    Running,
    /// Nothing new is begun; what runs goes on.
    Draining,
    /// What runs is ended. Its jobs go back into the queue.
    Ending,
}

/// The wish; clones share it. It only ever grows.
#[derive(Clone, Debug)]
pub struct Stop {
    phase: watch::Sender<Phase>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Running) }
    }
}

impl Stop {
    /// Goes on to `phase`, and never back.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until it has come to `phase` or further.
    pub async fn reached(&self, phase: Phase) {
        let mut seen = self.phase.subscribe();
        // It can't be closed: this value holds a sender.
        let _ = seen.wait_for(|now| *now >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_wish_to_end_is_heard_by_all_and_never_taken_back() {
        let stop = Stop::default();
        let other = stop.clone();
        let waiting = tokio::spawn(async move { other.reached(Phase::Draining).await });
        stop.enter(Phase::Ending);
        stop.enter(Phase::Draining);
        waiting.await.unwrap();
        assert_eq!(stop.phase(), Phase::Ending);
    }
}
