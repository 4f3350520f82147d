//! Looks at the whole channel before there is any work: target, docker client, engine, container, a way into it.
//!
//! Each step needs the one before, so it stops at the first that does not work. It starts nothing but questions, and `true`
//! where the suite would run.

use stagewright_sdk::evidence::Rule;
use stagewright_sdk::{Finding, Host, Process, Ssh, finding, last_lines};

use crate::channel::{End, Seen, exec};
use crate::classify;
use crate::docker::{self, Said};
use crate::settings::{Settings, ShellInContainer};

/// How long one step may take.
const STEP_MS: u64 = 20_000;

/// What became of a step.
enum Step {
    /// It works, and this is what it said.
    Works(String),
    /// It does not, and this rule says what that would be in a run.
    Broken(Finding),
}

/// Looks at everything that a run needs.
pub(crate) fn look<C: Host + Process + Ssh>(settings: &Settings, host: &C) -> Vec<Finding> {
    let mut findings = Vec::new();
    let container = settings.container.as_deref();
    let docker = |args: &[&str]| -> Vec<String> {
        std::iter::once(settings.docker.as_str()).chain(args.iter().copied()).map(str::to_owned).collect()
    };
    let mut steps = Vec::new();
    if settings.exec_host_side {
        steps.push(("target", vec!["true".to_owned()], Vec::new()));
    }
    if let Some(container) = container {
        steps.push(("docker client", docker(&["--version"]), Vec::new()));
        steps.push(("docker engine", docker(&["version", "--format", "{{.Server.Version}}"]), Vec::new()));
        steps.push((
            "container",
            docker(&["container", "inspect", "--format", "{{.State.Status}}", container]),
            Vec::new(),
        ));
        if settings.exec_host_side && settings.shell_in_container != ShellInContainer::No {
            steps.push((
                "shell in the container",
                vec!["true".to_owned()],
                docker(&["exec", "-i", container]),
            ));
        }
    }
    for (check, argv, enclosure) in steps {
        if host.cancelled().is_some() {
            break;
        }
        let seen = exec(host, settings, argv, enclosure, STEP_MS);
        match step(settings, check, &seen) {
            Step::Works(message) => findings.push(finding::ok(check, message)),
            Step::Broken(finding) => {
                findings.push(finding);
                break;
            }
        }
    }
    findings
}

fn step(settings: &Settings, check: &str, seen: &Seen) -> Step {
    let (out, err) = (seen.out(), seen.err());
    let first = out.lines().next().unwrap_or_default().trim().to_owned();
    let (rule, why) = match &seen.end {
        End::Exited(0) if check == "container" && first != "running" => (docker::NOT_RUNNING, first),
        End::Exited(0) => return Step::Works(if first.is_empty() { "reached".to_owned() } else { first }),
        End::Exited(code) | End::NotEntered(code) => {
            let said = Said { client: &settings.docker, code: *code, stdout: &out, stderr: &err };
            let rule = docker::classify(said, docker::NO_SHELL);
            if rule == docker::NO_SHELL && settings.shell_in_container == ShellInContainer::Auto {
                let message = "it has none, so beginning and end of the suite are the engine's word";
                let remedy = "put a POSIX shell into the image";
                return Step::Broken(finding::warning(check, message, remedy));
            }
            (rule, last_lines(if err.trim().is_empty() { &out } else { &err }, 1, 400).to_owned())
        }
        End::NotStarted(failure) => (classify::of_failure(settings, failure), failure.message.clone()),
        End::Interrupted(failure, _) => (classify::CHANNEL_FAULT, failure.message.clone()),
        End::TimedOut(_) => (classify::CHANNEL_FAULT, "no answer in time".to_owned()),
        End::Cancelled(_) => (classify::CANCELLED, "cancelled".to_owned()),
    };
    Step::Broken(broken(check, &rule, &why))
}

/// What a run would be held for is a defect; what it would try again for is a warning.
fn broken(check: &str, rule: &Rule, why: &str) -> Finding {
    let message = if why.is_empty() { rule.says.to_owned() } else { format!("{}: {why}", rule.says) };
    if classify::is_defect(rule) {
        finding::defect(check, message, rule.remedy)
    } else {
        finding::warning(check, message, rule.remedy)
    }
}
