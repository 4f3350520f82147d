//! A model's comment on a FAIL (P5): a file beside the report, for people.
//!
//! It is asked for after the verdict is written and the task has moved, about the report of a producer that is a program. So
//! nothing can depend on it: a comment that fails, is late or makes no sense is a line in the log, and what it says is read
//! by nobody but people.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_capability::llm::{Llm, Request};
use stagewright_capability::{Cancel, Place};
use stagewright_engine::identity::RunId;
use stagewright_engine::name::ProducerName;
use stagewright_engine::outcome::Judgement;
use stagewright_repository::artifact::write;
use stagewright_store::request::job::Claimed;

use super::models::{self, TaskPurse};
use super::{Worked, Worker, run_of};
use crate::clock;
use crate::config::COMMENTATOR;

/// The comment's file, beside the report.
const FILE: &str = "comment.md";
/// Said at its head, so that nobody takes it for more.
const HEAD: &str = "<!-- What a language model thinks of this report. It decides nothing. -->\n\n";

impl Worker {
    /// Whether a model is to comment on what a job came to: the operator wants it, and a producer that asks no model itself
    /// has found a FAIL.
    pub(crate) fn wants_comment(&self, producer: &ProducerName, worked: &Worked) -> bool {
        let asks_models = self.config.roles_of(producer, None).is_some();
        self.config.llm.comment && !asks_models && worked.judgement() == Some(Judgement::Fail)
    }

    /// Has a model comment on what a job came to, where that [is wanted](Self::wants_comment). Gives the comment's file.
    pub(crate) async fn comment(
        &self,
        claimed: &Claimed,
        producer: &ProducerName,
        worked: &Worked,
        cancel: Cancel,
    ) -> Option<PathBuf> {
        let report = worked.artifact.as_deref()?;
        match Box::pin(self.ask_for_comment(claimed, producer, report, cancel)).await {
            Ok(file) => Some(file),
            Err(why) => {
                tracing::warn!(task = %claimed.task.key, why, "there is no comment on a FAIL");
                None
            }
        }
    }

    async fn ask_for_comment(
        &self,
        claimed: &Claimed,
        producer: &ProducerName,
        report: &Path,
        cancel: Cancel,
    ) -> Result<PathBuf, String> {
        let run = run_of(claimed);
        let folder = report.parent().ok_or("the report has no folder")?;
        let prompt = self.comment_prompt(claimed, report)?;
        // Folders and a mark of its own, new and empty: a commentator has nothing but the report.
        let mark = RunId::new(clock::new_id());
        let aside = self.state.aside().join(mark.to_string());
        let place = Place::make(mark, &aside, folder.join("comment")).map_err(|error| error.to_string())?;
        let asked = async {
            std::fs::create_dir(&place.clone).map_err(|error| error.to_string())?;
            let process = self.confined(producer, &claimed.task.key.repo, None, None);
            let grant =
                models::grant(&self.config, [COMMENTATOR.to_owned()], &process).map_err(|it| it.message)?;
            let purse = Arc::new(TaskPurse {
                store: Arc::clone(&self.store),
                config: Arc::clone(&self.config),
                task: claimed.task.key.clone(),
                stage: claimed.job.stage.clone(),
                run,
                producer: producer.clone(),
                unwritten: Default::default(),
            });
            let llm =
                Llm::new(grant, place.clone(), &self.shepherd, cancel, purse).map_err(|it| it.message)?;
            let request = Request { role: COMMENTATOR.to_owned(), prompt, timeout: None };
            llm.ask(request).await.result.map_err(|failure| failure.to_string())
        };
        let answer = asked.await;
        for folder in [aside, place.tmp] {
            // What can't be removed is for a later sweep.
            let _ = stagewright_repository::removal::remove(&folder).await;
        }
        let text = format!("{HEAD}{}\n", answer?.trim());
        write(folder, Path::new(FILE), text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(folder.join(FILE))
    }

    fn comment_prompt(&self, claimed: &Claimed, report: &Path) -> Result<String, String> {
        let prompt = self.prompt_of(COMMENTATOR).map_err(|fault| fault.message)?;
        let report = std::fs::read_to_string(report).map_err(|error| error.to_string())?;
        let named = [
            ("{repo}", claimed.task.key.repo.to_string()),
            ("{reports}", "- it is below".to_owned()),
            ("{work_item}", claimed.task.key.work_item.to_string()),
            ("{stage}", claimed.job.stage.to_string()),
            ("{commit}", claimed.job.commit.to_string()),
            ("{branch}", claimed.task.branch.to_string()),
        ];
        // A branch's name alone can have braces in it, so it comes last of these, and the report behind everything.
        let prompt = named.into_iter().fold(prompt, |prompt, (name, value)| prompt.replace(name, &value));
        Ok(format!("{prompt}\n\n# The report\n\n{report}"))
    }
}
