//! The last word of an agent that prints one JSON a line.
//!
//! Exit codes of agents are unreliable, so that the line decides: the last whole one that is an object with
//! `"type": "result"` at its top. What a tool printed stands inside of another line's strings and is none. A success
//! is what says so in each of its fields; whatever is doubtful is a failure.

use serde_json::Value;

use super::signs::Sign;
use super::usage::Usage;

/// A result line.
#[derive(Debug, PartialEq)]
pub(super) struct ResultLine {
    /// What the model said last, or why there is no such thing.
    pub(super) end: Result<String, Trouble>,
    /// What was used; known for failures, too.
    pub(super) usage: Usage,
}

/// How an agent failed by its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    /// Its own words.
    pub(super) said: String,
}

/// The causes that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It took as many turns as it may.
    Turns,
    /// It spent what it may.
    Budget,
    /// It was refused by the model's server.
    Sign(Sign),
    /// Anything else.
    Failed,
}

/// The last whole result line of an output. Of a `cut` one the beginning is missing, and so its first line is not
/// whole.
pub(super) fn last(output: &[u8], cut: bool) -> Option<ResultLine> {
    let whole = if cut {
        let first = output.iter().position(|&byte| byte == b'\n')?;
        &output[first + 1..]
    } else {
        output
    };
    // A JSON object ends with its brace: one that is cut can't be read, with or without a line's end behind it.
    whole.rsplit(|&byte| byte == b'\n').find_map(read)
}

fn read(line: &[u8]) -> Option<ResultLine> {
    let line = line.trim_ascii();
    if !line.starts_with(b"{") {
        return None;
    }
    let line: Value = serde_json::from_slice(line).ok()?;
    if line["type"] != "result" {
        return None;
    }
    Some(ResultLine { end: end(&line), usage: Usage::of_result_line(&line) })
}

fn end(line: &Value) -> Result<String, Trouble> {
    let subtype = line["subtype"].as_str().unwrap_or_default();
    if subtype == "success"
        && line["is_error"] == false
        && let Some(text) = line["result"].as_str()
    {
        return Ok(text.to_owned());
    }
    let errors = line["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<&str> = line["result"].as_str().into_iter().chain(errors).collect();
    let said = if words.is_empty() { format!("its result line says `{subtype}`") } else { words.join("; ") };
    let cause = match subtype {
        "error_max_turns" => Cause::Turns,
        "error_max_budget_usd" => Cause::Budget,
        _ => {
            Sign::of(line["api_error_status"].as_u64(), &words.join("; ")).map_or(Cause::Failed, Cause::Sign)
        }
    };
    Err(Trouble { cause, said })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INIT: &str = r#"{"type":"system","subtype":"init","session_id":"s"}"#;
    const DONE: &str = r#"{"type":"result","subtype":"success","is_error":false,"result":"done","session_id":"s","total_cost_usd":0.29,"num_turns":2,"duration_ms":5,"usage":{"input_tokens":3,"output_tokens":4,"cache_read_input_tokens":5,"cache_creation_input_tokens":6}}"#;

    fn said(output: &str) -> Option<Result<String, Cause>> {
        last(output.as_bytes(), false).map(|line| line.end.map_err(|trouble| trouble.cause))
    }

    fn ok(text: &str) -> Option<Result<String, Cause>> {
        Some(Ok(text.to_owned()))
    }

    #[test]
    fn the_last_whole_line_counts() {
        let other = DONE.replace("done", "second");
        assert_eq!(said(&format!("{INIT}\n{DONE}\n")), ok("done"));
        assert_eq!(said(&format!("{DONE}\r\n{other}\r\nbye\n")), ok("second"));
        assert_eq!(said(DONE), ok("done"), "the line's end is no part of the object");
        assert_eq!(said(&format!("{DONE}\n{}", &other[..other.len() - 1])), ok("done"));
        for none in
            ["", "\n", INIT, &DONE[..DONE.len() / 2], "[1]", "{}", "\"type\":\"result\"", "{\"type\":7}"]
        {
            assert_eq!(said(none), None, "{none}");
        }
    }

    #[test]
    fn a_result_inside_of_another_line_is_none() {
        let nested =
            serde_json::json!({"type": "user", "message": {"content": DONE}, "inner": {"type": "result"}});
        assert_eq!(said(&format!("{INIT}\n{nested}\n")), None);
        let broken_off = format!("{{\"type\":\"user\",\"message\":{DONE}\n");
        assert_eq!(said(&broken_off), None);
    }

    #[test]
    fn of_a_cut_output_the_first_line_is_not_whole() {
        assert_eq!(last(DONE.as_bytes(), true), None);
        assert!(last(format!("…\n{DONE}\n").as_bytes(), true).is_some());
    }

    #[test]
    fn a_success_says_so_in_each_of_its_fields() {
        let failed = Some(Err(Cause::Failed));
        for (from, to) in [
            ("\"is_error\":false", "\"is_error\":true"),
            ("\"is_error\":false,", ""),
            ("\"is_error\":false", "\"is_error\":\"false\""),
            ("\"success\"", "\"error_during_execution\""),
            ("\"success\"", "\"something_new\""),
            ("\"result\":\"done\"", "\"result\":null"),
        ] {
            assert_eq!(said(&DONE.replace(from, to)), failed, "{to}");
        }
    }

    #[test]
    fn the_causes_of_real_lines_are_told_apart() {
        let error = |fields: &str| format!("{{\"type\":\"result\",\"is_error\":true,{fields}}}");
        for (fields, cause) in [
            (r#""subtype":"error_max_turns""#, Cause::Turns),
            (r#""subtype":"error_max_budget_usd","errors":["Reached maximum budget ($0.1)"]"#, Cause::Budget),
            (r#""subtype":"error_during_execution","errors":["boom"]"#, Cause::Failed),
            (
                r#""subtype":"success","result":"Invalid API key · Please run /login""#,
                Cause::Sign(Sign::Unauthorized),
            ),
            (r#""subtype":"success","api_error_status":401,"result":"no""#, Cause::Sign(Sign::Unauthorized)),
            (
                r#""subtype":"error_during_execution","errors":["API Error: 429 rate_limit_error"]"#,
                Cause::Sign(Sign::RateLimited(None)),
            ),
        ] {
            assert_eq!(said(&error(fields)), Some(Err(cause)), "{fields}");
        }
    }

    #[test]
    fn an_answer_about_rate_limits_is_an_answer() {
        assert_eq!(said(&DONE.replace("done", "API Error: 429 rate_limit")), ok("API Error: 429 rate_limit"));
    }

    #[test]
    fn what_was_used_is_known_of_a_failure_too() {
        let line = DONE.replace("\"is_error\":false", "\"is_error\":true");
        let usage = last(line.as_bytes(), false).unwrap().usage;
        assert_eq!((usage.cost_micro_usd, usage.cache_write_tokens), (Some(290_000), Some(6)));
    }

    proptest! {
        #[test]
        fn no_soup_of_bytes_is_a_success(
            soup in prop::collection::vec(any::<u8>(), 0..300), cut in 0..DONE.len() - 1, at_end: bool, beginning: bool,
        ) {
            let piece = &DONE.as_bytes()[..cut];
            let output = if at_end { [soup.as_slice(), b"\n", piece].concat() } else { [piece, &soup].concat() };
            // Whatever bytes follow a half line, they don't happen to be its other half.
            prop_assert!(last(&output, beginning).is_none_or(|line| line.end.is_err()));
        }

        #[test]
        fn a_whole_line_is_found_in_any_soup(soup in prop::collection::vec(any::<u8>(), 0..300)) {
            let output = [soup.as_slice(), b"\n", DONE.as_bytes(), b"\n", &DONE.as_bytes()[..50]].concat();
            prop_assert_eq!(last(&output, false).unwrap().end, Ok("done".to_owned()));
        }
    }
}
