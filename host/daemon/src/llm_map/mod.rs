//! The map of every call of a language model (P7): where control flow consumes, or could consume, a model's judgement.
//!
//! It is derived from three things that can't be talked out of it: the imports of the components, what the operator grants
//! them, and the pipeline. What a call site *is* follows from the question that the stage's gate asks:
//!
//! | the gate asks | on the control path | avoidable |
//! |---|---|---|
//! | whether work is made | no: what was made is judged by the stages that follow | no |
//! | whether something is good | yes | no: somebody has to weigh it |
//! | what happened | yes | yes: a program can see that |
//!
//! It refuses to take a producer's word: one counts as deterministic only if it lacks the `llm` import and nothing else that
//! it is granted can reach a model ([`reach`]).

mod page;
pub mod reach;

use std::collections::BTreeMap;

use serde::Serialize;
use stagewright_engine::gate::Question;
use stagewright_engine::name::{ProducerName, StageName};
use stagewright_engine::pipeline::{Pipeline, Work};

pub use page::{call_sites, roadmap};
pub use reach::Reach;

/// What is known of a producer: each way by which it reaches a model. None: it is a program.
pub type Reaches = BTreeMap<ProducerName, Vec<Reach>>;

/// The map of one pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Map {
    /// Where a model's answer is used, or would be.
    pub call_sites: Vec<CallSite>,
    /// Stages that a program does.
    pub deterministic: Vec<Deterministic>,
}

/// A place where a model's answer is used, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallSite {
    /// The stage; `None` for one of the host's own, beside the stages.
    pub stage: Option<StageName>,
    /// Who asks.
    pub producer: String,
    /// In which role.
    pub role: String,
    /// When it is asked.
    pub when: When,
    /// Whether its verdict moves a task.
    pub path: Path,
    /// Whether a program could answer instead: on the control path, and a question of fact.
    pub avoidable: bool,
    /// Whether a program does it already, and the model only where that is switched off.
    pub done_by_program: bool,
    /// Why a model stays, where none can be avoided.
    pub keep_reason: Option<&'static str>,
    /// By which imports and grants the model is reached.
    pub reaches: Vec<Reach>,
}

/// When a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Whenever the stage is done.
    Always,
    /// Where the operator has switched the stage's producer off, or left the repository out of its scope.
    SwitchedOff,
    /// After a FAIL of a program, for people to read.
    AfterFail,
}

/// Whether a verdict moves a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// It does.
    Control,
    /// It only makes something.
    Artifact,
}

/// A stage that a program does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deterministic {
    /// The stage.
    pub stage: StageName,
    /// The program.
    pub producer: ProducerName,
}

/// Derives the map.
///
/// `role_of` says in which role a stage's model is asked, `comments` whether a model comments on the FAILs of programs. A
/// producer of which nothing is known counts as one that reaches a model: it could.
pub fn derive(
    pipeline: &Pipeline,
    reaches: &Reaches,
    role_of: impl Fn(&StageName) -> String,
    comments: Option<&str>,
) -> Map {
    let mut map = Map::default();
    for stage in pipeline.stages() {
        let Some(work) = &stage.work else { continue };
        let is_program = |producer: &ProducerName| reaches.get(producer).is_some_and(Vec::is_empty);
        let producers = [(Some(&work.producer), When::Always), (work.fallback.as_ref(), When::SwitchedOff)];
        for (producer, when) in producers {
            let Some(producer) = producer else { continue };
            if is_program(producer) {
                let (stage, producer) = (stage.name.clone(), producer.clone());
                map.deterministic.push(Deterministic { stage, producer });
                continue;
            }
            let done_by_program = when == When::SwitchedOff && is_program(&work.producer);
            let reaches = reaches.get(producer).cloned().unwrap_or_else(|| vec![Reach::Unknown]);
            map.call_sites.push(CallSite {
                stage: Some(stage.name.clone()),
                producer: producer.to_string(),
                role: role_of(&stage.name),
                when,
                done_by_program,
                reaches,
                ..of_question(work)
            });
        }
    }
    if let Some(role) = comments {
        map.call_sites.push(CallSite {
            stage: None,
            producer: "the host".to_owned(),
            role: role.to_owned(),
            when: When::AfterFail,
            path: Path::Artifact,
            avoidable: false,
            done_by_program: false,
            keep_reason: Some(
                "a comment for people, in a file of its own; the verdict stands before it is asked",
            ),
            reaches: vec![Reach::Seam],
        });
    }
    map
}

/// What follows from the question of the stage's gate.
fn of_question(work: &Work) -> CallSite {
    let (path, avoidable, keep_reason) = match work.gate.question() {
        Question::Work => (
            Path::Artifact,
            false,
            Some("it makes something new, and the stages that follow judge what it made"),
        ),
        Question::Judgement => (
            Path::Control,
            false,
            Some("whether a change is good has to be weighed, and no exit code says it"),
        ),
        Question::Fact => (Path::Control, true, None),
    };
    CallSite {
        stage: None,
        producer: String::new(),
        role: String::new(),
        when: When::Always,
        path,
        avoidable,
        done_by_program: false,
        keep_reason,
        reaches: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaches(models: &[&str]) -> Reaches {
        let of = |name: &str| match models.contains(&name) {
            true => vec![Reach::Import],
            false => Vec::new(),
        };
        ["test-runner", "staging-runner", "llm-fallback"]
            .into_iter()
            .map(|name| (ProducerName::new(name).unwrap(), of(name)))
            .collect()
    }

    fn map(pipeline: &str, models: &[&str]) -> Map {
        let pipeline = Pipeline::parse("test", pipeline).unwrap();
        derive(&pipeline, &reaches(models), |stage| format!("role-of-{stage}"), None)
    }

    const DEFAULT: &str = stagewright_engine::pipeline::DEFAULT;

    #[test]
    fn a_fact_is_avoidable_a_judgement_is_kept_and_work_is_only_made() {
        let map = map(DEFAULT, &["llm-fallback"]);
        let told: Vec<_> = map
            .call_sites
            .iter()
            .map(|site| {
                (site.stage.as_ref().unwrap().as_str(), site.path, site.avoidable, site.done_by_program)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("analysis", Path::Artifact, false, false),
                ("architecture", Path::Artifact, false, false),
                ("development", Path::Artifact, false, false),
                ("review", Path::Control, false, false),
                ("testing", Path::Control, true, true),
                ("deploy-staging", Path::Control, true, true),
                ("deploy", Path::Control, true, false),
            ]
        );
        let programs: Vec<_> = map.deterministic.iter().map(|one| one.producer.as_str()).collect();
        assert_eq!(programs, ["test-runner", "staging-runner"]);
    }

    #[test]
    fn a_runner_that_gains_a_way_to_a_model_is_no_program_any_more() {
        let map = map(DEFAULT, &["llm-fallback", "test-runner"]);
        let testing: Vec<_> =
            map.call_sites.iter().filter(|site| site.stage.as_ref().unwrap().as_str() == "testing").collect();
        assert_eq!(testing.len(), 2, "the runner, and its fallback");
        assert!(testing.iter().all(|site| !site.done_by_program));
        assert_eq!(map.deterministic.len(), 1);
    }

    #[test]
    fn a_producer_of_which_nothing_is_known_could_reach_a_model() {
        let other = DEFAULT.replace("producer = \"test-runner\"", "producer = \"somebody\"");
        let map = map(&other, &["llm-fallback"]);
        let testing = map.call_sites.iter().find(|site| site.producer == "somebody").unwrap();
        assert_eq!((testing.when, &testing.reaches[..]), (When::Always, &[Reach::Unknown][..]));
    }

    #[test]
    fn a_comment_is_beside_the_stages_and_off_the_control_path() {
        let pipeline = Pipeline::embedded().unwrap();
        let map = derive(&pipeline, &reaches(&["llm-fallback"]), ToString::to_string, Some("commentator"));
        let comment = map.call_sites.last().unwrap();
        assert_eq!(
            (comment.stage.as_ref(), comment.path, comment.when),
            (None, Path::Artifact, When::AfterFail)
        );
    }
}
