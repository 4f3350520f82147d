//! Read-only probes after a suite that passed: does the running system stand?
//!
//! Nobody there says nothing about the code; a wrong answer does.

use serde_json::Value;
use stagewright_sdk::evidence::Rule;
use stagewright_sdk::{FailureKind, Host, Probe, ProbeResponse};

use crate::settings::Smoke;

const WRONG: Rule =
    Rule::fail("smoke-failed", "an endpoint gave a wrong answer", "a smoke probe got a wrong answer");
const UNREACHABLE: Rule = Rule::deferred(
    "smoke-unreachable",
    "an endpoint was not reached, or did not answer in time",
    "a smoke probe reached nobody",
    "see whether the system at that endpoint runs",
);
const NOT_GRANTED: Rule = Rule::held(
    "smoke-not-granted",
    "an endpoint is not granted, or not in the operator's configuration",
    "a smoke probe names an endpoint that is not granted",
    "grant the endpoint in `producers.test-runner.grants.probe.endpoints`",
);

/// The rows of the smoke probes.
pub const TABLE: &[Rule] = &[WRONG, UNREACHABLE, NOT_GRANTED];

/// The longest answer that is read.
const MAX_BODY: u32 = 1024 * 1024;

/// One probe and what became of it.
pub(crate) struct Probed {
    pub(crate) name: String,
    pub(crate) rule: Option<Rule>,
    pub(crate) detail: String,
    pub(crate) duration_ms: u64,
}

/// Asks every endpoint, in order.
pub(crate) fn run<C: Host + Probe>(host: &C, probes: &[Smoke]) -> Vec<Probed> {
    probes
        .iter()
        .map(|probe| {
            let name = format!("GET {}{}", probe.endpoint, probe.path);
            host.progress(0, 0, &name);
            let answer =
                host.get(&probe.endpoint, &probe.path, MAX_BODY, probe.timeout_s.saturating_mul(1_000));
            let (rule, detail, duration_ms) = match answer {
                Ok(response) => match wrong(probe, &response) {
                    None => (None, String::new(), response.duration_ms),
                    Some(why) => (Some(WRONG), why, response.duration_ms),
                },
                Err(failure) => {
                    let rule = match failure.kind {
                        FailureKind::Denied | FailureKind::NotFound | FailureKind::Permanent => NOT_GRANTED,
                        // An answer that is too long is an answer.
                        FailureKind::Limit => WRONG,
                        _ => UNREACHABLE,
                    };
                    (Some(rule), failure.message, 0)
                }
            };
            Probed { name, rule, detail, duration_ms }
        })
        .collect()
}

/// What is wrong with an answer, if anything is.
fn wrong(probe: &Smoke, response: &ProbeResponse) -> Option<String> {
    if response.status != probe.status {
        return Some(format!("it answered {} and not {}", response.status, probe.status));
    }
    let body = String::from_utf8_lossy(&response.body);
    if let Some(text) = probe.contains.as_ref().filter(|text| !body.contains(text.as_str())) {
        return Some(format!("its answer does not contain {text:?}"));
    }
    if probe.json.is_empty() && !probe.serial_gate {
        return None;
    }
    let Ok(json) = serde_json::from_str::<Value>(&body) else {
        return Some("its answer is no JSON".to_owned());
    };
    for (pointer, expected) in &probe.json {
        match json.pointer(pointer) {
            Some(value) if value == expected => {}
            Some(value) => return Some(format!("{pointer} is {value} and not {expected}")),
            None => return Some(format!("there is no {pointer}")),
        }
    }
    let gate = json.get("serial_gate").is_some_and(Value::is_object);
    (probe.serial_gate && !gate).then(|| "there is no serial_gate block".to_owned())
}

/// The rule for all of them: one wrong answer is enough for a FAIL, and short of that whoever was not asked keeps the
/// run from being a verdict.
pub(crate) fn verdict(probed: &[Probed]) -> Option<Rule> {
    let worst = |rule: Rule| probed.iter().find_map(|probed| probed.rule.filter(|it| it.code == rule.code));
    worst(WRONG).or_else(|| worst(NOT_GRANTED)).or_else(|| worst(UNREACHABLE))
}

#[cfg(test)]
mod tests {
    use stagewright_sdk::Failure;
    use stagewright_sdk::testing::Double;

    use super::*;

    fn probe(text: &str) -> Smoke {
        serde_json::from_str(text).unwrap()
    }

    fn answer(status: u16, body: &str) -> Result<ProbeResponse, Failure> {
        Ok(ProbeResponse { status, headers: Vec::new(), body: body.as_bytes().to_vec(), duration_ms: 1 })
    }

    fn code(probe_text: &str, answer: Result<ProbeResponse, Failure>) -> &'static str {
        let host = Double::new().with_answer("staging", "/queue", answer);
        let probed = run(&host, &[probe(probe_text)]);
        verdict(&probed).map_or("", |rule| rule.code)
    }

    #[test]
    fn a_right_answer_is_nothing_to_say() {
        let queue = r#"{"jobs": [], "serial_gate": {"enabled": true}}"#;
        assert_eq!(
            code(r#"{"endpoint": "staging", "path": "/queue", "serial_gate": true}"#, answer(200, queue)),
            ""
        );
        let wanted = r#"{"endpoint": "staging", "path": "/queue", "json": {"/serial_gate/enabled": true}, "contains": "jobs"}"#;
        assert_eq!(code(wanted, answer(200, queue)), "");
    }

    #[test]
    fn a_wrong_answer_is_the_codes_fault() {
        let plain = r#"{"endpoint": "staging", "path": "/queue"}"#;
        let gate = r#"{"endpoint": "staging", "path": "/queue", "serial_gate": true}"#;
        let json = r#"{"endpoint": "staging", "path": "/queue", "json": {"/status": "ok"}}"#;
        assert_eq!(code(plain, answer(500, "")), "smoke-failed");
        assert_eq!(code(plain, answer(302, "")), "smoke-failed");
        assert_eq!(code(gate, answer(200, r#"{"jobs": []}"#)), "smoke-failed");
        assert_eq!(code(gate, answer(200, "not json")), "smoke-failed");
        assert_eq!(code(json, answer(200, r#"{"status": "down"}"#)), "smoke-failed");
    }

    #[test]
    fn nobody_there_is_not_the_codes_fault() {
        let plain = r#"{"endpoint": "staging", "path": "/queue"}"#;
        let fault = |kind| Err(Failure { kind, code: String::new(), message: String::new() });
        assert_eq!(code(plain, fault(FailureKind::Transient)), "smoke-unreachable");
        assert_eq!(code(plain, fault(FailureKind::TimedOut)), "smoke-unreachable");
        assert_eq!(code(plain, fault(FailureKind::Denied)), "smoke-not-granted");
    }
}
