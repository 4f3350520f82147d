//! Which pipeline a repository has, and who produces its stages (E1, P4).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_engine::pipeline::{Pipeline, Work};
use stagewright_store::request::job::Lane;
use stagewright_store::request::repo::Repo;

use crate::config::Config;
use crate::host;

/// The pipelines of the configured repositories, and everybody's.
#[derive(Clone)]
pub struct Pipelines {
    config: Arc<Config>,
    general: Arc<Pipeline>,
    own: BTreeMap<RepoName, Arc<Pipeline>>,
}

impl Pipelines {
    /// Reads all of them, so that one that can't be used is told at the start.
    pub fn read(config: &Arc<Config>) -> Result<Self, host::Error> {
        // No folder has this path, so it is everybody's pipeline.
        let general = Arc::new(host::pipeline(config, Path::new(""))?);
        let mut own = BTreeMap::new();
        for (name, repo) in &config.repos {
            if let Some(file) = &repo.repo.pipeline {
                own.insert(name.clone(), Arc::new(host::pipeline_file(file)?));
            }
        }
        let pipelines = Self { config: Arc::clone(config), general, own };
        pipelines.check_effects()?;
        Ok(pipelines)
    }

    /// Every effect that a pipeline names is configured: found at the start, and not in the midst of a transition.
    fn check_effects(&self) -> Result<(), host::Error> {
        for pipeline in [&self.general].into_iter().chain(self.own.values()) {
            for stage in pipeline.stages() {
                for effect in stage.work.iter().flat_map(|work| &work.effects) {
                    if !self.config.effects.contains_key(effect) {
                        let (stage, effect) = (stage.name.clone(), effect.clone());
                        return Err(host::Error::UnknownEffect { stage, effect });
                    }
                }
            }
        }
        Ok(())
    }

    /// The pipeline of a repository.
    pub fn of(&self, repo: &RepoName) -> &Arc<Pipeline> {
        self.own.get(repo).unwrap_or(&self.general)
    }

    /// Who does a stage's work for a repository: its producer, or the fallback where the operator has switched that off
    /// for it (P4). `None` if it is off and there is no fallback. A producer that is broken leads nowhere else.
    pub fn producer(&self, repo: &RepoName, work: &Work) -> Option<ProducerName> {
        if self.config.serves(&work.producer, repo) {
            Some(work.producer.clone())
        } else {
            work.fallback.clone()
        }
    }

    /// What a worker of this host takes: for each stage and producer, the repositories for which they go together.
    pub fn lanes(&self, repos: &[Repo]) -> Vec<Lane> {
        let mut lanes: Vec<Lane> = Vec::new();
        for repo in repos {
            for stage in self.of(&repo.name).stages() {
                let Some(work) = &stage.work else { continue };
                let Some(producer) = self.producer(&repo.name, work) else { continue };
                let same = |lane: &&mut Lane| lane.stage == stage.name && lane.producer == producer;
                if let Some(lane) = lanes.iter_mut().find(same) {
                    lane.repos.get_or_insert_default().push(repo.name.clone());
                    continue;
                }
                let limit = self.config.producers.get(&producer).and_then(|producer| producer.producer.jobs);
                lanes.push(Lane {
                    stage: stage.name.clone(),
                    repos: Some(vec![repo.name.clone()]),
                    producer,
                    limit: limit.unwrap_or(u32::MAX),
                });
            }
        }
        lanes
    }
}
