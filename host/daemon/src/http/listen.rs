//! The listener: connections, their limits, and their end in order.
//!
//! The address is bound before anything else of the daemon starts, so that one that is in use is told at once and nothing is
//! half started. HTTP/1 only: it is a server for one machine, and its page needs no more.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::{Phase, Stop};
use crate::config::sections::Http;

/// How long the headers of a request may take, and how long a connection may be silent between two.
const HEADER_TIME: Duration = Duration::from_secs(20);
/// How long a client may take nothing of what is sent. Then it is dropped.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// How many bytes the head of a request may have.
const HEADER_BYTES: usize = 32 * 1_024;
/// How many headers a request may have.
const HEADERS: usize = 64;
/// What one connection keeps in memory of what comes and goes.
const BUFFER: usize = 64 * 1_024;
/// How long requests under way have at the end of the daemon.
const DRAIN: Duration = Duration::from_secs(3);
/// How long to wait after a failure to accept: mostly there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// An address that is ours.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Why the daemon can't listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The address can't be had.
    #[error(
        "can't listen on {address}: {source}; end whoever listens there, set another `http.listen`, or `http.enabled = false`"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Listener {
    /// Takes the address of the configuration; `None` if the server is switched off.
    pub(crate) async fn bind(http: &Http) -> Result<Option<Self>, Error> {
        // The configuration was checked: what is no address here is not reached.
        let Ok(address) = http.listen.parse::<SocketAddr>() else { return Ok(None) };
        if !http.enabled {
            return Ok(None);
        }
        let bound = |source| Error::Bind { address, source };
        let socket = TcpListener::bind(address).await.map_err(bound)?;
        let address = socket.local_addr().map_err(bound)?;
        Ok(Some(Self { socket, address }))
    }

    /// Where it listens: with the port that was given for port 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the daemon ends, then lets what is under way end.
    pub(super) async fn serve(self, router: Router, connections: usize, stop: &Stop) {
        let room = Arc::new(Semaphore::new(connections));
        let (open, over) = (TaskTracker::new(), CancellationToken::new());
        loop {
            // Room first: who comes beyond it waits in the system's queue and costs nothing here.
            let room = tokio::select! {
                () = stop.reached(Phase::Ending) => break,
                room = Arc::clone(&room).acquire_owned() => room,
            };
            let accepted = tokio::select! {
                () = stop.reached(Phase::Ending) => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (router, stop, over) = (router.clone(), stop.clone(), over.clone());
                    open.spawn(async move {
                        tokio::select! {
                            () = over.cancelled() => {}
                            () = connection(stream, router, &stop) => {}
                        }
                        drop(room);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(self.socket);
        open.close();
        if tokio::time::timeout(DRAIN, open.wait()).await.is_err() {
            over.cancel();
            open.wait().await;
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stop: &Stop) {
    // Events are small and each is wanted at once.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME));
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADERS)
        .max_header_size(HEADER_BYTES)
        .max_buf_size(BUFFER);
    let service = TowerToHyperService::new(router);
    let connection = server.serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.reached(Phase::Ending) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients go away in many ways, and none of them concerns us.
        tracing::debug!(%error, "a connection ended early");
    }
}
