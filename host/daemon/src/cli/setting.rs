//! `--set key=value`: one configuration key, given on the command line.

use std::str::FromStr;

/// A dotted key and the text of its value. Whether the key exists is for the configuration to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Such as `test_runner.timeout_s`.
    pub(crate) key: String,
    /// The value as text.
    pub(crate) value: String,
}

impl FromStr for Setting {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err("write it as key=value, such as test_runner.timeout_s=60".to_owned()),
        }
    }
}
