//! B8: how long `/queue` takes at 100,000 tasks when 50 clients ask again and again, each on a connection that it keeps.
//!
//! Nobody pauses between two questions, so the machine is full of them; that is the hard case. The baseline is a server that
//! does nothing but send the same bytes, asked in the same way by the same clients.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::Setting;
use crate::daemon::Site;
use crate::filled::Kind;
use crate::http::Client;
use crate::measure::{Failed, Row, Value, p99};

const CLIENTS: usize = 50;
const ROUNDS: usize = 3;
/// How long the clients ask in one round.
const ROUND: Duration = Duration::from_secs(5);

pub(crate) async fn measure(setting: &Setting) -> Result<Vec<Row>, Failed> {
    let site = Site::new(setting, "0")?;
    let mut filled = site.fill().await?;
    eprintln!("      filling a store with 100000 tasks");
    filled.add(Kind::Ended, 50_000)?;
    filled.add(Kind::Held, 10_000)?;
    // Not due today: a daemon that worked on them would be measured, too.
    filled.add(Kind::Deferred, 40_000)?;
    let daemon = site.serve(4).await?;
    let body = daemon.connect().await?.good("/queue").await?;
    let shown: serde_json::Value = serde_json::from_slice(&body)?;
    if shown["counts"]["deferred"] != 40_000 || shown["tasks"]["done"] != 50_000 {
        return Err(format!("the queue is not what was put into it: {}", shown["counts"]).into());
    }
    let bare = Bare::start(&body).await?;
    let (mut our_times, mut bare_times) = (Vec::new(), Vec::new());
    eprintln!("      {CLIENTS} clients, {ROUNDS} rounds of {ROUND:?} each");
    for round in 0..=ROUNDS {
        let (ours, bares) = (asked(daemon.address()?).await?, asked(&bare.address).await?);
        // The first round warms caches up.
        if round > 0 {
            our_times.extend(ours);
            bare_times.extend(bares);
        }
    }
    let questions = our_times.len();
    daemon.stop().await?;
    eprintln!("      {questions} answers");
    Ok(vec![Row {
        bar: "B8",
        what: "`/queue` (p99) at 100,000 tasks, 50 clients without a pause".to_owned(),
        value: Value::Time(p99(our_times)),
        bare: Some((
            "the same bytes from a server that has nothing else to do",
            Value::Time(p99(bare_times)),
        )),
        ratio: None,
        limit: Some(Value::Time(Duration::from_millis(20))),
    }])
}

/// All clients ask for a round. How long each answer took.
async fn asked(address: &str) -> Result<Vec<Duration>, Failed> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(address).await?;
        clients.spawn(async move {
            let (began, mut times) = (Instant::now(), Vec::new());
            while began.elapsed() < ROUND {
                let begun = Instant::now();
                client.good("/queue").await?;
                times.push(begun.elapsed());
            }
            Ok::<_, Failed>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(client) = clients.join_next().await {
        times.extend(client??);
    }
    Ok(times)
}

/// A server that answers whatever it is asked with the same bytes.
struct Bare {
    address: String,
    server: AbortHandle,
}

impl Bare {
    async fn start(body: &[u8]) -> Result<Self, Failed> {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer: std::sync::Arc<[u8]> = [head.as_bytes(), body].concat().into();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = std::sync::Arc::clone(&answer);
                tokio::spawn(async move {
                    // A client that goes away ends it.
                    let _ = stream.set_nodelay(true);
                    let mut stream = BufReader::new(stream);
                    let mut line = String::new();
                    while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                        let end = line == "\r\n";
                        line.clear();
                        if end && stream.get_mut().write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { address, server: server.abort_handle() })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.server.abort();
    }
}
