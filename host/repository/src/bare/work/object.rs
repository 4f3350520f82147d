//! The name that git gives to a file's bytes: what tells a changed file from an unchanged one.

use std::io::{self, Read};

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The hash of a repository's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Sha1,
    Sha256,
}

impl Format {
    /// The name of an object with these bytes.
    pub(super) fn object(self, bytes: &[u8]) -> String {
        match self {
            Self::Sha1 => hex(&begun::<Sha1>(bytes.len() as u64).chain_update(bytes).finalize()),
            Self::Sha256 => hex(&begun::<Sha256>(bytes.len() as u64).chain_update(bytes).finalize()),
        }
    }

    /// The same for what a reader has; `None` if that is not `size` bytes.
    pub(super) fn object_of(self, from: impl Read, size: u64) -> io::Result<Option<String>> {
        match self {
            Self::Sha1 => read(begun::<Sha1>(size), from, size),
            Self::Sha256 => read(begun::<Sha256>(size), from, size),
        }
    }
}

/// A hash that has seen the head that git puts before a file's bytes.
fn begun<D: Digest>(size: u64) -> D {
    D::new().chain_update(format!("blob {size}\0"))
}

fn read<D: Digest>(mut hash: D, mut from: impl Read, size: u64) -> io::Result<Option<String>> {
    let mut buffer = [0; 16 << 10];
    let mut left = size;
    loop {
        let count = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        match left.checked_sub(bytes.len() as u64) {
            Some(rest) => left = rest,
            None => return Ok(None),
        }
        hash.update(bytes);
    }
    Ok((left == 0).then(|| hex(&hash.finalize())))
}

fn hex(digest: &[u8]) -> String {
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_the_names_that_git_gives_them() {
        assert_eq!(Format::Sha1.object(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
        let read = Format::Sha256.object_of(&b"hello\n"[..], 6).unwrap().unwrap();
        assert_eq!(read, Format::Sha256.object(b"hello\n"));
        assert_eq!(read, "2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4");
    }

    #[test]
    fn a_file_that_is_shorter_or_longer_than_it_was_has_no_name() {
        assert_eq!(Format::Sha1.object_of(&b"hello"[..], 6).unwrap(), None);
        assert_eq!(Format::Sha1.object_of(&b"hello\n"[..], 5).unwrap(), None);
    }
}
