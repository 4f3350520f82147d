//! Who may ask, and how: the checks that stand before every operation.
//!
//! - **Host.** On loopback a request must name this machine (or a name of `http.hosts`): a page whose name was made to point
//!   here by DNS names itself, and is refused.
//! - **Origin.** A page of another origin changes nothing, whatever its user's browser knows.
//! - **Token.** Whatever changes something needs it. Reading needs it too once others can reach the server.
//! - **Size and time** of a request are bounded, and every error leaves as problem details.
//!
//! It refuses by kind of method, so that a new operation is closed until it is known to change nothing.

use std::net::SocketAddr;
use std::time::Duration;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described, StatusCode as Code};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::input::{announces_more_than, too_large};
use super::problem::{Kind, MEDIA_TYPE, Problem, Told, describe};

/// That a request may change something. Only the guard makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permit(());

impl<S: Send + Sync> FromRequestParts<S> for Permit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().copied().ok_or_else(no_token)
    }
}

impl OperationInput for Permit {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        operation.security.push([(SCHEME.to_owned(), Vec::new())].into_iter().collect());
    }

    fn inferred_early_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<Code>, Described)> {
        describe(ctx, operation, &[Kind::TokenMissing, Kind::ForeignOrigin]);
        Vec::new()
    }
}

/// The name of the scheme of authentication in the document.
pub(super) const SCHEME: &str = "token";

/// What the guard may answer instead of any operation.
pub(super) const REFUSES: &[Kind] = &[
    Kind::BadRequest,
    Kind::ForeignHost,
    Kind::TooLarge,
    Kind::Internal,
    Kind::OutOfTime,
    Kind::StoreTrouble,
];

fn no_token() -> Problem {
    let told = Told::new("this needs the API token as `Authorization: Bearer <token>`")
        .with_remedy("the token is in the file `token` of the state folder");
    Problem::new(Kind::TokenMissing, told)
}

/// Whether requests of this method change nothing.
fn only_reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Lets a request through, or answers instead.
pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Err(problem) = look_at(&api, &mut parts) {
        return problem.into_response();
    }
    let limit = api.time_limit();
    match tokio::time::timeout(limit, next.run(Request::from_parts(parts, body))).await {
        Ok(response) => response,
        Err(_) => out_of_time(limit).into_response(),
    }
}

fn out_of_time(limit: Duration) -> Problem {
    let told = Told::new(format!("there was no answer within {} s", limit.as_secs()))
        .with_remedy("a change may have taken place: read before it is asked for again");
    Problem::new(Kind::OutOfTime, told)
}

fn look_at(api: &Api, parts: &mut Parts) -> Result<(), Problem> {
    let local = api.parts.address.ip().is_loopback();
    let host = host_of(parts);
    if (local || !api.hosts().is_empty())
        && !host.as_ref().is_some_and(|host| is_ours(host, api.parts.address, api.hosts()))
    {
        let told = Told::new("the request names a host that this server is not")
            .with_remedy("ask by the address that the daemon listens on, or name the host in `http.hosts`");
        return Err(Problem::new(Kind::ForeignHost, told));
    }
    if !only_reads(&parts.method) && !same_origin(&parts.headers, host.as_ref()) {
        let told = Told::new("a page of another origin changes nothing here");
        return Err(Problem::new(Kind::ForeignOrigin, told));
    }
    let permitted = bearer(&parts.headers).is_some_and(|given| api.parts.token.is(given));
    if !permitted && (!local || !only_reads(&parts.method)) {
        return Err(no_token());
    }
    if permitted {
        parts.extensions.insert(Permit(()));
    }
    if announces_more_than(api.body_limit(), parts) {
        return Err(too_large(api.body_limit()));
    }
    Ok(())
}

/// The token that a request brings, if it brings one.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, given) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| given.trim_ascii())
}

/// The host that a request names. Two of them are none.
fn host_of(parts: &Parts) -> Option<Authority> {
    let mut named = parts.headers.get_all(header::HOST).iter();
    match (parts.uri.authority(), named.next(), named.next()) {
        (Some(authority), _, None) => Some(authority.clone()),
        (None, Some(host), None) => host.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// Whether a request means this server. On which port it believes it to be does not matter: there may be a tunnel.
fn is_ours(host: &Authority, address: SocketAddr, names: &[String]) -> bool {
    let name = host.host().trim_matches(['[', ']']);
    let local = ["localhost", "127.0.0.1", "::1"].iter().any(|known| name.eq_ignore_ascii_case(known));
    (local && address.ip().is_loopback())
        || name == address.ip().to_string()
        || names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a request comes from no page, or from one of this very server.
fn same_origin(headers: &HeaderMap, host: Option<&Authority>) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    matches!((authority, host), (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host.as_str()))
}

/// Makes problem details of every error that is none yet, and says how an answer may be used.
pub(super) async fn told(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_problem = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes() == MEDIA_TYPE.as_bytes());
    if is_error && !is_problem {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = Problem::of_status(status).into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// What a client gets when a handler panics: nothing of it.
pub(super) fn after_panic(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request made this program panic; the panic is on standard error");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(text: &str) -> Authority {
        text.parse().unwrap()
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_and_configured_ones_are_ours() {
        let here: SocketAddr = "127.0.0.1:8470".parse().unwrap();
        let names = ["wright.example".to_owned()];
        for ours in ["localhost", "LOCALHOST:1", "127.0.0.1:8470", "[::1]:8470", "Wright.example:443"] {
            assert!(is_ours(&authority(ours), here, &names), "{ours}");
        }
        for foreign in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8470", "10.0.0.1"] {
            assert!(!is_ours(&authority(foreign), here, &names), "{foreign}");
        }
    }

    #[test]
    fn elsewhere_localhost_is_somebody_else() {
        let there: SocketAddr = "10.0.0.7:8470".parse().unwrap();
        assert!(is_ours(&authority("10.0.0.7"), there, &[]));
        assert!(!is_ours(&authority("localhost"), there, &[]));
    }

    #[test]
    fn an_origin_is_ours_only_if_it_is_the_host_that_was_asked() {
        let host = authority("127.0.0.1:8470");
        let from = |origin: &'static str| {
            let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
            same_origin(&headers, Some(&host))
        };
        assert!(same_origin(&HeaderMap::new(), Some(&host)));
        assert!(from("http://127.0.0.1:8470"));
        for foreign in ["null", "http://127.0.0.1", "http://127.0.0.1:8471", "https://evil.example", ""] {
            assert!(!from(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_token_is_taken_from_a_bearer_header_only() {
        let with = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(with("Bearer abc"), Some(b"abc".to_vec()));
        assert_eq!(with("bearer  abc "), Some(b"abc".to_vec()));
        for other in ["Basic abc", "abc", "Bearer", ""] {
            assert_eq!(with(other), None, "{other}");
        }
    }
}
