//! From text to a draft: the form of it. Whether a draft makes sense is looked at afterwards.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Findings, unknown};

/// The keys of a pipeline's text.
pub(super) const KEYS: [&str; 2] = ["attempts", "stage"];
/// The keys of one `[[stage]]`.
pub(super) const STAGE_KEYS: [&str; 11] = [
    "name",
    "producer",
    "fallback",
    "gate",
    "artifact",
    "on_pass",
    "on_fail",
    "attempts",
    "effects",
    "evidence",
    "takes_work",
];
/// So many attempts are a mistake or no budget at all.
const MOST_ATTEMPTS: u32 = 1_000;

/// A value and the byte offset at which it stands.
#[derive(Clone, Copy)]
pub(super) struct At<T> {
    pub(super) at: usize,
    pub(super) value: T,
}

/// A pipeline as it stands in the text.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) attempts: Option<At<u32>>,
    pub(super) stages: Vec<DraftStage>,
}

/// A stage as it stands in the text.
#[derive(Default)]
pub(super) struct DraftStage {
    /// Where its `[[stage]]` stands.
    pub(super) at: usize,
    /// Whether something of it could not be read, so that what seems to be missing may be there.
    pub(super) broken: bool,
    pub(super) name: Option<At<String>>,
    pub(super) producer: Option<At<String>>,
    pub(super) fallback: Option<At<String>>,
    pub(super) gate: Option<At<String>>,
    pub(super) artifact: Option<At<String>>,
    pub(super) on_pass: Option<At<String>>,
    pub(super) on_fail: Option<At<String>>,
    pub(super) attempts: Option<At<u32>>,
    pub(super) effects: Option<At<Vec<At<String>>>>,
    pub(super) evidence: Option<At<bool>>,
    pub(super) takes_work: Option<At<bool>>,
}

type Value<'i> = Spanned<DeValue<'i>>;

/// Reads the text. What it notes in `findings` is missing in the draft.
pub(super) fn read(text: &str, findings: &mut Findings<'_>) -> Draft {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        // What a broken line was meant to be is not known, so nothing that follows from it is told.
        let at = error.span().map_or(0, |span| span.start);
        findings.wrong(at, format!("this is not TOML: {}", error.message()));
    }
    let mut draft = Draft::default();
    if !errors.is_empty() {
        return draft;
    }
    for (key, value) in table.get_ref() {
        match key.get_ref().as_ref() {
            "attempts" => draft.attempts = attempts(value, findings),
            "stage" => draft.stages = stages(value, findings),
            other => findings.wrong(key.span().start, unknown("key", other, &KEYS)),
        }
    }
    draft
}

fn stages(value: &Value<'_>, findings: &mut Findings<'_>) -> Vec<DraftStage> {
    let mut stages = Vec::new();
    let mut is_list_of_tables = false;
    if let Some(all) = value.get_ref().as_array() {
        is_list_of_tables = true;
        for one in all {
            match one.get_ref().as_table() {
                Some(table) => stages.push(stage(one.span().start, table, findings)),
                None => is_list_of_tables = false,
            }
        }
    }
    if !is_list_of_tables {
        findings.wrong(value.span().start, "`stage` is a list of tables; begin each one with `[[stage]]`");
    }
    stages
}

fn stage(at: usize, table: &DeTable<'_>, findings: &mut Findings<'_>) -> DraftStage {
    let mut stage = DraftStage { at, ..DraftStage::default() };
    let before = findings.count();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "name" => stage.name = text(value, findings),
            "producer" => stage.producer = text(value, findings),
            "fallback" => stage.fallback = text(value, findings),
            "gate" => stage.gate = text(value, findings),
            "artifact" => stage.artifact = text(value, findings),
            "on_pass" => stage.on_pass = text(value, findings),
            "on_fail" => stage.on_fail = text(value, findings),
            "attempts" => stage.attempts = attempts(value, findings),
            "effects" => stage.effects = texts(value, findings),
            "evidence" => stage.evidence = boolean(value, findings),
            "takes_work" => stage.takes_work = boolean(value, findings),
            other => findings.wrong(key.span().start, unknown("key", other, &STAGE_KEYS)),
        }
    }
    stage.broken = findings.count() > before;
    stage
}

fn text(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<At<String>> {
    let at = value.span().start;
    let Some(text) = value.get_ref().as_str() else {
        findings.wrong(at, format!("this is {}; write a text in quotes", value.get_ref().type_str()));
        return None;
    };
    Some(At { at, value: text.to_owned() })
}

fn texts(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<At<Vec<At<String>>>> {
    let at = value.span().start;
    let Some(values) = value.get_ref().as_array() else {
        findings.wrong(at, format!("this is {}; write a list of texts", value.get_ref().type_str()));
        return None;
    };
    Some(At { at, value: values.iter().filter_map(|value| text(value, findings)).collect() })
}

fn boolean(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<At<bool>> {
    let at = value.span().start;
    let Some(value) = value.get_ref().as_bool() else {
        findings.wrong(at, format!("this is {}; write true or false", value.get_ref().type_str()));
        return None;
    };
    Some(At { at, value })
}

fn attempts(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<At<u32>> {
    let at = value.span().start;
    let number = value.get_ref().as_integer().and_then(|integer| {
        let digits = integer.as_str().replace('_', "");
        u32::from_str_radix(&digits, integer.radix()).ok()
    });
    let Some(value) = number.filter(|number| (1..=MOST_ATTEMPTS).contains(number)) else {
        let message =
            format!("`attempts` is a number from 1 to {MOST_ATTEMPTS}: without it no cycle would end");
        findings.wrong(at, message);
        return None;
    };
    Some(At { at, value })
}
