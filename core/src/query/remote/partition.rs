//! The asking side: partitions of a store in another process, as they were at one moment.

use std::{
    collections::VecDeque,
    io,
    net::{TcpStream, ToSocketAddrs},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    frame::{LONGEST_ANSWER, receive, send},
    message::{Freshness, HELLO, More, Request, Response, Wanted},
};
use crate::{
    query::partition_snapshot::{Entry, ScanOrder},
    record::Position,
};

/// How long a process may take to be reached, and to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Keys asked for at once.
const KEYS_AT_ONCE: usize = 1_024;

/// A connection on which a snapshot was opened.
pub(in crate::query) struct RemoteSnapshot {
    stream: Mutex<TcpStream>,
    endpoint: String,
    position: Position,
}

/// Why another process gives no snapshot.
#[derive(Debug)]
pub(in crate::query) enum OpenError {
    /// It has not got the partition.
    NotHere,
    /// It cannot be asked, or refuses.
    Failed(String),
}

/// What is asked of another process.
pub(in crate::query) struct Opening<'a> {
    pub(in crate::query) application: &'a str,
    pub(in crate::query) token: &'a str,
    pub(in crate::query) store: &'a str,
    pub(in crate::query) partitions: &'a [usize],
    pub(in crate::query) wanted: Wanted,
    pub(in crate::query) freshness: Freshness,
}

fn connect(endpoint: &str, token: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in endpoint.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(mut stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                send(&mut stream, &[HELLO, token.as_bytes()].concat())?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl RemoteSnapshot {
    /// Opens a snapshot in the process at `endpoint`.
    pub(in crate::query) fn open(endpoint: &str, opening: &Opening<'_>) -> Result<Self, OpenError> {
        let failed = |problem: &dyn std::fmt::Display| OpenError::Failed(format!("{endpoint}: {problem}"));
        let mut stream = connect(endpoint, opening.token).map_err(|error| failed(&error))?;
        let open = Request::Open {
            application: opening.application.to_owned(),
            store: opening.store.to_owned(),
            partitions: opening.partitions.iter().map(|partition| *partition as u32).collect(),
            wanted: opening.wanted,
            freshness: opening.freshness,
        };
        match read(&mut stream).map_err(|error| failed(&error))? {
            Response::Welcome => {}
            Response::Refused(why) => return Err(failed(&why)),
            other => return Err(failed(&format!("it did not answer a greeting: {other:?}"))),
        }
        send(&mut stream, &open.encode()).map_err(|error| failed(&error))?;
        match read(&mut stream).map_err(|error| failed(&error))? {
            Response::Opened(position) => {
                Ok(Self { stream: Mutex::new(stream), endpoint: endpoint.to_owned(), position })
            }
            Response::NotHere(_) => Err(OpenError::NotHere),
            Response::Refused(why) => Err(failed(&why)),
            other => Err(failed(&format!("it did not open a store: {other:?}"))),
        }
    }

    /// What of the inputs it includes.
    pub(in crate::query) fn position(&self) -> &Position {
        &self.position
    }

    fn ask(&self, request: &Request) -> Result<Response, String> {
        let mut stream = self.stream.lock();
        let answered = send(&mut stream, &request.encode()).and_then(|()| read(&mut stream));
        match answered.map_err(|error| format!("{}: {error}", self.endpoint))? {
            Response::Refused(why) => Err(format!("{}: {why}", self.endpoint)),
            answer => Ok(answer),
        }
    }

    fn unexpected(&self, answer: &Response) -> String {
        format!("{}: an answer that was not asked for: {answer:?}", self.endpoint)
    }
}

fn read(stream: &mut TcpStream) -> io::Result<Response> {
    let bytes = receive(stream, LONGEST_ANSWER)?;
    Response::decode(&bytes).map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem.0))
}

/// One partition of a store in another process.
#[derive(Clone)]
pub(in crate::query) struct RemotePartition {
    snapshot: Arc<RemoteSnapshot>,
    /// Which of the opened ones it is.
    place: u32,
}

impl RemotePartition {
    pub(in crate::query) fn new(snapshot: Arc<RemoteSnapshot>, place: u32) -> Self {
        Self { snapshot, place }
    }

    /// Gives the value of each key that is there, by the place of the key.
    pub(in crate::query) fn get_many(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, &[u8])) -> Result<(), String> {
        for (chunk, keys) in keys.chunks(KEYS_AT_ONCE).enumerate() {
            let request = Request::Get { place: self.place, keys: keys.iter().map(|key| key.to_vec()).collect() };
            match self.snapshot.ask(&request)? {
                Response::Values(values) => {
                    let known = values.iter().filter(|(place, _)| (*place as usize) < keys.len());
                    known.for_each(|(place, value)| each(chunk * KEYS_AT_ONCE + *place as usize, value));
                }
                other => return Err(self.snapshot.unexpected(&other)),
            }
        }
        Ok(())
    }

    /// Gives the entries of one key in the windows of these numbers.
    pub(in crate::query) fn windows_of(
        &self,
        key: &[u8],
        numbers: Range<i64>,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), String> {
        let request = Request::Windows { place: self.place, key: key.to_vec(), from: numbers.start, to: numbers.end };
        match self.snapshot.ask(&request)? {
            Response::Entries(entries, _) => {
                entries.iter().for_each(|(key, value)| each(key, value));
                Ok(())
            }
            other => Err(self.snapshot.unexpected(&other)),
        }
    }

    /// Walks the entries with keys from `from` to before `to`.
    pub(in crate::query) fn walk(&self, from: &[u8], to: Option<&[u8]>, order: ScanOrder) -> RemoteWalk {
        RemoteWalk {
            partition: self.clone(),
            from: from.to_vec(),
            to: to.map(<[u8]>::to_vec),
            order,
            page: VecDeque::new(),
            given: (Vec::new(), Vec::new()),
            more: More::Yes,
        }
    }
}

/// Entries of a partition elsewhere, a page at a time.
pub(in crate::query) struct RemoteWalk {
    partition: RemotePartition,
    /// The bounds of what was not read yet.
    from: Vec<u8>,
    to: Option<Vec<u8>>,
    order: ScanOrder,
    page: VecDeque<(Vec<u8>, Vec<u8>)>,
    given: (Vec<u8>, Vec<u8>),
    more: More,
}

impl RemoteWalk {
    /// The next entry, borrowed until the one after it.
    pub(in crate::query) fn next(&mut self) -> Result<Option<Entry<'_>>, String> {
        if self.page.is_empty() && self.more == More::Yes {
            self.turn_page()?;
        }
        let Some(entry) = self.page.pop_front() else { return Ok(None) };
        self.given = entry;
        Ok(Some((&self.given.0, &self.given.1)))
    }

    fn turn_page(&mut self) -> Result<(), String> {
        let (place, order) = (self.partition.place, self.order);
        let request = Request::Walk { place, from: self.from.clone(), to: self.to.clone(), order };
        let (entries, more) = match self.partition.snapshot.ask(&request)? {
            Response::Entries(entries, more) => (entries, more),
            other => return Err(self.partition.snapshot.unexpected(&other)),
        };
        if let Some((last, _)) = entries.last() {
            match self.order {
                // The smallest key after it.
                ScanOrder::Ascending => self.from = [last.as_slice(), &[0]].concat(),
                ScanOrder::Descending => self.to = Some(last.clone()),
            }
        }
        self.more = if entries.is_empty() { More::No } else { more };
        self.page = entries.into();
        Ok(())
    }
}
