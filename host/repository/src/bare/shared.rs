//! One look at a repository for all who wait for one.
//!
//! Whoever opens a copy wants it as new as the moment of asking. Many may ask while a look is under way, and each would fetch
//! the same again, one after the other. So the next look, which begins after all of them have asked, serves all of them.
//!
//! It refuses to be a cache: a look that began before somebody asked is never given to them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the looks of each key came to. Clones share it.
#[derive(Debug)]
pub(super) struct Looks<K, T>(Arc<Mutex<BTreeMap<K, Arc<Look<T>>>>>);

impl<K, T> Clone for Looks<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T> Default for Looks<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

#[derive(Debug)]
struct Look<T> {
    /// Numbers every question and every beginning of a look in the order in which they happen.
    order: AtomicU64,
    /// When the newest look began, and what came of it. Held by whoever looks.
    newest: tokio::sync::Mutex<Option<(u64, T)>>,
}

impl<K: Ord, T: Clone> Looks<K, T> {
    /// What a look that begins after this call comes to: somebody else's, or `look`. One that fails serves nobody else.
    pub(super) async fn share<E>(&self, key: K, look: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let shared = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Look { order: AtomicU64::new(0), newest: tokio::sync::Mutex::new(None) });
            Arc::clone(all.entry(key).or_insert_with(new))
        };
        let asked = shared.order.fetch_add(1, Ordering::SeqCst);
        let mut newest = shared.newest.lock().await;
        if let Some((began, found)) = &*newest
            && *began > asked
        {
            return Ok(found.clone());
        }
        let began = shared.order.fetch_add(1, Ordering::SeqCst);
        let found = look.await?;
        *newest = Some((began, found.clone()));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::Notify;

    use super::*;

    /// A repository whose looks can be counted; the first one waits until it is let go on.
    #[derive(Default)]
    struct Repository {
        looks: Cell<u32>,
        go_on: Notify,
    }

    impl Repository {
        async fn look(&self) -> Result<u32, &'static str> {
            self.looks.set(self.looks.get() + 1);
            let number = self.looks.get();
            if number == 1 {
                self.go_on.notified().await;
            }
            Ok(number)
        }
    }

    #[tokio::test]
    async fn those_who_ask_during_a_look_share_the_next_one() {
        let (looks, repository) = (Looks::default(), Repository::default());
        let ask = || looks.share("shop", repository.look());
        // Polled in this order: the others ask while the first one looks.
        let answers = tokio::join!(ask(), ask(), ask(), async { repository.go_on.notify_one() });
        assert_eq!((answers.0, answers.1, answers.2), (Ok(1), Ok(2), Ok(2)));
    }

    #[tokio::test]
    async fn who_asks_after_a_look_has_begun_never_gets_it() {
        let (looks, repository) = (Looks::default(), Repository::default());
        repository.go_on.notify_one();
        for number in 1..=3 {
            assert_eq!(looks.share("shop", repository.look()).await, Ok(number));
        }
    }

    #[tokio::test]
    async fn a_look_that_fails_or_is_given_up_serves_nobody() {
        let (looks, repository) = (Looks::<_, u32>::default(), Repository::default());
        assert_eq!(looks.share("shop", async { Err("no") }).await, Err("no"));
        let given_up = looks.share("shop", repository.look());
        assert!(tokio::time::timeout(std::time::Duration::ZERO, given_up).await.is_err());
        assert_eq!(looks.share("shop", repository.look()).await, Ok(2));
    }
}
