//! Which new files are not work but garbage: what the repository's own `.gitignore` files say.
//!
//! Only those files count, not what a user or a machine has configured, and not `.git/info/exclude` of the clone. A
//! `.gitignore` that is a link is no `.gitignore`, as in git.

use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::base::name;

/// The `.gitignore` files from the top down to the folder that is being read.
#[derive(Default)]
pub(super) struct Ignored {
    /// How long the folder's path is, with its `/`, and what its file says.
    files: Vec<(usize, Gitignore)>,
}

impl Ignored {
    /// Goes into a folder whose `.gitignore` has this text.
    pub(super) fn enter(&mut self, prefix: &[u8], text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let mut builder = GitignoreBuilder::new("");
        for line in text.strip_prefix('\u{feff}').unwrap_or(&text).lines() {
            // A pattern that can't be understood matches nothing.
            let _ = builder.add_line(None, line);
        }
        self.files.push((prefix.len(), builder.build().unwrap_or_else(|_| Gitignore::empty())));
    }

    /// Comes back out of a folder.
    pub(super) fn leave(&mut self, prefix: &[u8]) {
        self.files.pop_if(|(length, _)| *length == prefix.len());
    }

    /// Whether the nearest file that says anything about `path` says that it is ignored. Its folders were asked about before.
    pub(super) fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        for (length, file) in self.files.iter().rev() {
            let below = path.get(*length..).unwrap_or_default();
            match file.matched(Path::new(name(below)), is_folder) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_decides() {
        let mut ignored = Ignored::default();
        ignored.enter(b"", b"\xef\xbb\xbf*.log\r\n/build/\n[\n# target\n\\#x\n");
        assert!(ignored.matches(b"a.log", false) && ignored.matches(b"deep/er/a.log", false));
        assert!(ignored.matches(b"build", true) && !ignored.matches(b"build", false));
        assert!(!ignored.matches(b"src/build", true) && ignored.matches(b"#x", false));
        ignored.enter(b"src/", b"!keep.log\n/out\n");
        assert!(!ignored.matches(b"src/keep.log", false) && ignored.matches(b"src/other.log", false));
        assert!(ignored.matches(b"src/out", false) && !ignored.matches(b"src/deep/out", false));
        ignored.leave(b"src/");
        assert!(ignored.matches(b"src/keep.log", false));
    }
}
