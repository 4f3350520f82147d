//! `task add|list|show|hold|resume|retry|move|cancel`: looks at tasks, and tells the operator what a person wants of them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stagewright_engine::identity::TaskKey;
use stagewright_engine::job::Run;
use stagewright_engine::name::{BranchName, RepoName, StageName, WorkItem};
use stagewright_engine::task::{Task, TaskState};
use stagewright_engine::transition::Request;
use stagewright_repository::Repositories;
use stagewright_repository::source::Source;
use stagewright_store::Store;
use stagewright_store::request::task::{TaskFilter, TaskRefused, TaskStateKind};

use super::config_command::load;
use super::output::{print, print_json};
use super::progress::printable;
use super::{Failure, Global};
use crate::begin::{self, Begun};
use crate::clock::{self, rfc3339};
use crate::exit::Exit;
use crate::host;
use crate::operator::Operator;
use crate::state::StateDir;
use crate::view::TaskView;

/// How many tasks are read at once.
const PAGE: u32 = 500;

/// What can be asked of tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Begin a task: its first stage is queued for the daemon
    #[command(
        after_help = "Examples:\n  stagewright task add SHOP-12 --repo .\n  stagewright task add SHOP-12 --repo ~/shop --branch feature/basket --stage testing"
    )]
    Add(AddArgs),
    /// List tasks
    #[command(after_help = "Examples:\n  stagewright task list\n  stagewright task list --state held --json")]
    List(ListArgs),
    /// Show one task: its stage, its verdicts, its runs
    #[command(after_help = "Example:\n  stagewright task show SHOP-12")]
    Show(OneArgs),
    /// Hold a task: it stays where it is until somebody resumes it
    #[command(after_help = "Example:\n  stagewright task hold SHOP-12 --reason \"the release is frozen\"")]
    Hold(HoldArgs),
    /// Take the hold off a task, so that its job is done again
    #[command(after_help = "Example:\n  stagewright task resume SHOP-12")]
    Resume(OneArgs),
    /// Do a task's stage again, with all its attempts anew
    #[command(after_help = "Example:\n  stagewright task retry SHOP-12")]
    Retry(OneArgs),
    /// Put a task at another stage, with all its attempts anew
    #[command(after_help = "Example:\n  stagewright task move SHOP-12 --to review")]
    Move(MoveArgs),
    /// Give a task up; a job that runs is ended
    #[command(after_help = "Example:\n  stagewright task cancel SHOP-12")]
    Cancel(OneArgs),
}

/// A new task.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The work item's key in the tracker, such as SHOP-12
    #[arg(value_name = "KEY")]
    work_item: WorkItem,
    /// The repository: its checkout, or a bare one
    #[arg(long, value_name = "FOLDER")]
    repo: PathBuf,
    /// The branch of the work [default: the one that is checked out]
    #[arg(long, value_name = "BRANCH")]
    branch: Option<BranchName>,
    /// The stage to begin with [default: the pipeline's first]
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
}

/// Which tasks are listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only tasks in this state
    #[arg(long, value_name = "STATE", value_enum)]
    state: Option<StateArg>,
    /// Only tasks of this repository, by its name in the list
    #[arg(long, value_name = "NAME")]
    repo: Option<RepoName>,
}

/// Which task.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// The work item's key
    #[arg(value_name = "KEY")]
    pub(super) work_item: WorkItem,
    /// The repository's name, if the key is in use in several
    #[arg(long, value_name = "NAME")]
    pub(super) repo: Option<RepoName>,
}

/// Which task, and why it is held.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Why, for whoever finds it held
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Which task, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    #[command(flatten)]
    one: OneArgs,
    /// The stage
    #[arg(long, value_name = "STAGE")]
    to: StageName,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StateArg {
    Active,
    Held,
    Done,
    Cancelled,
}

pub(crate) async fn task(global: &Global, command: &TaskCommand) -> Result<Exit, Failure> {
    if let TaskCommand::Add(args) = command {
        return add(global, args).await;
    }
    let store = open(global).await?;
    match command {
        // Answered above: it may be the first that needs a store.
        TaskCommand::Add(args) => add(global, args).await,
        TaskCommand::List(args) => list(&*store, args, global.json).await,
        TaskCommand::Show(args) => show(&*store, args, global.json).await,
        TaskCommand::Hold(args) => {
            let wish = Request::Hold { reason: args.reason.clone() };
            self::wish(global, &store, &args.one, &wish).await
        }
        TaskCommand::Resume(args) => resume(&*store, args, global.json).await,
        TaskCommand::Retry(args) => wish(global, &store, args, &Request::Retry).await,
        TaskCommand::Move(args) => {
            let wish = Request::Move { to: args.to.clone() };
            self::wish(global, &store, &args.one, &wish).await
        }
        TaskCommand::Cancel(args) => wish(global, &store, args, &Request::Cancel).await,
    }
}

/// Begins a task and queues its first job. Added again, it is told as it is.
async fn add(global: &Global, args: &AddArgs) -> Result<Exit, Failure> {
    let config = load(global)?;
    let pipeline = host::pipeline(&config, &args.repo)?;
    let stage = begin::first_stage(&pipeline, args.stage.as_ref())?;
    let git = host::git(&config).await?;
    let source = Source::find(&git, &args.repo).await?;
    let location = host::state_location(&config)?;
    crate::state::outside_of(&location, &source.top)?;
    let state = StateDir::open(&location)?;
    let store = host::open_store(state.store()).await?;
    state.make_parts()?;
    let name = host::repo_name(&config, &args.repo)?;
    let bare = Repositories::new(git, &state.repos())?.open_source(&name, source).await?;
    let key = TaskKey { repo: name, work_item: args.work_item.clone() };
    let Begun { task, new } = begin::begin(&*store, &bare, key.clone(), args.branch.clone(), stage).await?;
    let text = match new {
        false => format!("{} is a task already: {} at {}\n", key.work_item, state_word(&task), task.stage),
        true => format!("{} begins at {}, on {}\n", key.work_item, task.stage, task.branch),
    };
    if global.json {
        print_json(&object(&task));
    } else {
        print(&text);
    }
    Ok(Exit::Success)
}

/// Lets the operator carry a wish out, and tells what the task is then.
async fn wish(
    global: &Global,
    store: &Arc<dyn Store>,
    args: &OneArgs,
    wish: &Request,
) -> Result<Exit, Failure> {
    let config = load(global)?;
    let task = one(&**store, args).await?;
    let repo = store.repo(&task.key.repo).await?;
    let source = repo.map(|repo| repo.source).unwrap_or_default();
    let pipeline = host::pipeline(&config, &source)?;
    let state = StateDir::open(&host::state_location(&config)?)?;
    let operator = Operator::start(Arc::clone(store), &state).await?;
    let before = task.clone();
    let done = operator.wish(&config, &pipeline, task, wish).await;
    operator.end().await;
    let task = done?;
    if global.json {
        print_json(&object(&task));
        return Ok(Exit::Success);
    }
    let key = &task.key.work_item;
    let text = match wish {
        _ if task == before => format!("{key} is {} at {} already\n", state_word(&task), task.stage),
        Request::Hold { .. } => {
            format!("{key} is held at {}; `stagewright task resume {key}` lets it go on\n", task.stage)
        }
        Request::Cancel => format!("{key} is given up\n"),
        Request::Retry => format!("{key} begins {} anew\n", task.stage),
        Request::Move { .. } | Request::Resume => format!("{key} is at {} now\n", task.stage),
    };
    print(&text);
    Ok(Exit::Success)
}

/// The store, if there is one: looking at tasks makes none.
pub(super) async fn open(global: &Global) -> Result<Arc<dyn Store>, Failure> {
    let config = load(global)?;
    let path = host::state_location(&config)?.join("store.sqlite3");
    if !path.exists() {
        let message = format!("there is no store yet ({}): no task was ever begun", path.display());
        return Err(Failure::usage(message));
    }
    host::open_store(path).await.map_err(Failure::from)
}

async fn list(store: &dyn Store, args: &ListArgs, json: bool) -> Result<Exit, Failure> {
    let mut filter = TaskFilter {
        state: args.state.map(|state| match state {
            StateArg::Active => TaskStateKind::Active,
            StateArg::Held => TaskStateKind::Held,
            StateArg::Done => TaskStateKind::Done,
            StateArg::Cancelled => TaskStateKind::Cancelled,
        }),
        repo: args.repo.clone(),
        limit: PAGE,
        ..TaskFilter::default()
    };
    let mut found = Vec::new();
    loop {
        let page = store.tasks(filter.clone()).await?;
        let Some(last) = page.last() else { break };
        filter.after = Some(last.key.clone());
        let complete = page.len() < PAGE as usize;
        found.extend(page);
        if complete {
            break;
        }
    }
    if json {
        print_json(&Value::Array(found.iter().map(object).collect()));
        return Ok(Exit::Success);
    }
    if found.is_empty() {
        print("no tasks\n");
        return Ok(Exit::Success);
    }
    let width = found.iter().map(|task| task.key.work_item.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for task in &found {
        let _ = writeln!(
            text,
            "{:width$}  {:9}  {:14}  {}  {} ago{}",
            task.key.work_item.as_str(),
            state_word(task),
            task.stage.as_str(),
            task.key.repo,
            clock::now().since(task.updated),
            task.hold().map(|hold| format!("  {}", hold.fault.code)).unwrap_or_default(),
        );
    }
    print(&text);
    Ok(Exit::Success)
}

async fn show(store: &dyn Store, args: &OneArgs, json: bool) -> Result<Exit, Failure> {
    let task = one(store, args).await?;
    let job = store.live_job(&task.key).await?;
    let mut runs = Vec::new();
    for stage in task.verdicts.keys().chain(std::iter::once(&task.stage)) {
        if let Some(run) = store.last_run(&task.key, stage).await?
            && !runs.iter().any(|(_, known): &(_, Run)| known.id == run.id)
        {
            runs.push((stage.clone(), run));
        }
    }
    if json {
        let mut value = object(&task);
        value["job"] = json!(job);
        let runs: Vec<_> = runs
            .iter()
            .map(|(stage, run)| json!({"stage": stage, "run": run.id, "started": rfc3339(run.started)}))
            .collect();
        value["last_runs"] = runs.into();
        print_json(&value);
        return Ok(Exit::Success);
    }
    let mut text = format!("{} in {}\n", task.key.work_item, task.key.repo);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:10} {value}");
    };
    line("state", state_word(&task));
    line("stage", task.stage.as_str());
    line("branch", task.branch.as_str());
    line("head", task.head.as_ref().map_or("not seen yet", |head| head.as_str()));
    line("attempts", &format!("{} spent", task.attempts_spent));
    if let Some(hold) = task.hold() {
        line("held", &format!("{} ({})", printable(&hold.fault.message), hold.fault.code));
        if let Some(remedy) = &hold.fault.remedy {
            line("way out", &printable(remedy));
        }
    }
    for (stage, verdict) in &task.verdicts {
        line(
            stage.as_str(),
            &format!("{:?} of {} at {}", verdict.judgement, verdict.commit.short(), rfc3339(verdict.at)),
        );
    }
    for (stage, run) in &runs {
        line("last run", &format!("{} of {stage}, began {}", run.id, rfc3339(run.started)));
    }
    print(&text);
    Ok(Exit::Success)
}

async fn resume(store: &dyn Store, args: &OneArgs, json: bool) -> Result<Exit, Failure> {
    let task = one(store, args).await?;
    let resumed = match store.resume_task(&task.key, clock::now()).await {
        Ok(task) => task,
        Err(TaskRefused::NotHeld(_)) => {
            return Err(Failure::usage(format!(
                "{} is not held: it is {} at {}",
                task.key,
                state_word(&task),
                task.stage
            )));
        }
        Err(refused) => return Err(refused.into()),
    };
    if json {
        print_json(&object(&resumed));
    } else {
        print(&format!("{} goes on at {}\n", resumed.key.work_item, resumed.stage));
    }
    Ok(Exit::Success)
}

pub(super) async fn one(store: &dyn Store, args: &OneArgs) -> Result<Task, Failure> {
    let filter = TaskFilter {
        repo: args.repo.clone(),
        work_item: Some(args.work_item.clone()),
        limit: 20,
        ..TaskFilter::default()
    };
    let mut found = store.tasks(filter).await?;
    match found.len() {
        0 => Err(Failure::usage(format!(
            "there is no task {}; `stagewright task list` shows all",
            args.work_item
        ))),
        1 => Ok(found.remove(0)),
        _ => {
            let repos: Vec<&str> = found.iter().map(|task| task.key.repo.as_str()).collect();
            let message = format!(
                "{} is a task in several repositories; name one with --repo: {}",
                args.work_item,
                repos.join(", ")
            );
            Err(Failure::usage(message))
        }
    }
}

fn state_word(task: &Task) -> &'static str {
    match task.state {
        TaskState::Active => "active",
        TaskState::Held(_) => "held",
        TaskState::Done => "done",
        TaskState::Cancelled => "cancelled",
    }
}

/// A task as the API shows it too.
fn object(task: &Task) -> Value {
    json!(TaskView::from(task))
}
