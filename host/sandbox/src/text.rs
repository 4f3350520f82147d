//! What a component says, made fit to be shown: bounded, and without characters that steer a terminal.

/// One line of at most `max` characters; control characters become spaces.
pub(crate) fn line(text: &str, max: usize) -> String {
    text.chars().take(max).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Lines, at most `max` bytes in all; control characters other than line ends and tabs become `\u{fffd}`.
pub(crate) fn block(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(steers) { text.replace("\r\n", "\n").replace(steers, "\u{fffd}") } else { text }
}

/// Whether it is made of lower-case letters, digits and `-`, begins with a letter and has at most 60 characters.
pub(crate) fn is_kebab(text: &str) -> bool {
    text.len() <= 60
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_can_steer_a_terminal() {
        assert_eq!(line("a\u{1b}[2Jb\nc", 100), "a [2Jb c");
        assert_eq!(block("a\u{1b}[2J\r\n\tb\rc".to_owned(), 100), "a\u{fffd}[2J\n\tb\u{fffd}c");
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(block("aä".to_owned(), 2), "a");
        assert_eq!(line("äöü", 2), "äö");
    }

    #[test]
    fn a_code_is_kebab_case() {
        assert!(is_kebab("runner-missing-2"));
        for text in ["", "-a", "A", "a b", "a_b", "2a", &"a".repeat(61)] {
            assert!(!is_kebab(text), "{text:?} was taken");
        }
    }
}
