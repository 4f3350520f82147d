//! Standard output: the result of a command, and nothing else.

use std::io::{self, Write};

/// Writes `text` to standard output. Whoever closed it (`| head`) has seen enough, which is no error.
pub(crate) fn print(text: &str) {
    // Somebody has seen enough: there is nobody left to tell.
    let _ = try_print(text);
}

/// The same, and says whether anybody still reads.
pub(crate) fn try_print(text: &str) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Writes one JSON value, readable, and the end of the line.
pub(crate) fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}\n"));
}
