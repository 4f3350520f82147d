//! The API token: made at the first start, kept in the state folder where no suite can read it (S4).
//!
//! It is compared in constant time, never logged, and never part of an answer. An operator may put another one in its file
//! while the daemon does not run.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// The fewest characters of a token: what is shorter can be guessed.
const LEAST: usize = 32;
/// The most.
const MOST: usize = 512;

/// The token. It has no text form on purpose.
#[derive(Clone)]
pub(crate) struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its file can't be read or made.
    #[error("the API token {path} can't be read or made: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody has put something else there.
    #[error(
        "the API token {path} is not one: it must be {LEAST} to {MOST} visible ASCII characters; remove the file, and the next start makes a new one"
    )]
    NotAToken {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// The token in this file, which is made if it is missing and closed to other users if it is not.
    pub(crate) fn read_or_make(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        if !path.exists() {
            make(path).map_err(failed)?;
        }
        let facts = fs::symlink_metadata(path).map_err(failed)?;
        if !facts.is_file() {
            return Err(Error::NotAToken { path: path.to_owned() });
        }
        if facts.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let token = text.trim_end_matches(['\n', '\r']);
        let is_one =
            (LEAST..=MOST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        if is_one { Ok(Self(token.to_owned())) } else { Err(Error::NotAToken { path: path.to_owned() }) }
    }

    /// Whether this is the token, in a time that does not tell how much of it is right.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

/// Two processes may start at once: the file appears whole, and the first one's stays.
fn make(path: &Path) -> io::Result<()> {
    // Each has 122 random bits from the kernel.
    let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let unfinished = path.with_extension(format!("{}", Uuid::new_v4()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let written = file.write_all(format!("{token}\n").as_bytes()).and_then(|()| file.sync_all());
    let put = written.and_then(|()| fs::hard_link(&unfinished, path));
    fs::remove_file(&unfinished)?;
    match put {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        put => put,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        Token::read_or_make(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(Token::read_or_make(&path).unwrap().is(text.trim().as_bytes()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something is left beside it");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Token::read_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_short_or_a_link_or_not_visible_is_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for text in ["", "short", &"a b".repeat(20), &"ä".repeat(40), &"a".repeat(513)] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Token::read_or_make(&path), Err(Error::NotAToken { .. })), "{text:?}");
        }
        fs::rename(&path, folder.path().join("other")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("other"), &path).unwrap();
        assert!(matches!(Token::read_or_make(&path), Err(Error::NotAToken { .. })));
    }

    #[test]
    fn only_the_whole_token_is_it_and_it_is_not_shown() {
        let token = Token("a".repeat(40));
        assert!(token.is("a".repeat(40).as_bytes()));
        for wrong in ["a".repeat(39), "a".repeat(41), "b".repeat(40), String::new()] {
            assert!(!token.is(wrong.as_bytes()));
        }
        assert_eq!(format!("{token:?}"), "Token");
    }
}
