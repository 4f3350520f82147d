//! Reads a JUnit file: whether it is well-formed, and what it counts.
//!
//! The single test cases are counted, not the totals of a suite's attributes: what a writer adds up is not evidence that
//! it wrote the cases. A broken or endless file is an error, never a guess.

use roxmltree::{Document, Node, ParsingOptions};
use stagewright_sdk::CheckState;

use crate::finding::Tests;

/// The longest file that is read, in bytes. Half a million tests without output are about 60 MiB.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// The most elements and texts of a document.
const MAX_NODES: u32 = 8_000_000;

/// What is known of a JUnit file.
#[derive(Clone, Debug)]
pub enum Junit {
    /// It is not there.
    Missing,
    /// It is there and can't be used.
    Broken(String),
    /// What it holds.
    Read(Tests),
}

/// Reads the bytes of a JUnit file.
pub fn read(bytes: &[u8]) -> Junit {
    match parse(bytes) {
        Ok(tests) => Junit::Read(tests),
        Err(why) => Junit::Broken(why),
    }
}

fn parse(bytes: &[u8]) -> Result<Tests, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if !matches!(root.tag_name().name(), "testsuites" | "testsuite") {
        return Err(format!("its root is <{}>", root.tag_name().name()));
    }
    let mut tests = Tests::default();
    for case in root.descendants().filter(|node| node.has_tag_name("testcase")) {
        add(&mut tests, case);
    }
    Ok(tests)
}

fn add(tests: &mut Tests, case: Node<'_, '_>) {
    let name = case.attribute("name").unwrap_or_default();
    let name = match case.attribute("classname") {
        Some(class) if !class.is_empty() => format!("{class}::{name}"),
        _ => name.to_owned(),
    };
    let seconds = case.attribute("time").and_then(|time| time.parse::<f64>().ok()).unwrap_or(0.0);
    // A cast from a float saturates, and makes 0 of what is no number.
    let duration_ms = (seconds * 1_000.0) as u64;
    let worst = case.children().filter_map(|child| Some((state(child.tag_name().name())?, child)));
    let (state, detail) = match worst.max_by_key(|((rank, _), _)| *rank) {
        None => (CheckState::Passed, String::new()),
        Some(((_, state), child)) => {
            let message = child.attribute("message").unwrap_or_default();
            let text = child.text().unwrap_or_default();
            let both = !message.is_empty() && !text.contains(message);
            (state, if both { format!("{message}\n{text}") } else { text.to_owned() })
        }
    };
    tests.add(&name, state, detail.trim_end(), duration_ms);
}

fn state(tag: &str) -> Option<(u8, CheckState)> {
    match tag {
        "failure" => Some((3, CheckState::Failed)),
        "error" => Some((2, CheckState::Errored)),
        "skipped" => Some((1, CheckState::Skipped)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> (u64, u64, u64, u64) {
        match read(text.as_bytes()) {
            Junit::Read(tests) => {
                (tests.tally.passed, tests.tally.failed, tests.tally.skipped, tests.tally.errored)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cases_are_counted_by_what_they_hold() {
        let text = r#"<?xml version="1.0"?><testsuites><testsuite tests="99"><testcase classname="a" name="b" time="0.5"/>
            <testcase name="c"><failure message="m">text</failure><error/></testcase><testcase name="d"><skipped/></testcase>
            <testcase name="e"><error message="x"/></testcase><testcase name="f"><system-out>hm</system-out></testcase>
            </testsuite></testsuites>"#;
        assert_eq!(tally(text), (2, 1, 1, 1));
    }

    #[test]
    fn half_a_file_is_broken() {
        let whole = "<testsuite><testcase name='a'/></testsuite>";
        assert!(matches!(read(whole.as_bytes()), Junit::Read(_)));
        for cut in 0..whole.len() {
            assert!(matches!(read(&whole.as_bytes()[..cut]), Junit::Broken(_)), "cut at {cut}");
        }
        assert!(matches!(read(b"<html></html>"), Junit::Broken(_)));
        assert!(matches!(read(b"<testsuite>\xff</testsuite>"), Junit::Broken(_)));
    }

    #[test]
    fn entities_do_not_grow() {
        let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>]><testsuite><testcase name='&a;'/></testsuite>";
        assert!(matches!(read(bomb.as_bytes()), Junit::Broken(_)));
    }

    #[test]
    fn a_duration_that_is_no_number_is_none() {
        for time in ["-1", "nan", "inf", "1e300", "x"] {
            let text = format!("<testsuite><testcase name='a' time='{time}'/></testsuite>");
            assert_eq!(tally(&text), (1, 0, 0, 0));
        }
    }
}
