//! Standard output: the result of a command, and nothing else.

use std::io::{self, Write};

/// Writes `text` to standard output. Whoever closed it (`| head`) has seen enough, which is no error.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Writes one JSON value, readable, and the end of the line.
pub(crate) fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}\n"));
}
