//! From a draft to stages: every rule that a pipeline has to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::problem::{Findings, unknown};
use super::read::{At, Draft, DraftStage};
use super::{DEFAULT_ATTEMPTS, OnFail, Stage, Work};
use crate::gate::Gate;
use crate::name::{EffectName, ProducerName, StageName};

/// The stages of the draft. What is noted in `findings` is missing in them.
pub(super) fn check(draft: &Draft, findings: &mut Findings<'_>) -> Vec<Stage> {
    let names: Vec<&str> =
        draft.stages.iter().filter_map(|stage| Some(stage.name.as_ref()?.value.as_str())).collect();
    let attempts = draft.attempts.map_or(DEFAULT_ATTEMPTS, |attempts| attempts.value);
    let mut places = BTreeMap::new();
    let mut stages = Vec::new();
    for draft in &draft.stages {
        let Some(given) = &draft.name else {
            if !draft.broken {
                findings.wrong(draft.at, "this stage has no `name`");
            }
            continue;
        };
        let Some(name) = take(findings, given, StageName::new(given.value.as_str())) else { continue };
        if places.insert(name.clone(), given.at).is_some() {
            findings.wrong(given.at, format!("the stage `{name}` is there twice"));
            continue;
        }
        let mut of_stage =
            OfStage { name: &name, at: given.at, broken: draft.broken, names: &names, attempts, findings };
        let work = match &draft.producer {
            Some(producer) => of_stage.work(draft, producer),
            None => of_stage.end(draft),
        };
        stages.push(Stage { name, work });
    }
    // What a stage lacks makes others look unreachable: tell what follows only of what is whole.
    if findings.count() == 0 {
        as_a_whole(&stages, &places, findings);
    }
    stages
}

/// The value, or its problem noted.
fn take<T, E: fmt::Display>(
    findings: &mut Findings<'_>,
    given: &At<String>,
    made: Result<T, E>,
) -> Option<T> {
    made.map_err(|error| findings.wrong(given.at, error.to_string())).ok()
}

/// The rules about one stage.
struct OfStage<'a, 'f> {
    name: &'a StageName,
    at: usize,
    /// Nothing is said to be missing where something could not be read.
    broken: bool,
    /// Of all stages, in the order of the text.
    names: &'a [&'a str],
    /// What a stage that repeats itself has, if it doesn't say.
    attempts: u32,
    findings: &'a mut Findings<'f>,
}

impl OfStage<'_, '_> {
    /// A stage without a producer is an end: nothing can be said about it but its name.
    fn end(&mut self, draft: &DraftStage) -> Option<Work> {
        let strays = [
            ("fallback", draft.fallback.as_ref().map(|given| given.at)),
            ("gate", draft.gate.as_ref().map(|given| given.at)),
            ("artifact", draft.artifact.as_ref().map(|given| given.at)),
            ("on_pass", draft.on_pass.as_ref().map(|given| given.at)),
            ("on_fail", draft.on_fail.as_ref().map(|given| given.at)),
            ("attempts", draft.attempts.map(|given| given.at)),
            ("effects", draft.effects.as_ref().map(|given| given.at)),
            ("evidence", draft.evidence.map(|given| given.at)),
            ("takes_work", draft.takes_work.map(|given| given.at)),
        ];
        if !self.broken
            && let Some((key, at)) = strays.into_iter().find_map(|(key, at)| Some((key, at?)))
        {
            self.findings.wrong(at, format!("the stage `{}` has `{key}` but no `producer`", self.name));
        }
        None
    }

    fn work(&mut self, draft: &DraftStage, producer: &At<String>) -> Option<Work> {
        // All of it is looked at before anything is given up, so that every problem is told at once.
        let producer = take(self.findings, producer, ProducerName::new(producer.value.as_str()));
        let fallback = draft
            .fallback
            .as_ref()
            .map(|given| take(self.findings, given, ProducerName::new(given.value.as_str())));
        let gate = self.required("gate", &draft.gate).and_then(|given| {
            let made =
                given.value.parse().map_err(|_| unknown("gate", &given.value, &Gate::ALL.map(Gate::name)));
            take(self.findings, given, made)
        });
        let artifact = self
            .required("artifact", &draft.artifact)
            .and_then(|given| take(self.findings, given, artifact_name(&given.value)));
        let on_pass = self.required("on_pass", &draft.on_pass).and_then(|given| self.on_pass(given));
        let on_fail = self.required("on_fail", &draft.on_fail).and_then(|given| self.on_fail(given, draft));
        let effects = draft.effects.as_ref().map_or(&[][..], |given| given.value.as_slice());
        let effects: Option<Vec<EffectName>> = effects
            .iter()
            .map(|given| take(self.findings, given, EffectName::new(given.value.as_str())))
            .collect();
        let takes_work = draft.takes_work.is_some_and(|given| given.value);
        if let (Some(given), Some(OnFail::BackTo(_)), true) = (draft.takes_work, &on_fail, takes_work) {
            let message = format!(
                "`{}` judges the code, since its FAIL leads back; only a stage that repeats itself has `takes_work`",
                self.name
            );
            self.findings.wrong(given.at, message);
        }
        Some(Work {
            producer: producer?,
            fallback: match fallback {
                Some(fallback) => Some(fallback?),
                None => None,
            },
            gate: gate?,
            artifact: artifact?,
            on_pass: on_pass?,
            on_fail: on_fail?,
            effects: effects?,
            evidence: draft.evidence.is_none_or(|given| given.value),
            takes_work,
        })
    }

    fn required<'d>(&mut self, key: &str, given: &'d Option<At<String>>) -> Option<&'d At<String>> {
        if given.is_none() && !self.broken {
            self.findings.wrong(self.at, format!("the stage `{}` has a producer but no `{key}`", self.name));
        }
        given.as_ref()
    }

    /// Where `name` stands among the stages.
    fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| *other == name)
    }

    fn target(&mut self, given: &At<String>) -> Option<StageName> {
        if self.position(&given.value).is_none() {
            self.findings.wrong(given.at, unknown("stage", &given.value, self.names));
            return None;
        }
        take(self.findings, given, StageName::new(given.value.as_str()))
    }

    /// PASS leads further down the text. So a row of PASSes always comes to an end.
    fn on_pass(&mut self, given: &At<String>) -> Option<StageName> {
        let to = self.target(given)?;
        if self.position(to.as_str()) <= self.position(self.name.as_str()) {
            let message = format!(
                "PASS of `{}` leads to `{to}`, which does not come after it; the stages stand in the order \
                 of their PASSes",
                self.name
            );
            self.findings.wrong(given.at, message);
            return None;
        }
        Some(to)
    }

    /// FAIL leads back up the text, or to the stage itself. So every cycle has a FAIL in it, which spends
    /// from a budget.
    fn on_fail(&mut self, given: &At<String>, draft: &DraftStage) -> Option<OnFail> {
        let to = self.target(given)?;
        if to == *self.name {
            return Some(OnFail::Repeat {
                attempts: draft.attempts.map_or(self.attempts, |given| given.value),
            });
        }
        if self.position(to.as_str()) > self.position(self.name.as_str()) {
            let message =
                format!("FAIL of `{}` leads on to `{to}`; it can lead back or to itself only", self.name);
            self.findings.wrong(given.at, message);
            return None;
        }
        if let Some(attempts) = draft.attempts {
            let message = format!(
                "FAIL of `{}` leads back to `{to}` and spends one of the developer's attempts; their number \
                 is the `attempts` of the whole pipeline, above the first stage",
                self.name
            );
            self.findings.wrong(attempts.at, message);
        }
        Some(OnFail::BackTo(to))
    }
}

/// A plain markdown file name, so that the artifact can't leave its folder.
fn artifact_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = text.len() <= 80
        && text.strip_suffix(".md").is_some_and(|stem| !stem.is_empty())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(plain);
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is no artifact's name; use letters, digits, `-`, `_` and `.`, ending with `.md`"
        ))
    }
}

/// The rules about the stages together.
fn as_a_whole(stages: &[Stage], places: &BTreeMap<StageName, usize>, findings: &mut Findings<'_>) {
    let at = |name: &StageName| places.get(name).copied().unwrap_or(0);
    let Some(first) = stages.first().filter(|first| first.work.is_some()) else {
        findings.wrong(0, "the pipeline has no work: its first `[[stage]]` needs a `producer`");
        return;
    };
    let mut artifacts: BTreeMap<&str, &StageName> = BTreeMap::new();
    for (stage, work) in stages.iter().filter_map(|stage| Some((stage, stage.work.as_ref()?))) {
        if let Some(other) = artifacts.insert(work.artifact.as_str(), &stage.name) {
            let message = format!("the stages `{other}` and `{}` write the same artifact", stage.name);
            findings.wrong(at(&stage.name), message);
        }
        if let OnFail::BackTo(to) = &work.on_fail
            && !passes_from(stages, to).contains(&&stage.name)
        {
            let message = format!(
                "FAIL of `{}` leads to `{to}`, from where PASSes lead past `{}`: it would be got round",
                stage.name, stage.name
            );
            findings.wrong(at(&stage.name), message);
        }
    }
    let reached = reached_from(stages, &first.name);
    for stage in stages.iter().filter(|stage| !reached.contains(&stage.name)) {
        let message = format!("the stage `{}` can't be reached from `{}`", stage.name, first.name);
        findings.wrong(at(&stage.name), message);
    }
}

fn work_of<'a>(stages: &'a [Stage], name: &StageName) -> Option<&'a Work> {
    stages.iter().find(|stage| stage.name == *name)?.work.as_ref()
}

/// The stages through which a row of PASSes leads.
fn passes_from<'a>(stages: &'a [Stage], from: &'a StageName) -> Vec<&'a StageName> {
    let next = |name: &&StageName| Some(&work_of(stages, name)?.on_pass);
    std::iter::successors(Some(from), next).take(stages.len()).collect()
}

fn reached_from<'a>(stages: &'a [Stage], from: &'a StageName) -> BTreeSet<&'a StageName> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if !reached.insert(name) {
            continue;
        }
        let Some(work) = work_of(stages, name) else { continue };
        open.push(&work.on_pass);
        if let OnFail::BackTo(to) = &work.on_fail {
            open.push(to);
        }
    }
    reached
}
