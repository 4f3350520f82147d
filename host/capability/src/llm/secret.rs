//! Values that must never be shown, and taking them out of whatever is kept or told.
//!
//! Only values that the grant knows are found, whole ones of at least [`SHORTEST`] bytes: shorter ones would
//! take innocent words with them. A value that an agent has turned into something else, such as base64, is not found.

use std::sync::Arc;

use serde_json::Value;

/// The shortest value that is looked for, in bytes.
pub(super) const SHORTEST: usize = 8;

/// A value that is handed to a model's program or server and shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret with this value. White space around it, such as the end of a file's line, is no part of it.
    pub fn new(value: &str) -> Self {
        Self(value.trim().to_owned())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// Replaces secrets by `[secret NAME]`.
#[derive(Clone, Debug, Default)]
pub(super) struct Redactor {
    /// Longest first, so that a secret that begins with another one goes as a whole.
    forms: Arc<[Form]>,
}

/// One way in which a secret may be written.
#[derive(Clone)]
struct Form {
    bytes: Vec<u8>,
    mark: String,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.mark)
    }
}

impl Redactor {
    /// Looks for these secrets, each with its name.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a Secret)>) -> Self {
        let mut forms = Vec::new();
        for (name, Secret(value)) in secrets {
            if value.len() >= SHORTEST {
                let mark = format!("[secret {name}]");
                forms
                    .extend(written(value).map(|text| Form { bytes: text.into_bytes(), mark: mark.clone() }));
            }
        }
        forms.sort_by(|a, b| (b.bytes.len(), &a.bytes).cmp(&(a.bytes.len(), &b.bytes)));
        forms.dedup_by(|a, b| a.bytes == b.bytes);
        Self { forms: forms.into() }
    }

    /// The text without them.
    pub(super) fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.scan(text.as_bytes(), true).0).into_owned()
    }

    /// Takes them out of bytes that come in pieces.
    pub(super) fn pieces(&self) -> Pieces {
        Pieces { redactor: self.clone(), held: Vec::new() }
    }

    /// What may be shown, and how many bytes that took. The rest may be the beginning of a secret; there is none
    /// when these are the `last` bytes: then the beginning of a secret goes like a whole one.
    fn scan(&self, bytes: &[u8], last: bool) -> (Vec<u8>, usize) {
        let mut shown = Vec::with_capacity(bytes.len());
        let mut at = 0;
        'bytes: while at < bytes.len() {
            let rest = &bytes[at..];
            for form in self.forms.iter().filter(|form| form.bytes[0] == rest[0]) {
                let begun = rest.len() < form.bytes.len() && form.bytes.starts_with(rest);
                if begun && !last {
                    return (shown, at);
                }
                if rest.starts_with(&form.bytes) || (begun && rest.len() >= SHORTEST) {
                    shown.extend_from_slice(form.mark.as_bytes());
                    at += form.bytes.len().min(rest.len());
                    continue 'bytes;
                }
            }
            shown.push(rest[0]);
            at += 1;
        }
        (shown, at)
    }
}

/// Bytes that come in pieces, of which a secret may cross the borders.
#[derive(Debug)]
pub(super) struct Pieces {
    redactor: Redactor,
    held: Vec<u8>,
}

impl Pieces {
    /// Takes a piece; gives what may be shown by now.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let (shown, taken) = self.redactor.scan(&self.held, false);
        self.held.drain(..taken);
        shown
    }

    /// A text of its own, apart from the pieces.
    pub(super) fn whole(&self, text: &str) -> String {
        self.redactor.text(text)
    }

    /// The longest way of writing a secret, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.redactor.forms.first().map_or(0, |form| form.bytes.len())
    }

    /// What is left when nothing more comes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.redactor.scan(&std::mem::take(&mut self.held), true).0
    }
}

/// The ways in which a transcript writes a value: as it is; in a JSON string, also one of those that escape slashes
/// or everything beyond ASCII; in JSON that is itself in a string, as in a tool's output.
fn written(value: &str) -> impl Iterator<Item = String> {
    let json = in_json(value);
    let ascii = ascii_only(&json);
    [value.to_owned(), json.replace('/', "\\/"), in_json(&json), in_json(&ascii), ascii, json].into_iter()
}

fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn ascii_only(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if c.is_ascii() {
            plain.push(c);
        } else {
            let mut units = [0; 2];
            plain.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    plain
}

/// The beginning of a text that may hold secrets, cut at a space: a part of a secret at a cut would not be known for one.
pub(super) fn shortened(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let cut = &text[..text.floor_char_boundary(max)];
    cut.rsplit_once(char::is_whitespace).map_or("", |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redactor(secrets: &[(&str, &str)]) -> Redactor {
        let secrets: Vec<_> = secrets.iter().map(|(name, value)| (*name, Secret::new(value))).collect();
        Redactor::new(secrets.iter().map(|(name, secret)| (*name, secret)))
    }

    #[test]
    fn a_secret_is_replaced_by_its_name_in_each_way_of_writing_it() {
        let redactor = redactor(&[("KEY", "a/b\"c\\dé-long")]);
        for written in [
            r#"a/b"c\dé-long"#,
            r#"a/b\"c\\dé-long"#,
            r#"a\/b\"c\\dé-long"#,
            r#"a/b\"c\\d\u00e9-long"#,
            r#"a/b\\\"c\\\\dé-long"#,
        ] {
            assert_eq!(redactor.text(&format!("<{written}>")), "<[secret KEY]>", "{written}");
        }
    }

    #[test]
    fn of_two_secrets_that_begin_alike_the_longer_goes_as_a_whole() {
        let redactor = redactor(&[("SHORT", "sk-12345"), ("LONG", "sk-12345-67890")]);
        assert_eq!(
            redactor.text("sk-12345-67890 sk-12345 sk-12345-6"),
            "[secret LONG] [secret SHORT] [secret LONG]"
        );
    }

    #[test]
    fn short_values_are_left_alone_and_white_space_is_no_part_of_one() {
        let redactor = redactor(&[("SHORT", "1234567"), ("FILE", "from-a-file\n")]);
        assert_eq!(redactor.text("1234567 from-a-file."), "1234567 [secret FILE].");
        assert_eq!(format!("{:?}", Secret::new("from-a-file")), "[secret]");
    }

    #[test]
    fn the_beginning_of_a_secret_at_the_end_is_not_shown() {
        let redactor = redactor(&[("KEY", "0123456789abcdef")]);
        assert_eq!(redactor.text("x 0123456789"), "x [secret KEY]");
        assert_eq!(redactor.text("x 0123"), "x 0123");
    }

    proptest! {
        #[test]
        fn pieces_show_what_the_whole_shows(text in "[ab01]{0,60}", cuts in prop::collection::vec(0usize..8, 0..40)) {
            let redactor = redactor(&[("A", "ab01ab01"), ("B", "ab01ab01ba"), ("C", "0101abab0")]);
            let mut pieces = redactor.pieces();
            let (mut shown, mut rest) = (Vec::new(), text.as_bytes());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                shown.extend(pieces.take(piece));
                rest = after;
            }
            shown.extend(pieces.take(rest));
            shown.extend(pieces.rest());
            prop_assert_eq!(String::from_utf8(shown).unwrap(), redactor.text(&text));
        }
    }
}
