//! What servers answer, and what it is taken for.

use std::time::Duration;

use stagewright_capability::FailureKind;
use stagewright_capability::llm::{Llm, Prices, Way};
use stagewright_engine::outcome::Cause;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::run::shepherd;
use crate::setting::{KEY, Setting, within};

const ANSWER: &str = r#"{"choices":[{"message":{"role":"assistant","content":"fine"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":10}}"#;

/// A server that answers one request with this; gives its address and what it was asked.
async fn server(answer: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1/", listener.local_addr().unwrap());
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut request, mut buffer) = (String::new(), [0; 4_096]);
        loop {
            let read = stream.read(&mut buffer).await.unwrap();
            request += &String::from_utf8_lossy(&buffer[..read]);
            let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if read == 0 || body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    });
    (base, seen)
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn an_answer_is_its_text_and_the_prices_give_its_cost() {
    let (url, seen) = server(http("200 OK", "", ANSWER)).await;
    let mut setting = Setting::server(&url);
    let Way::Server(server) = &mut setting.role().way else { panic!() };
    server.prices = Some(Prices { input: 1_000_000, cached_input: None, output: 2_000_000 });
    let answered = setting.ask().await;
    assert_eq!(answered.result, Ok("fine".to_owned()));
    assert_eq!((answered.usage.input_tokens, answered.usage.cost_micro_usd), (Some(100), Some(120)));
    assert_eq!(setting.told()[0].usage, answered.usage);
    let seen = seen.await.unwrap();
    assert!(seen.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("authorization: Bearer {KEY}\r\n")), "{seen}");
    assert!(
        seen.ends_with(r#"{"model":"m1","messages":[{"role":"user","content":"look at it"}]}"#),
        "{seen}"
    );
    assert_eq!(setting.kept("prompt-tester-1.md"), "look at it");
    assert!(setting.kept("transcript-tester-1.jsonl").contains("fine"));
}

#[tokio::test]
async fn each_answer_has_its_own_code() {
    let ended = |how: &str| http("200 OK", "", &ANSWER.replace("\"stop\"", how));
    let body = |body: &str| http("200 OK", "", body);
    let error = |status: &str| http(status, "", r#"{"error":{"message":"no","type":"some_error"}}"#);
    use FailureKind::{Limit, NotFound, Permanent, Transient};
    for (answer, kind, expected) in [
        (ended("\"length\""), Limit, "llm-answer-cut"),
        (ended("\"content_filter\""), Permanent, "llm-answer-filtered"),
        (ended("\"tool_calls\""), Transient, "llm-nonsense"),
        (ended("7"), Transient, "llm-nonsense"),
        (body("<html>"), Transient, "llm-nonsense"),
        (body(""), Transient, "llm-nonsense"),
        (body("{\"choices\":[]}"), Transient, "llm-nonsense"),
        (body(&ANSWER.replace("\"fine\"", "\" \"")), Transient, "llm-nonsense"),
        (body(&ANSWER.replace("\"fine\"", "null")), Transient, "llm-nonsense"),
        (body("{\"error\":{\"code\":429,\"message\":\"slow down\"}}"), Transient, "llm-rate-limited"),
        (body("{\"error\":\"boom\"}"), Transient, "llm-unavailable"),
        (error("401 Unauthorized"), Permanent, "llm-unauthorized"),
        (error("403 Forbidden"), Permanent, "llm-unauthorized"),
        (error("402 Payment Required"), Permanent, "llm-no-credit"),
        (error("404 Not Found"), NotFound, "llm-not-found"),
        (error("400 Bad Request"), Permanent, "llm-bad-request"),
        (error("429 Too Many Requests"), Transient, "llm-rate-limited"),
        (error("500 Internal Server Error"), Transient, "llm-unavailable"),
        (error("529 Overloaded"), Transient, "llm-rate-limited"),
        (
            http(
                "429 Too Many Requests",
                "",
                r#"{"error":{"message":"You exceeded it","code":"insufficient_quota"}}"#,
            ),
            Permanent,
            "llm-no-credit",
        ),
        (http("302 Found", "location: http://127.0.0.1:1/\r\n", ""), Permanent, "llm-bad-address"),
        (body(&"x".repeat(20_000)), Limit, "llm-answer-too-large"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{".to_owned(), Transient, "llm-broken-answer"),
        ("nonsense\r\n\r\n".to_owned(), Transient, "llm-broken-answer"),
    ] {
        let (url, _seen) = server(answer.clone()).await;
        let setting = Setting::server(&url);
        let failure = setting.ask().await.result.unwrap_err();
        assert_eq!((failure.kind, failure.code), (kind, expected), "{answer}");
        assert_eq!(setting.told()[0].answer, expected);
    }
}

#[tokio::test]
async fn the_wait_that_a_server_tells_is_told() {
    let (url, _seen) = server(http("429 Too Many Requests", "retry-after: 17\r\n", "{}")).await;
    let answered = Setting::server(&url).ask().await;
    assert_eq!(answered.retry_after, Some(Duration::from_secs(17)));
    assert!(answered.result.unwrap_err().message.contains("retry after 17 s"));
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name_are_transient() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    for url in [closed.as_str(), "http://no-such-host.invalid/v1"] {
        let setting = Setting::server(url);
        let failure = setting.ask().await.result.unwrap_err();
        assert_eq!((failure.kind, failure.code), (FailureKind::Transient, "llm-unreachable"), "{failure}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_ends_with_the_time_or_the_cancel() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let setting = Setting::server(&format!("http://{}/v1", listener.local_addr().unwrap()));
    let answered = setting.llm().ask(within(Duration::from_millis(100))).await;
    assert_eq!(answered.result.unwrap_err().kind, FailureKind::TimedOut);
    let (answered, ()) = tokio::join!(setting.ask(), async {
        drop(listener.accept().await.unwrap());
        let _second = listener.accept().await.unwrap();
        setting.run.cancel.cancel(Cause::Operator);
    });
    assert_eq!(answered.result.unwrap_err().kind, FailureKind::Cancelled);
    assert_eq!(setting.told().len(), 2);
}

#[tokio::test]
async fn a_server_that_repeats_the_key_tells_it_to_nobody() {
    let escaped = KEY.replace('"', "\\\"");
    let spilled = [
        http("400 Bad Request", "", &format!("{{\"error\":{{\"message\":\"Bearer {escaped} is bad\"}}}}")),
        http("400 Bad Request", "", &format!("no json: {KEY}")),
        http("200 OK", "", &ANSWER.replace("fine", &escaped)),
    ];
    for answer in spilled {
        let (url, _seen) = server(answer).await;
        let setting = Setting::server(&url);
        let answered = setting.ask().await;
        let said = format!("{answered:?}{}", setting.kept("transcript-tester-1.jsonl"));
        assert!(said.contains("[secret key of tester]") && !said.contains("0123456789"), "{said}");
    }
}

#[tokio::test]
async fn a_preflight_asks_for_the_models_and_spends_nothing() {
    for (answer, expected) in [
        (http("200 OK", "", "{\"data\":[{\"id\":\"m1\"}]}"), Ok("lists `m1`")),
        (http("200 OK", "", "{\"data\":[]}"), Ok("does not list `m1`")),
        (http("404 Not Found", "", ""), Ok("status 404")),
        (http("401 Unauthorized", "", ""), Err("llm-unauthorized")),
        (http("503 Busy", "", ""), Err("llm-unavailable")),
    ] {
        let (url, seen) = server(answer).await;
        let seen_by_role = Setting::server(&url).role().preflight("tester").await;
        match expected {
            Ok(words) => assert!(seen_by_role.as_ref().unwrap().contains(words), "{seen_by_role:?}"),
            Err(code) => assert_eq!(seen_by_role.unwrap_err().code, code),
        }
        assert!(seen.await.unwrap().starts_with("GET /v1/models HTTP/1.1"));
    }
}

#[test]
fn a_role_that_can_not_be_asked_is_refused_as_it_is_made() {
    for url in [
        "",
        "model",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://user:pw123456@127.0.0.1/",
        "http://a/?k=1",
    ] {
        let failure = Setting::server(url).role().check("tester").unwrap_err();
        assert_eq!(failure.code, "llm-bad-address", "{url}");
        assert!(!failure.message.contains("pw123456"), "{failure}");
    }
    let mut agent = Setting::agent("");
    assert_eq!(agent.role().check("a/b").unwrap_err().code, "llm-bad-role");
    agent.change_agent(|agent| agent.args.push("{promt}".into()));
    let failure = agent.role().check("tester").unwrap_err();
    assert_eq!(failure.code, "llm-bad-template");
    assert!(failure.message.contains("`{promt}`; known are {prompt}, {model}, {budget_usd}"), "{failure}");
    agent.change_agent(|agent| agent.program = String::new());
    assert_eq!(agent.role().check("tester").unwrap_err().code, "llm-bad-program");
    let run = &agent.run;
    let made = Llm::new(
        agent.grant.clone(),
        run.place.clone(),
        &shepherd(),
        run.cancel.clone(),
        agent.purse.clone(),
    );
    assert_eq!(made.unwrap_err().code, "llm-bad-program");
    let mut server = Setting::server("http://127.0.0.1/v1");
    let Way::Server(settings) = &mut server.role().way else { panic!() };
    settings.key = Some(stagewright_capability::llm::Secret::new("two\nlines-of-key"));
    assert_eq!(server.role().check("tester").unwrap_err().code, "llm-bad-key");
}
