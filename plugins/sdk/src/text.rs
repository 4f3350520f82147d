//! Text as a report or a fault shows it: bounded, without control characters, in blocks that it can't leave.

/// The text on one line, without control characters.
#[must_use]
pub fn plain_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control()).filter(|piece| !piece.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// The last `lines` lines of `text`, and of those at most the last `bytes` bytes.
#[must_use]
pub fn last_lines(text: &str, lines: usize, bytes: usize) -> &str {
    let text = text.trim_end();
    let start =
        text.rmatch_indices('\n').nth(lines.saturating_sub(1)).map_or(0, |(at, _)| at.saturating_add(1));
    bounded_tail(text.get(start..).unwrap_or(text), bytes)
}

/// At most the first `limit` bytes, cut between characters.
pub(crate) fn bounded_head(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or("")
}

/// At most the last `limit` bytes, cut between characters.
pub(crate) fn bounded_tail(text: &str, limit: usize) -> &str {
    let start = text.ceil_char_boundary(text.len().saturating_sub(limit));
    text.get(start..).unwrap_or("")
}

/// The text with its lines, and without colours and other control sequences.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

/// Adds a fenced block that no fence in its text can end.
pub fn fence(text: &mut String, inside: &str) {
    let longest = inside.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.saturating_add(1).max(3));
    text.push_str(&format!("{fence}text\n{}\n{fence}\n", inside.trim_end()));
}

/// The text with a capital at its beginning.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A duration in seconds, to the tenth.
#[must_use]
pub fn seconds(duration_ms: u64) -> String {
    let tenths = duration_ms.saturating_add(50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// A command as a shell would take it.
#[must_use]
pub fn command<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    let words = words.into_iter().map(|word| {
        let plain =
            !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c));
        if plain { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_bounded_by_lines_and_by_bytes() {
        assert_eq!(last_lines("a\nb\nc\n", 2, 100), "b\nc");
        assert_eq!(last_lines("a\nb", 5, 100), "a\nb");
        assert_eq!(last_lines("äöü", 5, 3), "ü", "a cut never splits a character");
        assert_eq!(last_lines("", 5, 3), "");
    }

    #[test]
    fn a_fence_in_the_text_does_not_end_the_block() {
        let mut text = String::new();
        fence(&mut text, "a\n````\nb");
        assert!(text.starts_with("`````text\n") && text.ends_with("\n`````\n"), "{text}");
    }

    #[test]
    fn a_command_is_shown_as_a_shell_would_take_it() {
        let words = ["sh", "-c", "echo 'a b'; $(x)", ""].map(str::to_owned);
        assert_eq!(command(&words), r"sh -c 'echo '\''a b'\''; $(x)' ''");
    }
}
