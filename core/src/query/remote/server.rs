//! The serving side: answers other processes about the stores of this one.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::RwLock;

use super::{
    frame::{LONGEST_REQUEST, receive, send},
    message::{HELLO, More, Request, Response},
};
use crate::query::{View, partition_snapshot::PartitionSnapshot, view::LocalError};

/// How long a connection may be silent.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
/// How many connections there may be.
const MOST_CONNECTIONS: usize = 256;
/// Bytes of entries in one answer, about.
const PAGE_BYTES: usize = 1 << 20;

/// How a process serves its stores to others.
///
/// ```
/// use millstream::query::{QueryServer, QueryServerConfig};
///
/// let server = QueryServer::start(QueryServerConfig::default())?;
/// assert!(server.endpoint().starts_with("127.0.0.1:"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct QueryServerConfig {
    /// Where it listens; port 0 takes one that is free.
    pub listen: SocketAddr,
    /// The `host:port` that others are told; where it listens if nothing is said.
    pub advertise: Option<String>,
    /// What others must know; all processes of an application need the same. Beyond the loopback interface there must be one.
    pub token: Option<String>,
}

impl Default for QueryServerConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), advertise: None, token: None }
    }
}

impl fmt::Debug for QueryServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        f.debug_struct("QueryServerConfig").field("listen", &self.listen).field("token", &token).finish_non_exhaustive()
    }
}

/// Why a process cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryServerError {
    /// It would be open to everyone.
    #[error(
        "{listen} can be reached from elsewhere: give a token that all processes of the application know, or listen on 127.0.0.1"
    )]
    Open {
        /// Where it was to listen.
        listen: SocketAddr,
    },
    /// The operating system refused.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// Where it was to listen.
        listen: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Serves the stores of this process to others; one for all applications of a process. Dropping it ends it.
pub struct QueryServer {
    endpoint: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    applications: RwLock<BTreeMap<String, BTreeMap<String, View>>>,
    token: Option<String>,
    connections: AtomicUsize,
    stop: AtomicBool,
}

/// An application whose stores are served until this is dropped.
pub(crate) struct Registration {
    application: String,
    shared: Weak<Shared>,
}

impl QueryServer {
    /// Listens.
    ///
    /// # Errors
    /// [`QueryServerError`] if it would be open to everyone, or if the address cannot be had.
    ///
    /// ```
    /// # use millstream::query::{QueryServer, QueryServerConfig, QueryServerError};
    /// let everywhere = QueryServerConfig { listen: "0.0.0.0:0".parse()?, ..QueryServerConfig::default() };
    /// assert!(matches!(QueryServer::start(everywhere), Err(QueryServerError::Open { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(config: QueryServerConfig) -> Result<Arc<Self>, QueryServerError> {
        let QueryServerConfig { listen, advertise, token } = config;
        if !listen.ip().is_loopback() && token.as_ref().is_none_or(String::is_empty) {
            return Err(QueryServerError::Open { listen });
        }
        let failed = |source: io::Error| QueryServerError::Listen { listen, source };
        let listener = TcpListener::bind(listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            applications: RwLock::default(),
            token,
            connections: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("query-server".to_owned());
        let thread = thread.spawn(move || accept(&listener, &serving)).map_err(failed)?;
        let endpoint = advertise.unwrap_or_else(|| address.to_string());
        Ok(Arc::new(Self { endpoint, address, shared, thread: Some(thread) }))
    }

    /// The `host:port` that others are told.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What others must know.
    pub(crate) fn token(&self) -> Option<String> {
        self.shared.token.clone()
    }

    /// Serves the stores of an application.
    pub(crate) fn register(&self, application: &str, views: BTreeMap<String, View>) -> Registration {
        self.shared.applications.write().insert(application.to_owned(), views);
        Registration { application: application.to_owned(), shared: Arc::downgrade(&self.shared) }
    }
}

impl Drop for QueryServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for QueryServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryServer").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.applications.write().remove(&self.application);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        if shared.connections.fetch_add(1, Ordering::AcqRel) >= MOST_CONNECTIONS {
            let full = Response::Refused(format!("it serves {MOST_CONNECTIONS} connections already; ask again later"));
            let _ = send(&mut stream, &full.encode());
            shared.connections.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let serving = Arc::clone(shared);
        let work = move || {
            // Who asked has gone, or says nothing: there is nobody to tell.
            if let Err(error) = serve(&mut stream, &serving) {
                tracing::debug!("a connection of another process ended: {error}");
            }
            serving.connections.fetch_sub(1, Ordering::AcqRel);
        };
        if std::thread::Builder::new().name("query-connection".to_owned()).spawn(work).is_err() {
            shared.connections.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Whether a token is the right one; how long that takes says nothing of where they differ.
fn is_token(given: &[u8], right: &[u8]) -> bool {
    given.len() == right.len() && given.iter().zip(right).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn serve(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LONGEST_SILENCE))?;
    stream.set_write_timeout(Some(LONGEST_SILENCE))?;
    let hello = receive(stream, HELLO.len() + 4_096)?;
    let right = shared.token.as_deref().unwrap_or_default().as_bytes();
    let Some(token) = hello.strip_prefix(HELLO) else {
        return send(
            stream,
            &Response::Refused("it speaks another protocol, or another version of it".to_owned()).encode(),
        );
    };
    if !is_token(token, right) {
        return send(stream, &Response::Refused("the token is not the right one".to_owned()).encode());
    }
    send(stream, &Response::Welcome.encode())?;
    let mut opened: Vec<PartitionSnapshot> = Vec::new();
    loop {
        let request = receive(stream, LONGEST_REQUEST)?;
        let response = match Request::decode(&request) {
            Ok(request) => answer(request, shared, &mut opened),
            Err(problem) => Response::Refused(format!("a message that cannot be read: {}", problem.0)),
        };
        send(stream, &response.encode())?;
    }
}

fn answer(request: Request, shared: &Shared, opened: &mut Vec<PartitionSnapshot>) -> Response {
    let of = |place: u32| opened.get(place as usize).ok_or("no such partition was opened".to_owned());
    let answered = match request {
        Request::Open { application, store, partitions, wanted, freshness } => {
            let view = shared.applications.read().get(&application).and_then(|views| views.get(&store).cloned());
            let Some(view) = view else { return Response::NotHere(partitions.first().copied().unwrap_or_default()) };
            let asked: Vec<usize> = partitions.iter().map(|partition| *partition as usize).collect();
            match view.local(&asked, wanted, freshness) {
                Ok((snapshots, position)) => {
                    *opened = snapshots;
                    Ok(Response::Opened(position))
                }
                Err(LocalError::NotHere(partition)) => Ok(Response::NotHere(partition as u32)),
                Err(LocalError::Failed(problem)) => Err(problem),
            }
        }
        Request::Get { place, keys } => of(place).and_then(|partition| {
            let mut values = Vec::new();
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            partition.get_many(&keys, &mut |place, value| values.push((place as u32, value.to_vec())))?;
            Ok(Response::Values(values))
        }),
        Request::Windows { place, key, from, to } => of(place).and_then(|partition| {
            let mut entries = Vec::new();
            partition.windows_of(&key, from..to, &mut |key, value| entries.push((key.to_vec(), value.to_vec())))?;
            Ok(Response::Entries(entries, More::No))
        }),
        Request::Walk { place, from, to, order } => of(place).and_then(|partition| {
            let mut walk = partition.walk(&from, to.as_deref(), order)?;
            let (mut entries, mut bytes) = (Vec::new(), 0);
            while let Some((key, value)) = walk.next()? {
                bytes += key.len() + value.len();
                entries.push((key.to_vec(), value.to_vec()));
                if bytes >= PAGE_BYTES {
                    return Ok(Response::Entries(entries, More::Yes));
                }
            }
            Ok(Response::Entries(entries, More::No))
        }),
    };
    answered.unwrap_or_else(Response::Refused)
}
