//! Names that come from outside and are used in paths, rows and command lines.
//!
//! Each is checked once, where it enters; a value of one of these types can be used without looking again.
//! None of them can hold a path separator, a leading dash, white space or a control character.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{text}` is not valid: {reason}")]
pub struct InvalidName {
    /// What the text was meant to name, such as `work item key`.
    pub what: &'static str,
    /// The text as it came, cut to a bounded length and with control characters escaped.
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl InvalidName {
    fn new(what: &'static str, text: &str, reason: impl Into<String>) -> Self {
        let text: String = text.chars().take(80).flat_map(char::escape_debug).collect();
        Self { what, text, reason: reason.into() }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes `text` if it is valid.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The tracker's key of a work item, such as `ORCH-116`: letters, digits, `-`, `_` and `.`, at most 64
    /// characters, beginning with a letter or digit. It names a folder in the repository.
    WorkItem, check_work_item
}

name! {
    /// A repository's name in the host's configuration, such as `shop` or `team.shop`. Same form as a work
    /// item's key.
    RepoName, check_repo
}

name! {
    /// A stage of the pipeline, such as `deploy-staging`: lower-case letters, digits and `-`, at most 40
    /// characters, beginning with a letter.
    StageName, check_stage
}

name! {
    /// A producer in the host's configuration, such as `test-runner`. Same form as a stage's name.
    ProducerName, check_producer
}

name! {
    /// An edge effect, such as `merge`. Same form as a stage's name.
    EffectName, check_effect
}

name! {
    /// A commit: 40 or 64 lower-case hex digits, never an abbreviation.
    CommitId, check_commit
}

name! {
    /// A branch without `refs/heads/`, by the rules of `git check-ref-format --branch`.
    BranchName, check_branch
}

impl CommitId {
    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        // Proof: the constructor admits 40 or 64 ASCII digits only.
        &self.0[..10]
    }
}

fn check_key(what: &'static str, text: &str) -> Result<(), InvalidName> {
    let Some(first) = text.chars().next() else {
        return Err(InvalidName::new(what, text, "it is empty"));
    };
    if !first.is_ascii_alphanumeric() {
        return Err(InvalidName::new(what, text, "it must begin with a letter or a digit"));
    }
    if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        let reason = format!("{bad:?} can't be part of it; use letters, digits, `-`, `_` and `.`");
        return Err(InvalidName::new(what, text, reason));
    }
    if text.contains("..") || text.ends_with('.') || text.ends_with(".lock") {
        return Err(InvalidName::new(what, text, "it can't contain `..` or end with `.` or `.lock`"));
    }
    if text.len() > 64 {
        return Err(InvalidName::new(what, text, "it is longer than 64 characters"));
    }
    Ok(())
}

fn check_work_item(text: &str) -> Result<(), InvalidName> {
    check_key("work item key", text)
}

fn check_repo(text: &str) -> Result<(), InvalidName> {
    check_key("repository name", text)
}

fn check_kebab(what: &'static str, text: &str) -> Result<(), InvalidName> {
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(InvalidName::new(what, text, "it must begin with a lower-case letter"));
    }
    if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(InvalidName::new(what, text, "use lower-case letters, digits and `-`"));
    }
    if text.len() > 40 {
        return Err(InvalidName::new(what, text, "it is longer than 40 characters"));
    }
    Ok(())
}

fn check_stage(text: &str) -> Result<(), InvalidName> {
    check_kebab("stage name", text)
}

fn check_producer(text: &str) -> Result<(), InvalidName> {
    check_kebab("producer name", text)
}

fn check_effect(text: &str) -> Result<(), InvalidName> {
    check_kebab("effect name", text)
}

fn check_commit(text: &str) -> Result<(), InvalidName> {
    let hex = text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if !hex || !matches!(text.len(), 40 | 64) {
        return Err(InvalidName::new("commit", text, "it must be 40 or 64 lower-case hex digits"));
    }
    Ok(())
}

fn check_branch(text: &str) -> Result<(), InvalidName> {
    let bad = |reason: &str| Err(InvalidName::new("branch name", text, reason));
    if text.is_empty() || text.len() > 240 {
        return bad("it must have 1 to 240 characters");
    }
    if text.starts_with('-') || text == "@" || text.ends_with('.') || text.ends_with('/') {
        return bad("it can't begin with `-`, end with `.` or `/`, or be `@`");
    }
    if text.contains("..") || text.contains("@{") || text.contains("//") {
        return bad("it can't contain `..`, `@{` or `//`");
    }
    if text.chars().any(|c| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')) {
        return bad("it can't contain white space, control characters or any of `~^:?*[\\`");
    }
    if text.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock")) {
        return bad("no part of it can be empty, begin with `.` or end with `.lock`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_item_key_can_not_leave_its_folder() {
        for text in ["", "..", "a/b", "../x", "-x", ".x", "a b", "a\nb", "a..b", "x.lock", &"k".repeat(65)] {
            assert!(WorkItem::new(text).is_err(), "{text:?} was taken");
        }
        for text in ["ORCH-116", "a", "7", "team.shop_2"] {
            assert!(WorkItem::new(text).is_ok(), "{text:?} was refused");
        }
    }

    #[test]
    fn an_error_shows_control_characters_escaped_and_cut() {
        let error = WorkItem::new(format!("a\u{1b}[31m{}", "x".repeat(500))).unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
        assert!(error.to_string().len() < 300);
    }

    #[test]
    fn a_commit_is_whole_and_in_lower_case() {
        assert!(CommitId::new("a".repeat(40)).is_ok());
        assert!(CommitId::new("a".repeat(64)).is_ok());
        for text in ["a".repeat(39), "A".repeat(40), "g".repeat(40), "HEAD".into()] {
            assert!(CommitId::new(text.clone()).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_branch_can_not_be_an_option_or_a_revision_expression() {
        for text in
            ["--upload-pack=x", "a..b", "a~1", "a^", "a:b", "@", "a@{1}", "a/.b", "a//b", "a.lock", "a b"]
        {
            assert!(BranchName::new(text).is_err(), "{text:?} was taken");
        }
        assert!(BranchName::new("feature/ORCH-116").is_ok());
    }
}
