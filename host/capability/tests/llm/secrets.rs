//! Secrets are in nothing that is kept or said.

use std::path::Path;

use stagewright_capability::llm::{Output, Request, Secret, Server, Way};

use crate::setting::{KEY, Setting, code, request, result, success};

/// Every file below the folder that holds any of the texts.
fn holding(folder: &Path, texts: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(holding(&path, texts));
        } else if entry.file_type().unwrap().is_file() {
            let content = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            found.extend(
                texts.iter().filter(|text| content.contains(*text)).map(|_| path.display().to_string()),
            );
        }
    }
    found
}

/// The secret as it is and as JSON writes it; and the other one, of a role that is not asked.
fn secrets() -> Vec<String> {
    vec![KEY.to_owned(), KEY.replace('"', "\\\""), OTHER.to_owned()]
}

const OTHER: &str = "other-secret-0123";

fn with_other_role(mut setting: Setting) -> Setting {
    let mut role = setting.role().clone();
    let url = "http://127.0.0.1:1/".to_owned();
    role.way = Way::Server(Server {
        url,
        model: "m1".into(),
        key: Some(Secret::new(OTHER)),
        prices: None,
        max_bytes: 100,
    });
    setting.grant.roles.insert("judge".into(), role);
    setting
}

const SPILLS: &str = "key = os.environ['MODEL_KEY']\nsys.stdout.write(key[:7]); sys.stdout.flush()\n\
                      sys.stdout.write(key[7:] + '\\n'); sys.stdout.flush()\n\
                      print(json.dumps({'type': 'user', 'content': json.dumps({'env': key})}))\n\
                      print('stderr', key, file=sys.stderr, flush=True)\n";

#[tokio::test]
async fn an_agent_that_spills_its_credential_leaves_it_nowhere() {
    let spilled = success().replace("'done'", &format!("'I have ' + key + ' and {OTHER}'"));
    let setting = with_other_role(Setting::agent(&format!("{SPILLS}{spilled}")));
    let prompt = format!("the other one is {OTHER}");
    let answered = setting.llm().ask(Request { prompt, ..request() }).await;
    assert_eq!(answered.result, Ok("I have [secret MODEL_KEY] and [secret key of judge]".to_owned()));
    assert_eq!(setting.kept("prompt-tester-1.md"), "the other one is [secret key of judge]");
    let transcript = setting.kept("transcript-tester-1.jsonl");
    assert_eq!(transcript.matches("[secret MODEL_KEY]").count(), 4, "{transcript}");
    assert_eq!(holding(&setting.run.place.logs, &secrets()), [""; 0]);
    assert!(!format!("{:?}", setting.grant).contains(KEY));
}

#[tokio::test]
async fn a_failure_does_not_tell_a_credential() {
    let error = result("'subtype': 'success', 'is_error': True").replace("'done'", "'no: ' + key");
    for script in [error, "sys.exit('no: ' + key)".to_owned(), "os.abort()".to_owned()] {
        for output in [Output::ResultLine, Output::Text] {
            let mut setting = Setting::agent(&format!("{SPILLS}{script}"));
            setting.change_agent(|agent| agent.output = output);
            let answered = setting.ask().await;
            let said = format!("{answered:?}");
            assert!(!said.contains("0123456789"), "{said}");
            assert_eq!(holding(&setting.run.place.logs, &secrets()), [""; 0]);
        }
    }
}

#[tokio::test]
async fn nothing_is_in_the_logs_of_processes_and_those_of_the_component_keep_their_names() {
    let setting = Setting::agent(&format!("{SPILLS}{}", success()));
    assert_eq!(code(&setting.ask().await), "ok");
    assert!(!setting.run.place.logs.join("stdout.log").exists());
    setting.run.sh("echo mine").await;
    assert_eq!(std::fs::read(setting.run.place.logs.join("stdout.log")).unwrap(), b"mine\n");
}
