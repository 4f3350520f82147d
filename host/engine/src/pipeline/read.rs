//! From text to a draft: the form of it, with the place of what is wrong.

use serde::Deserialize;
use toml::Spanned;

use super::check::{Error, Problem, place};

/// A pipeline whose form is right and whose sense is not checked yet.
pub(super) struct Draft {
    pub(super) attempts: u32,
    pub(super) stages: Vec<DraftStage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftText {
    #[serde(default = "default_attempts")]
    attempts: u32,
    stage: Vec<Spanned<DraftStage>>,
}

/// A stage as it stands in the text.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftStage {
    pub(super) name: Spanned<String>,
    pub(super) producer: Option<Spanned<String>>,
    pub(super) fallback: Option<Spanned<String>>,
    pub(super) gate: Option<Spanned<String>>,
    pub(super) artifact: Option<Spanned<String>>,
    pub(super) on_pass: Option<Spanned<String>>,
    pub(super) on_fail: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) effects: Vec<Spanned<String>>,
    #[serde(default = "yes")]
    pub(super) evidence: bool,
}

const fn default_attempts() -> u32 {
    3
}

const fn yes() -> bool {
    true
}

pub(super) fn read(source: &str, text: &str) -> Result<Draft, Error> {
    let draft: DraftText = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let problem = Problem { place: place(source, text, at), message: error.message().to_owned() };
        Error { problems: vec![problem] }
    })?;
    Ok(Draft { attempts: draft.attempts, stages: draft.stage.into_iter().map(Spanned::into_inner).collect() })
}
