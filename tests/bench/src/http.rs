//! A client that keeps its connection, and does no more than is measured: one request, one whole answer.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::measure::Failed;

/// One connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    address: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Connects to an address such as `127.0.0.1:8470`.
    pub(crate) async fn connect(address: &str) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), address: address.to_owned() })
    }

    /// Asks for a path, and reads the answer to its end.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, Failed> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        let first = self.line().await?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| format!("this is no answer: {first:?}"))?;
        let mut length = None;
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
        let mut body = vec![0; length.ok_or("the answer does not say how long it is")?];
        self.stream.read_exact(&mut body).await?;
        Ok(Answer { status, body })
    }

    /// The same, where everything but 200 is an error.
    pub(crate) async fn good(&mut self, path: &str) -> Result<Vec<u8>, Failed> {
        let Answer { status, body } = self.get(path).await?;
        match status {
            200 => Ok(body),
            _ => Err(format!("{path}: {status} {}", String::from_utf8_lossy(&body)).into()),
        }
    }

    async fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await? {
            0 => Err("the connection was closed".into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}
