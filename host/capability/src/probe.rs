//! Read-only HTTP probes of endpoints that the operator named.
//!
//! A component knows names, never addresses: the path that it asks for can't change scheme, host or port.
//! Redirects are answered as they are and not followed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Url;

use crate::{Cancel, Failure, FailureKind, http};

/// The grant: which endpoints there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Base addresses by name, such as `http://127.0.0.1:8080/api`.
    pub endpoints: BTreeMap<String, String>,
    /// The longest answer that is read, in bytes.
    pub max_bytes: u32,
    /// The longest time of one probe.
    pub max_time: Duration,
}

/// What an endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers whose values are text.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it took.
    pub duration: Duration,
}

/// The capability to probe.
#[derive(Clone, Debug)]
pub struct Probe {
    endpoints: BTreeMap<String, Url>,
    max_bytes: u32,
    max_time: Duration,
    cancel: Cancel,
}

impl Probe {
    /// The capability that `grant` gives.
    ///
    /// # Errors
    /// `bad-address`: an endpoint is no address of a web server.
    pub fn new(grant: Grant, cancel: Cancel) -> Result<Self, Failure> {
        let Grant { endpoints, max_bytes, max_time } = grant;
        let endpoints = endpoints.into_iter().map(|(name, address)| match base(&address) {
            Ok(url) => Ok((name, url)),
            Err(why) => Err(bad_address(format!("the endpoint `{name}` has the address `{address}`: {why}"))),
        });
        Ok(Self { endpoints: endpoints.collect::<Result<_, _>>()?, max_bytes, max_time, cancel })
    }

    /// GET on a named endpoint joined with `path`.
    ///
    /// # Errors
    /// `endpoint-not-granted`, `bad-address`; `dns`, `connection-refused`, `connect-failed`, `broken-answer`, all of
    /// which may pass; `timed-out`, `too-large`, `cancelled`.
    pub async fn get(
        &self,
        endpoint: &str,
        path: &str,
        max_bytes: u32,
        timeout: Duration,
    ) -> Result<Response, Failure> {
        let url = self.address(endpoint, path)?;
        let limit = max_bytes.min(self.max_bytes);
        let timeout = timeout.min(self.max_time);
        let fetch = fetch(http::client()?.get(url), limit);
        tokio::select! {
            answer = tokio::time::timeout(timeout, fetch) => answer.unwrap_or_else(|_| {
                let message = format!("`{endpoint}` did not answer within {} ms", timeout.as_millis());
                Err(Failure::new(FailureKind::TimedOut, "timed-out", message))
            }),
            _ = self.cancel.cancelled() => {
                Err(Failure::cancelled())
            }
        }
    }

    fn address(&self, endpoint: &str, path: &str) -> Result<Url, Failure> {
        let base = self.endpoints.get(endpoint).ok_or_else(|| {
            let way_out = "add it to the producer's grants.probe.endpoints";
            let granted = self.endpoints.keys();
            Failure::not_granted("endpoint-not-granted", "endpoint", endpoint, granted, way_out)
        })?;
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = base.clone();
        // Set as a path, not joined as a reference: `//host/` and `http://…` are only odd paths then.
        let joined = format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/'));
        if joined.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(bad_address(format!("the path `{path}` climbs")));
        }
        url.set_path(&joined);
        url.set_query(query);
        Ok(url)
    }
}

fn base(address: &str) -> Result<Url, String> {
    let url = Url::parse(address).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("`{other}` is neither http nor https")),
    }
}

fn bad_address(why: String) -> Failure {
    Failure::new(FailureKind::Permanent, "bad-address", why)
}

async fn fetch(request: reqwest::RequestBuilder, limit: u32) -> Result<Response, Failure> {
    let begun = Instant::now();
    let answer = request.send().await.map_err(|error| failure(&error))?;
    let status = answer.status().as_u16();
    let text = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let headers = answer.headers().iter().filter_map(text).collect();
    let body = http::body(answer, limit as usize).await.map_err(|error| failure(&error))?;
    let body = body.ok_or_else(|| {
        Failure::new(FailureKind::Limit, "too-large", format!("the answer has more than {limit} bytes"))
    })?;
    Ok(Response { status, headers, body, duration: begun.elapsed() })
}

fn failure(error: &reqwest::Error) -> Failure {
    let refused = http::causes(error)
        .iter()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
    // The resolver's error has no type of its own in public.
    let unresolved = http::causes(error).iter().any(|cause| cause.to_string().starts_with("dns error"));
    let code = match (refused, unresolved, error.is_connect()) {
        (true, ..) => "connection-refused",
        (_, true, _) => "dns",
        (_, _, true) => "connect-failed",
        _ => "broken-answer",
    };
    Failure::new(FailureKind::Transient, code, http::told(error))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn server(answer: &'static str) -> (Probe, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/base/", listener.local_addr().unwrap());
        let seen = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            let read = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let grant = Grant {
            endpoints: BTreeMap::from([("app".to_owned(), base)]),
            max_bytes: 1_000,
            max_time: Duration::from_secs(20),
        };
        (Probe::new(grant, Cancel::new()).unwrap(), seen)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_named_endpoint_is_asked_below_its_base() {
        let (probe, seen) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let answer = probe.get("app", "/health?full=1", 100, LONG).await.unwrap();
        assert_eq!((answer.status, answer.body), (200, b"ok".to_vec()));
        assert!(seen.await.unwrap().starts_with("GET /base/health?full=1 HTTP/1.1"));
    }

    #[tokio::test]
    async fn a_redirect_is_answered_and_not_followed() {
        let (probe, _seen) =
            server("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(probe.get("app", "/", 100, LONG).await.unwrap().status, 302);
    }

    #[tokio::test]
    async fn too_long_an_answer_is_a_limit() {
        let (probe, _seen) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde").await;
        assert_eq!(probe.get("app", "/", 4, LONG).await.unwrap_err().code, "too-large");
    }

    #[tokio::test]
    async fn no_path_leads_to_another_host() {
        let (probe, seen) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        probe.get("app", "//example.invalid/x", 100, LONG).await.unwrap();
        assert!(seen.await.unwrap().starts_with("GET /base/example.invalid/x"));
        assert_eq!(probe.get("app", "../x", 100, LONG).await.unwrap_err().code, "bad-address");
        assert_eq!(probe.get("other", "/", 100, LONG).await.unwrap_err().code, "endpoint-not-granted");
    }

    #[tokio::test]
    async fn nobody_listening_is_transient() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let grant =
            Grant { endpoints: BTreeMap::from([("app".to_owned(), base)]), max_bytes: 10, max_time: LONG };
        let probe = Probe::new(grant, Cancel::new()).unwrap();
        let failure = probe.get("app", "/", 10, LONG).await.unwrap_err();
        assert_eq!((failure.kind, failure.code), (FailureKind::Transient, "connection-refused"));
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_told_from_a_closed_port() {
        let endpoints = BTreeMap::from([("app".to_owned(), "http://no-such-host.invalid/".to_owned())]);
        let probe = Probe::new(Grant { endpoints, max_bytes: 10, max_time: LONG }, Cancel::new()).unwrap();
        let failure = probe.get("app", "/", 10, LONG).await.unwrap_err();
        assert_eq!((failure.kind, failure.code), (FailureKind::Transient, "dns"), "{failure}");
    }

    #[tokio::test]
    async fn silence_ends_with_the_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let endpoints = BTreeMap::from([("app".to_owned(), base)]);
        let probe = Probe::new(Grant { endpoints, max_bytes: 10, max_time: LONG }, Cancel::new()).unwrap();
        let failure = probe.get("app", "/", 10, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::TimedOut);
    }

    #[test]
    fn an_endpoint_is_the_address_of_a_web_server() {
        for address in ["file:///etc/passwd", "app", "ftp://127.0.0.1/"] {
            let endpoints = BTreeMap::from([("app".to_owned(), address.to_owned())]);
            let refused = Probe::new(Grant { endpoints, max_bytes: 10, max_time: LONG }, Cancel::new());
            assert_eq!(refused.unwrap_err().code, "bad-address", "{address}");
        }
    }
}
