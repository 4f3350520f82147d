//! A client that says exactly what a test wants to be said, also what no good client says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// How long nothing may come. A safety net.
const LIMIT: Duration = Duration::from_secs(60);

/// A request on its way.
#[derive(Clone)]
pub struct Request {
    address: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request that names the host that it asks.
    pub fn new(address: &str, method: &str, path: &str) -> Self {
        let headers = vec![("Host".to_owned(), address.to_owned())];
        Self {
            address: address.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body: Vec::new(),
        }
    }

    /// The same with another header in place of one of that name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with the token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// The same with a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", &length)
    }

    /// Sends it whole.
    pub fn open(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"\r\n")).unwrap();
        // A server that has answered already may have closed its side.
        let _ = stream.write_all(&self.body);
        stream
    }

    /// Sends it and waits for the whole answer.
    pub fn send(self) -> Answer {
        let request = self.header("Connection", "close");
        let mut reader = BufReader::new(request.open());
        let mut answer = Answer::head(&mut reader);
        if request.method != "HEAD" {
            answer.body = match answer.header("transfer-encoding") {
                Some("chunked") => chunks(&mut reader),
                _ => {
                    let mut body = Vec::new();
                    let length = answer.header("content-length").and_then(|length| length.parse().ok());
                    reader.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body).unwrap();
                    body
                }
            };
        }
        answer
    }

    /// Sends it and listens to what comes as server-sent events.
    pub fn listen(self) -> Stream {
        let mut reader = BufReader::new(self.open());
        let head = Answer::head(&mut reader);
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"), "{head:?}");
        Stream { reader, text: String::new() }
    }
}

fn line(reader: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// One chunk of a body; empty at its end.
fn chunk(reader: &mut BufReader<TcpStream>) -> Vec<u8> {
    let length = line(reader);
    let Ok(length) = usize::from_str_radix(&length, 16) else { return Vec::new() };
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).unwrap();
    line(reader);
    bytes
}

fn chunks(reader: &mut BufReader<TcpStream>) -> Vec<u8> {
    std::iter::repeat_with(|| chunk(reader)).take_while(|bytes| !bytes.is_empty()).flatten().collect()
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    fn head(reader: &mut BufReader<TcpStream>) -> Self {
        let first = line(reader);
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {first:?}"));
        let mut headers = Vec::new();
        loop {
            let line = line(reader);
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Self { status, headers, body: Vec::new() }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    /// Asserts a good answer, and gives its JSON.
    #[track_caller]
    pub fn good(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text());
        self.json()
    }

    /// Asserts problem details of this status and kind.
    #[track_caller]
    pub fn refused(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:stagewright:problem:{kind}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}

/// Server-sent events as they come.
pub struct Stream {
    reader: BufReader<TcpStream>,
    text: String,
}

/// One of them.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Its name; empty for most.
    pub name: String,
    /// Its data.
    pub data: Value,
}

impl Stream {
    /// The next event; `None` when the server has closed the stream in order.
    pub fn hear(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let mut heard = Event::default();
                for line in event.lines() {
                    match line.split_once(':') {
                        Some(("id", id)) => heard.id = id.trim().to_owned(),
                        Some(("event", name)) => heard.name = name.trim().to_owned(),
                        Some(("data", data)) => heard.data = serde_json::from_str(data.trim()).unwrap(),
                        _ => {}
                    }
                }
                if !heard.data.is_null() {
                    return Some(heard);
                }
                continue;
            }
            let chunk = chunk(&mut self.reader);
            if chunk.is_empty() {
                return None;
            }
            self.text.push_str(&String::from_utf8(chunk).unwrap());
        }
    }

    /// The next event that is like this.
    pub fn hear_like(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.hear().expect("the stream is closed");
            if wanted(&event) {
                return event;
            }
        }
    }
}
