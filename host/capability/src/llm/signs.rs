//! What an agent or a server says of its failure, read for the three causes that call for something of their own:
//! ask later, mend the credential, pay.
//!
//! It is asked about failures only. Words can't turn one into an answer, nor an answer into a failure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Failure, FailureKind};

/// A wait that is longer than this is no wait.
const LONGEST_WAIT: Duration = Duration::from_secs(31 * 24 * 3_600);

const NO_CREDIT: [&str; 4] = [
    "credit balance is too low",
    "insufficient_quota",
    "insufficient credits",
    "exceeded your current quota",
];
const RATE_LIMIT: [&str; 8] = [
    "rate_limit",
    "rate limit",
    "ratelimit",
    "overloaded",
    "usage limit reached",
    "hit your limit",
    "hit your usage limit",
    "too many requests",
];
const UNAUTHORIZED: [&str; 9] = [
    "invalid api key",
    "invalid x-api-key",
    "incorrect api key",
    "please run /login",
    "not logged in",
    "authentication_error",
    "invalid_api_key",
    "token has expired",
    "unauthorized",
];

/// A cause that is known by its signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Too much was asked, for as long as is told.
    RateLimited(Option<Duration>),
    /// The credential is not taken.
    Unauthorized,
    /// There is no money on the account.
    NoCredit,
}

impl Sign {
    /// What the HTTP status, if there was one, and the words show.
    pub(super) fn of(status: Option<u64>, words: &str) -> Option<Self> {
        let words = words.to_lowercase();
        let has = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
        let is = |codes: &[u64]| codes.iter().any(|&code| status == Some(code) || says_status(&words, code));
        if is(&[402]) || has(&NO_CREDIT) {
            Some(Self::NoCredit)
        } else if is(&[429, 529]) || (status.is_none_or(|code| code >= 500) && has(&RATE_LIMIT)) {
            Some(Self::RateLimited(told_time(&words)))
        } else if is(&[401, 403]) || (status.is_none() && has(&UNAUTHORIZED)) {
            Some(Self::Unauthorized)
        } else {
            None
        }
    }

    /// The failure for it, and the wait that was told. `who` and the operator's way out are named, and what was said.
    pub(super) fn failure(self, who: &str, said: &str) -> (Failure, Option<Duration>) {
        match self {
            Self::RateLimited(wait) => {
                let when = wait.map_or_else(
                    || "try again later".to_owned(),
                    |wait| format!("retry after {} s", wait.as_secs()),
                );
                let message = format!("{who} is at its rate limit; {when}: {said}");
                (Failure::new(FailureKind::Transient, "llm-rate-limited", message), wait)
            }
            Self::Unauthorized => {
                let message = format!("{who} does not take the credential; give it a valid one: {said}");
                (Failure::new(FailureKind::Permanent, "llm-unauthorized", message), None)
            }
            Self::NoCredit => {
                let message = format!("{who} has no credit left; add some to its account: {said}");
                (Failure::new(FailureKind::Permanent, "llm-no-credit", message), None)
            }
        }
    }
}

/// Whether the words give this number as a status, as in `API Error: 429`: a bare number may be anything.
fn says_status(words: &str, code: u64) -> bool {
    let code = code.to_string();
    let mut before = "";
    words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).any(|word| {
        let found = word == code && matches!(before, "error" | "status" | "http" | "code");
        before = word;
        found
    })
}

/// The time after `usage limit reached|<seconds since 1970>`.
fn told_time(words: &str) -> Option<Duration> {
    let (_, after) = words.split_once("limit reached|")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(digits.parse().ok()?))?;
    believable(at.duration_since(SystemTime::now()).ok()?)
}

/// The wait of a `Retry-After` header that gives seconds.
pub(super) fn retry_after(header: &str) -> Option<Duration> {
    believable(Duration::from_secs(header.trim().parse().ok()?))
}

fn believable(wait: Duration) -> Option<Duration> {
    (wait <= LONGEST_WAIT).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_real_failures_are_known() {
        let limited = Some(Sign::RateLimited(None));
        for (words, sign) in [
            ("API Error: 429 {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}", limited),
            ("API Error: 529 Overloaded", limited),
            ("You've hit your limit · resets 3pm (UTC)", limited),
            ("Claude AI usage limit reached|1", limited),
            ("Invalid API key · Please run /login", Some(Sign::Unauthorized)),
            ("Failed to authenticate. API Error: 401 terminated", Some(Sign::Unauthorized)),
            ("Credit balance is too low", Some(Sign::NoCredit)),
            ("API Error: 500 Internal server error", None),
            ("the suite ended after 429 ms with 401 tests", None),
            ("", None),
        ] {
            assert_eq!(Sign::of(None, words), sign, "{words}");
        }
    }

    #[test]
    fn the_end_of_a_usage_limit_is_the_time_to_ask_again() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let sign = Sign::of(None, &format!("Claude AI usage limit reached|{}", now + 3_600)).unwrap();
        let (failure, wait) = sign.failure("the agent", "");
        assert_eq!((failure.kind, failure.code), (FailureKind::Transient, "llm-rate-limited"));
        assert!((3_500..=3_600).contains(&wait.unwrap().as_secs()), "{wait:?}");
        assert!(failure.message.contains("retry after 35"), "{failure}");
        assert_eq!(told_time("usage limit reached|99999999999999999999"), None);
        assert_eq!(told_time(&format!("limit reached|{}", u64::MAX)), None);
        assert_eq!(retry_after(" 12 "), Some(Duration::from_secs(12)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), None);
    }
}
