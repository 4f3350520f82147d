//! What agents say at their end, and what it is taken for.

use stagewright_capability::FailureKind;
use stagewright_capability::llm::{Output, Request};
use stagewright_capability::process::Exit;

use crate::setting::{Setting, code, request, result, success};

#[tokio::test]
async fn a_success_with_exit_code_1_is_a_success() {
    let setting = Setting::agent(&format!("sys.stdin.read()\n{}\nsys.exit(1)", success()));
    let answered = setting.ask().await;
    assert_eq!(answered.result, Ok("done".to_owned()));
    assert_eq!((answered.usage.input_tokens, answered.usage.cost_micro_usd), (Some(3), Some(290_000)));
    assert_eq!(answered.command.unwrap().exit, Exit::Code(1));
    let told = setting.told();
    assert_eq!((told[0].role.as_str(), told[0].answer, told[0].usage), ("tester", "ok", answered.usage));
}

#[tokio::test]
async fn an_error_with_exit_code_0_is_a_failure_and_what_it_used_is_known() {
    let setting = Setting::agent(&result("'subtype': 'success', 'is_error': True"));
    let answered = setting.ask().await;
    let failure = answered.result.unwrap_err();
    assert_eq!((failure.kind, failure.code), (FailureKind::Transient, "agent-failed"));
    assert_eq!(setting.told()[0].usage.cost_micro_usd, Some(290_000));
    assert_eq!(setting.told()[0].answer, "agent-failed");
}

#[tokio::test]
async fn each_end_of_an_agent_has_its_own_code() {
    let nested = format!("{}\n", success())
        .replace("print(", "print(json.dumps({'type': 'user', 'content': ")
        .replace(", flush", "}), flush");
    let half = success().replace("}), flush=True", "})[:-20], end='', flush=True");
    let line = success();
    for (script, expected) in [
        ("print('hello')".to_owned(), "agent-no-result"),
        ("sys.exit(3)".to_owned(), "agent-no-result"),
        (half, "agent-no-result"),
        (nested, "agent-no-result"),
        (format!("{line}\nprint('bye')\nprint(json.dumps({{'type': 'result'}})[:9], end='')"), "ok"),
        (result("'subtype': 'error_max_turns', 'is_error': True"), "agent-max-turns"),
        (result("'subtype': 'error_max_budget_usd', 'is_error': True"), "llm-budget-spent"),
        (result("'subtype': 'error_during_execution', 'is_error': True"), "agent-failed"),
        (
            result("'subtype': 'success', 'is_error': True, 'result': 'API Error: 429 rate_limit_error'"),
            "llm-rate-limited",
        ),
        (result("'subtype': 'success', 'is_error': True, 'result': 'Please run /login'"), "llm-unauthorized"),
        ("sys.exit('Invalid API key')".to_owned(), "llm-unauthorized"),
        ("os.kill(os.getpid(), signal.SIGKILL)".to_owned(), "agent-killed"),
        (format!("{line}\nos.kill(os.getpid(), signal.SIGKILL)"), "ok"),
    ] {
        let setting = Setting::agent(&script);
        assert_eq!(code(&setting.ask().await), expected, "{script}");
        let transcript = setting.kept("transcript-tester-1.jsonl");
        assert!(!transcript.contains("Traceback") && !transcript.contains("SyntaxError"), "{transcript}");
    }
}

#[tokio::test]
async fn of_two_result_lines_the_last_counts() {
    let first = result("'subtype': 'success', 'is_error': False, 'result': 'first'");
    let answered = Setting::agent(&format!("{first}\n{}", success())).ask().await;
    assert_eq!(answered.result, Ok("done".to_owned()));
}

#[tokio::test]
async fn the_wait_of_a_usage_limit_is_told() {
    let words = "'result': 'Claude AI usage limit reached|' + str(int(time.time()) + 600)";
    let setting = Setting::agent(&result(&format!("'subtype': 'success', 'is_error': True, {words}")));
    let answered = setting.ask().await;
    assert!((500..=600).contains(&answered.retry_after.unwrap().as_secs()));
    assert!(answered.result.unwrap_err().message.contains("retry after 5"));
}

#[tokio::test]
async fn a_long_prompt_arrives_and_is_kept() {
    let script = "text = sys.stdin.read()\nassert sys.argv[1:] == ['-p', '--output-format', 'stream-json', \
                  '--verbose', '--permission-mode', 'bypassPermissions', '--model', 'm1'], sys.argv\n";
    let answer = success().replace("'done'", "str(len(text)) + text[-3:]");
    let setting = Setting::agent(&format!("{script}{answer}"));
    let prompt = format!("{}end", "x".repeat(1 << 20));
    let answered = setting.llm().ask(Request { prompt: prompt.clone(), ..request() }).await;
    assert_eq!(answered.result, Ok(format!("{}end", (1 << 20) + 3)));
    assert_eq!(setting.kept("prompt-tester-1.md"), prompt);
    assert_eq!(answered.attachments[0].content.bytes, prompt.len() as u64);
}

#[tokio::test]
async fn a_prompt_in_the_arguments_is_not_told_to_the_ledger() {
    let mut setting = Setting::agent(&success().replace("'done'", "sys.argv[2]"));
    setting.change_agent(|agent| agent.args = vec!["-p".into(), "{prompt}".into()]);
    let answered = setting.ask().await;
    assert_eq!(answered.result, Ok("look at it".to_owned()));
    let command = answered.command.unwrap();
    assert_eq!(command.args, ["-p", "{prompt}"]);
    assert!(command.stdout.tail.is_empty() && command.stdout.total > 0);
}

#[tokio::test]
async fn a_flood_is_ended_at_its_limit_and_the_transcript_is_bounded() {
    let mut setting = Setting::agent("while True: print('x' * 1000)");
    setting.change_agent(|agent| agent.process.output_bytes = 8 << 20);
    setting.grant.attachment_bytes = 100_000;
    let answered = setting.ask().await;
    assert_eq!(code(&answered), "agent-limit");
    let bytes = answered.attachments[1].content.bytes;
    assert!((100_000..101_000).contains(&bytes), "{bytes}");
    assert!(setting.kept("transcript-tester-1.jsonl").contains("left_out_bytes"));
}

#[tokio::test]
async fn a_result_after_much_output_is_found() {
    let script = format!("for i in range(5000): print('x' * 1000)\n{}", success());
    assert_eq!(Setting::agent(&script).ask().await.result, Ok("done".to_owned()));
}

#[tokio::test]
async fn an_agent_that_prints_its_answer_is_believed_by_its_exit_code() {
    for (script, expected) in [
        ("print('the answer')", "ok"),
        ("print('the answer'); sys.exit(1)", "agent-failed"),
        ("print('  ')", "agent-no-result"),
        ("print('x' * (3 << 20))", "llm-answer-too-large"),
        ("sys.exit('429 Too Many Requests')", "llm-rate-limited"),
    ] {
        let mut setting = Setting::agent(script);
        setting.change_agent(|agent| agent.output = Output::Text);
        let answered = setting.ask().await;
        assert_eq!(code(&answered), expected, "{script}");
        assert_eq!(answered.usage, stagewright_capability::llm::Usage::default(), "nobody said what it cost");
    }
}

#[tokio::test]
async fn an_agent_that_is_not_there_or_no_program_is_told() {
    let mut setting = Setting::agent("");
    let path = setting.run.folder.path().join("agent/claude");
    let preflight = |setting: &mut Setting| setting.role().clone();
    assert!(preflight(&mut setting).preflight("tester").await.unwrap().contains("is there"));
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(code(&setting.ask().await), "agent-not-executable");
    // Root's access is not asked, but its execution is refused where nobody may execute.
    assert_eq!(preflight(&mut setting).preflight("tester").await.unwrap_err().code, "agent-not-executable");
    std::fs::remove_file(path).unwrap();
    let answered = setting.ask().await;
    assert_eq!(answered.result.unwrap_err().kind, FailureKind::NotFound);
    assert_eq!(setting.told()[1].answer, "agent-missing");
    assert_eq!(preflight(&mut setting).preflight("tester").await.unwrap_err().code, "agent-missing");
}

#[tokio::test]
async fn an_agent_works_in_the_clone_and_reaches_nothing_of_the_daemons() {
    let work = "open('draft.md', 'w').write('x')\nopen(os.environ['CONFIG'] + '/state', 'w').write('x')\n";
    let tries = "def reads(path):\n  try: return open(path).read()\n  except OSError: return 'refused'\n";
    let answer = success().replace("'done'", "reads(sys.stdin.read())");
    let mut setting = Setting::agent(&format!("{work}{tries}{answer}"));
    let (token, config) = (setting.run.folder.path().join("token"), setting.run.folder.path().join("config"));
    std::fs::write(&token, "the daemon's").unwrap();
    std::fs::create_dir(&config).unwrap();
    setting.change_agent(|agent| {
        agent.process.write.push(config.clone());
        agent.process.env.insert("CONFIG".into(), config.display().to_string());
    });
    let answered = setting.llm().ask(Request { prompt: token.display().to_string(), ..request() }).await;
    assert!(setting.run.place.clone.join("draft.md").exists() && config.join("state").exists());
    if answered.command.unwrap().isolation == "none" {
        eprintln!("SKIPPED: this kernel has no Landlock");
        return;
    }
    assert_eq!(answered.result, Ok("refused".to_owned()));
}
