//! Asking an OpenAI-compatible server.
//!
//! A redirect is a failure. Only an answer that the model brought to its end is one.

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::grant::Server;
use super::heard::Heard;
use super::kept::Transcript;
use super::secret::shortened;
use super::signs::{self, Sign};
use super::usage::Usage;
use crate::{Cancel, Failure, FailureKind, http};

/// How much of a server's error is told, in bytes.
const EVIDENCE: usize = 1_000;

/// An HTTP answer.
pub(super) struct Answer {
    pub(super) status: u16,
    retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// Asks once, and waits for the answer.
pub(super) async fn ask(
    server: &Server,
    prompt: &str,
    timeout: Duration,
    transcript: &mut Transcript,
    cancel: &Cancel,
    given_up: &CancellationToken,
) -> Heard {
    let answer = tokio::select! {
        answer = tokio::time::timeout(timeout, post(server, prompt)) => answer.unwrap_or_else(|_| {
            let message = format!("the model's server did not answer within {} ms", timeout.as_millis());
            Err(Failure::new(FailureKind::TimedOut, "llm-timed-out", message))
        }),
        _ = cancel.cancelled() => Err(Failure::cancelled()),
        () = given_up.cancelled() => Err(Failure::cancelled()),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return Heard::failed(failure),
    };
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let text = || Value::from(String::from_utf8_lossy(&answer.body).into_owned());
    transcript.note(&json!({ "status": answer.status, "body": body.clone().unwrap_or_else(text) }));
    let body = body.unwrap_or_default();
    let usage = Usage::of_completion(&body, server.prices);
    let (result, retry_after) = match refusal(&answer, &body) {
        Some((failure, wait)) => (Err(failure), wait),
        None => (content(&body), None),
    };
    Heard { result, usage, retry_after, ..Heard::default() }
}

async fn post(server: &Server, prompt: &str) -> Result<Answer, Failure> {
    let question = json!({ "model": server.model, "messages": [{ "role": "user", "content": prompt }] });
    let url = server.address("chat/completions").map_err(bad_address)?;
    let request =
        http::client()?.post(url).header(CONTENT_TYPE, "application/json").body(question.to_string());
    send(server, request).await
}

/// The list of the server's models, which costs nothing.
pub(super) async fn models(server: &Server) -> Result<Answer, Failure> {
    let url = server.address("models").map_err(bad_address)?;
    send(server, http::client()?.get(url)).await
}

async fn send(server: &Server, request: RequestBuilder) -> Result<Answer, Failure> {
    let request = match server.authorization() {
        Some(Some(key)) => request.header(AUTHORIZATION, key),
        Some(None) => {
            return Err(Failure::new(FailureKind::Permanent, "llm-bad-key", "the key is no header's value"));
        }
        None => request,
    };
    let answer = request.send().await.map_err(broken)?;
    let status = answer.status().as_u16();
    let header = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(signs::retry_after);
    let body = http::body(answer, server.max_bytes).await.map_err(broken)?.ok_or_else(|| {
        let message = format!("the server's answer has more than {} bytes", server.max_bytes);
        Failure::new(FailureKind::Limit, "llm-answer-too-large", message)
    })?;
    Ok(Answer { status, retry_after, body })
}

/// Why the server gives no answer, if it says so; some say it with status 200.
pub(super) fn refusal(answer: &Answer, body: &Value) -> Option<(Failure, Option<Duration>)> {
    let error = &body["error"];
    let status = match answer.status {
        200 if error.is_null() => return None,
        200 => error["code"].as_u64().unwrap_or(500),
        other => u64::from(other),
    };
    let said = said(answer, error);
    if let Some(sign) = Sign::of(Some(status), &said) {
        let sign = match sign {
            Sign::RateLimited(told) => Sign::RateLimited(answer.retry_after.or(told)),
            other => other,
        };
        return Some(sign.failure("the model's server", &said));
    }
    let (kind, code) = match status {
        300..400 => (FailureKind::Permanent, "llm-bad-address"),
        404 => (FailureKind::NotFound, "llm-not-found"),
        408 | 409 | 425 | 500.. => (FailureKind::Transient, "llm-unavailable"),
        400..500 => (FailureKind::Permanent, "llm-bad-request"),
        _ => (FailureKind::Transient, "llm-nonsense"),
    };
    let message = format!("the model's server answered with status {status}: {said}");
    Some((Failure::new(kind, code, message), answer.retry_after))
}

/// The server's words about its refusal.
fn said(answer: &Answer, error: &Value) -> String {
    let parts = ["message", "type", "code"].map(|name| &error[name]);
    let mut words: Vec<String> = parts.iter().filter_map(|part| part.as_str().map(Into::into)).collect();
    words.extend(error.as_str().map(Into::into));
    let text =
        if words.is_empty() { String::from_utf8_lossy(&answer.body).into_owned() } else { words.join(", ") };
    shortened(&text, EVIDENCE).to_owned()
}

/// The text of an answer that the model brought to its end.
fn content(body: &Value) -> Result<String, Failure> {
    let choice = &body["choices"][0];
    match choice["finish_reason"].as_str() {
        Some("length") => {
            let message = "the model's answer was cut at its limit of tokens; raise that at the server";
            return Err(Failure::new(FailureKind::Limit, "llm-answer-cut", message));
        }
        Some("content_filter") => {
            let message = "the model's server withheld the answer by its filter";
            return Err(Failure::new(FailureKind::Permanent, "llm-answer-filtered", message));
        }
        None if choice["finish_reason"].is_null() => {}
        Some("stop" | "eos" | "eos_token" | "end_turn") => {}
        _ => return Err(nonsense("a choice that ended for no known reason")),
    }
    let content = &choice["message"]["content"];
    let parts = content.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    let text = content.as_str().map_or_else(|| parts.collect(), str::to_owned);
    if text.trim().is_empty() { Err(nonsense("no text")) } else { Ok(text) }
}

fn nonsense(what: &str) -> Failure {
    Failure::new(FailureKind::Transient, "llm-nonsense", format!("the model's server answered with {what}"))
}

fn bad_address(why: String) -> Failure {
    Failure::new(FailureKind::Permanent, "llm-bad-address", why)
}

fn broken(error: reqwest::Error) -> Failure {
    let code = if error.is_connect() { "llm-unreachable" } else { "llm-broken-answer" };
    let message = format!("the model's server could not be asked: {}", http::told(&error));
    Failure::new(FailureKind::Transient, code, message)
}
