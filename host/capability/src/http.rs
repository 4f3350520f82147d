//! The one HTTP client of this process, for probes and for models' servers.
//!
//! The addresses are the operator's and nobody else's: redirects are not followed, proxies from the environment are not used,
//! and no connection is held open, so that no question meets another's.

use std::error::Error;
use std::sync::OnceLock;

use reqwest::{Client, Response, redirect};

use crate::{Failure, FailureKind};

/// The client. It is made with the first question, since most runs have none and it reads the machine's certificates.
pub(crate) fn client() -> Result<&'static Client, Failure> {
    static CLIENT: OnceLock<Result<Client, String>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .user_agent(concat!("stagewright/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())
    });
    made.as_ref().map_err(|why| Failure::new(FailureKind::Permanent, "no-http-client", why.clone()))
}

/// The body of an answer; `None` if it has more than `limit` bytes.
pub(crate) async fn body(mut answer: Response, limit: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// What is behind an error, from the outside to the inside.
pub(crate) fn causes(error: &reqwest::Error) -> Vec<&(dyn Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    causes
}

/// The error with all that is behind it.
pub(crate) fn told(error: &reqwest::Error) -> String {
    causes(error).into_iter().fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}
