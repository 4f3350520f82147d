//! Quoting for a POSIX shell that reads its program as one line.
//!
//! The shell gets the line by `read`, so there can be no line ends in it: each is written as the variable `n`, which
//! [`NEWLINE`] sets. Between single quotes everything else means itself, so that is all there is to it.

use std::fmt::Write as _;

/// Sets the variable that stands for a line end.
pub(super) const NEWLINE: &str = r#"n=$(printf '\nx'); n=${n%x};"#;

/// `text` as one word of a shell's line. It must have no NUL, which no shell could hold.
pub(super) fn quote(text: &str) -> String {
    let mut word = String::with_capacity(text.len() + 2);
    word.push('\'');
    for character in text.chars() {
        match character {
            '\'' => word.push_str(r"'\''"),
            '\n' => word.push_str(r#"'"$n"'"#),
            other => word.push(other),
        }
    }
    word.push('\'');
    word
}

/// Adds `name='value';`.
pub(super) fn assign(line: &mut String, name: &str, value: &str) {
    // Writing into a string does not fail.
    let _ = write!(line, " {name}={};", quote(value));
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    /// What arrives in a shell that reads the words from its input, each followed by NUL.
    fn through(shell: &[&str], words: &[String]) -> Vec<u8> {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).args(["-c", r#"IFS= read -r p && eval "$p""#]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let line = format!("{NEWLINE} set -- {}; [ $# -eq 0 ] || printf '%s\\0' \"$@\"\n", quoted.join(" "));
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    fn joined(words: &[String]) -> Vec<u8> {
        words.iter().flat_map(|word| word.bytes().chain([0])).collect()
    }

    /// The shells that are here.
    fn shells() -> Vec<Vec<&'static str>> {
        let all: [&[&str]; 4] = [&["sh"], &["dash"], &["bash"], &["busybox", "sh"]];
        let there = |shell: &&[&str]| {
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).args(["-c", ":"]).output().is_ok_and(|output| output.status.success())
        };
        all.into_iter().filter(there).map(<[&str]>::to_vec).collect()
    }

    #[test]
    fn odd_words_arrive_in_every_shell_that_is_here() {
        let words = [
            "",
            "-n",
            "--",
            "it's",
            "\"",
            "$(id)",
            "`id`",
            "${n}",
            "a;b",
            "a\nb",
            "\n",
            "\n\n",
            "\\",
            "\\n",
            "a\\",
            "*",
            "~",
            "!",
            "!!",
            "#x",
            " ",
            "\t",
            "\r\n",
            "A=b",
            "ä€😀",
            "\u{81}\u{88}\u{1}\u{7f}",
            "'",
            "''\n'",
        ];
        let mut words: Vec<String> = words.map(Into::into).to_vec();
        words.push("x'\n".repeat(33_000));
        for shell in shells() {
            assert!(through(&shell, &words) == joined(&words), "{shell:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn any_words_arrive_as_they_are(words in prop::collection::vec("[^\0]{0,40}", 0..6)) {
            prop_assert_eq!(through(&["sh"], &words), joined(&words));
        }

        #[test]
        fn words_made_of_what_shells_read_meanings_into_arrive_as_they_are(
            words in prop::collection::vec("['\"\\\\$`();&|<>*?!#~{}\\[\\]\n\r\t =a-]{0,30}", 0..6)
        ) {
            prop_assert_eq!(through(&["sh"], &words), joined(&words));
        }
    }
}
