//! From a draft to a pipeline: every rule that a pipeline has to keep, and every breach with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::Spanned;

use super::read::DraftStage;
use super::{Stage, Work};
use crate::gate::Gate;
use crate::name::{ProducerName, StageName};

/// Everything that is wrong with a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// In the order of the text; at least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: the text's name, line and column.
    pub place: String,
    /// What, and what would be right.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {}", problem.place, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// `source:line:column` of a byte offset.
pub(super) fn place(source: &str, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("{source}:{line}:{column}")
}

struct Checker<'a> {
    source: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn wrong(&mut self, at: usize, message: impl Into<String>) {
        let place = place(self.source, self.text, at);
        self.problems.push(Problem { place, message: message.into() });
    }

    fn take<T, E: fmt::Display>(&mut self, text: &Spanned<String>, made: Result<T, E>) -> Option<T> {
        made.map_err(|error| self.wrong(text.span().start, error.to_string())).ok()
    }
}

pub(super) fn check(
    source: &str,
    text: &str,
    drafts: Vec<DraftStage>,
    attempts: u32,
) -> Result<Vec<Stage>, Error> {
    let mut checker = Checker { source, text, problems: Vec::new() };
    let names: BTreeSet<String> = drafts.iter().map(|draft| draft.name.get_ref().clone()).collect();
    let mut stages = Vec::new();
    let mut places = BTreeMap::new();
    for draft in &drafts {
        let Some(name) = checker.take(&draft.name, StageName::new(draft.name.get_ref().clone())) else {
            continue;
        };
        let at = draft.name.span().start;
        if places.insert(name.clone(), at).is_some() {
            checker.wrong(at, format!("the stage `{name}` is there twice"));
            continue;
        }
        match work(&mut checker, draft, &name, &names) {
            Ok(work) => stages.push(Stage { name, work }),
            Err(Incomplete) => stages.push(Stage { name, work: None }),
        }
    }
    if checker.problems.is_empty() {
        whole(&mut checker, &stages, &places, attempts);
    }
    if checker.problems.is_empty() { Ok(stages) } else { Err(Error { problems: checker.problems }) }
}

/// A stage about which something was found wrong already.
struct Incomplete;

fn work(
    checker: &mut Checker<'_>,
    draft: &DraftStage,
    name: &StageName,
    names: &BTreeSet<String>,
) -> Result<Option<Work>, Incomplete> {
    let at = draft.name.span().start;
    let Some(producer) = &draft.producer else {
        let stray = [
            ("fallback", &draft.fallback),
            ("gate", &draft.gate),
            ("artifact", &draft.artifact),
            ("on_pass", &draft.on_pass),
            ("on_fail", &draft.on_fail),
        ];
        return match stray.iter().find(|(_, value)| value.is_some()) {
            Some((key, _)) => {
                checker.wrong(at, format!("the stage `{name}` has `{key}` but no `producer`"));
                Err(Incomplete)
            }
            None => Ok(None),
        };
    };
    let producer = checker.take(producer, ProducerName::new(producer.get_ref().clone()));
    let fallback = match &draft.fallback {
        Some(text) => Some(checker.take(text, ProducerName::new(text.get_ref().clone())).ok_or(Incomplete)?),
        None => None,
    };
    let mut required = |key: &str, value: &Option<Spanned<String>>| {
        if value.is_none() {
            checker.wrong(at, format!("the stage `{name}` has a producer but no `{key}`"));
        }
        value.clone()
    };
    let gate = required("gate", &draft.gate);
    let artifact = required("artifact", &draft.artifact);
    let on_pass = required("on_pass", &draft.on_pass);
    let on_fail = required("on_fail", &draft.on_fail);
    let gate = gate.and_then(|text| {
        let known = Gate::ALL.map(Gate::name).join(", ");
        let made = text.get_ref().parse::<Gate>().map_err(|error| format!("{error}; there are: {known}"));
        checker.take(&text, made)
    });
    let artifact = artifact.and_then(|text| {
        let made = artifact_name(text.get_ref());
        checker.take(&text, made)
    });
    let mut target = |text: Option<Spanned<String>>| {
        let text = text?;
        let made = match names.contains(text.get_ref()) {
            true => StageName::new(text.get_ref().clone()).map_err(|error| error.to_string()),
            false => Err(unknown_stage(text.get_ref(), names)),
        };
        checker.take(&text, made)
    };
    let (on_pass, on_fail) = (target(on_pass), target(on_fail));
    if on_pass.as_ref() == Some(name) {
        checker.wrong(at, format!("PASS of the stage `{name}` leads to itself: it would never end"));
        return Err(Incomplete);
    }
    match (producer, gate, artifact, on_pass, on_fail) {
        (Some(producer), Some(gate), Some(artifact), Some(on_pass), Some(on_fail)) => Ok(Some(Work {
            producer,
            fallback,
            gate,
            artifact,
            on_pass,
            on_fail,
            effects: draft.effects.iter().map(|effect| effect.get_ref().clone()).collect(),
            evidence: draft.evidence,
        })),
        _ => Err(Incomplete),
    }
}

fn unknown_stage(text: &str, names: &BTreeSet<String>) -> String {
    let nearest = names
        .iter()
        .map(|name| (strsim::jaro_winkler(name, text), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, name)) => format!("there is no stage `{text}`; did you mean `{name}`?"),
        None => format!("there is no stage `{text}`"),
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

/// The rules about the pipeline as a whole.
fn whole(checker: &mut Checker<'_>, stages: &[Stage], places: &BTreeMap<StageName, usize>, attempts: u32) {
    let at = |name: &StageName| places.get(name).copied().unwrap_or(0);
    let Some(first) = stages.first() else {
        checker.wrong(0, "the pipeline has no stage");
        return;
    };
    let mut artifacts: BTreeMap<&str, &StageName> = BTreeMap::new();
    for (stage, work) in stages.iter().filter_map(|stage| stage.work.as_ref().map(|work| (stage, work))) {
        if let Some(other) = artifacts.insert(work.artifact.as_str(), &stage.name) {
            let message = format!("the stages `{other}` and `{}` write the same artifact", stage.name);
            checker.wrong(at(&stage.name), message);
        }
    }
    let reached = reach([&first.name], |name| targets(stages, name));
    for stage in stages.iter().filter(|stage| !reached.contains(&stage.name)) {
        checker.wrong(
            at(&stage.name),
            format!("the stage `{}` can't be reached from `{}`", stage.name, first.name),
        );
    }
    let ends = stages.iter().filter(|stage| stage.work.is_none()).map(|stage| &stage.name);
    let finishing = reach(ends, |name| {
        let leads_here = |stage: &&Stage| stage.work.as_ref().is_some_and(|work| work.on_pass == *name);
        stages.iter().filter(leads_here).map(|stage| &stage.name).collect()
    });
    for stage in stages.iter().filter(|stage| !finishing.contains(&stage.name)) {
        let message =
            format!("from the stage `{}` no row of PASSes leads to an end of the pipeline", stage.name);
        checker.wrong(at(&stage.name), message);
    }
    // Every FAIL leads back or to the stage itself: a cycle, which only the attempts end.
    if attempts == 0
        && let Some(stage) = stages.iter().find(|stage| stage.work.is_some())
    {
        let message = "`attempts` is 0: what leads back has no budget; allow at least 1";
        checker.wrong(at(&stage.name), message);
    }
}

fn targets<'a>(stages: &'a [Stage], name: &StageName) -> Vec<&'a StageName> {
    let work = stages.iter().find(|stage| stage.name == *name).and_then(|stage| stage.work.as_ref());
    work.map(|work| vec![&work.on_pass, &work.on_fail]).unwrap_or_default()
}

fn reach<'a>(
    from: impl IntoIterator<Item = &'a StageName>,
    next: impl Fn(&StageName) -> Vec<&'a StageName>,
) -> BTreeSet<StageName> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&StageName> = from.into_iter().collect();
    while let Some(name) = open.pop() {
        if reached.insert(name.clone()) {
            open.extend(next(name));
        }
    }
    reached
}
