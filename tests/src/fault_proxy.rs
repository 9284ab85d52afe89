//! A proxy in front of a server that misbehaves on demand: it is gone, slow or busy, loses answers, or cuts a connection at a text that the
//! client sends.
//!
//! It works at the level of connections and knows no protocol, so a fault may hit any call at any byte. A cut *behind* a text hands it to the
//! server and lets no answer come back; one *before* it hands over nothing of the chunk that holds it. With the text of a COMMIT the client
//! cannot tell one from the other, which is what it is for. A chunk that is *held* reaches the server when the proxy is told to go on, however
//! long that takes: so a request can be made to arrive when its sender has been replaced.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What the proxy does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Passes it on.
    None,
    /// Closes connections at once, as a server that is gone.
    Refuse,
    /// Passes requests on and closes the connection instead of bringing the answer.
    LoseAnswers,
    /// Passes on each piece after this long.
    Delay(Duration),
    /// Answers `503 Slow Down` itself, as a server of HTTP that is busy.
    Unavailable,
}

/// What happens at a text that the proxy is armed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server gets the text and acts on it, the client never hears.
    Behind,
    /// The server gets nothing of it.
    Before,
}

/// What the proxy does at a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtText {
    Cut(Cut),
    Hold,
}

/// A proxy on a port of its own. Its threads end with their connections.
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    state: Mutex<State>,
    let_go: Condvar,
    hits: AtomicU64,
    cuts: AtomicU64,
}

struct State {
    fault: Fault,
    armed: Option<(Vec<u8>, AtText)>,
    /// A chunk is held.
    holds: bool,
    open: Vec<TcpStream>,
}

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

impl FaultProxy {
    /// A proxy before a port on loopback.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = State { fault: Fault::None, armed: None, holds: false, open: Vec::new() };
        let (hits, cuts) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { server, state: Mutex::new(state), let_go: Condvar::new(), hits, cuts });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || listener.incoming().flatten().for_each(|client| serve(client, &of_thread)));
        Self { port, shared }
    }

    /// Its port on 127.0.0.1, where clients go.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What is done from now on, also with connections that are open.
    pub fn set(&self, fault: Fault) {
        self.shared.state().fault = fault;
        if fault == Fault::Refuse || fault == Fault::Unavailable {
            self.cut_all();
        }
    }

    /// How many connections and pieces faults have hit.
    pub fn hits(&self) -> u64 {
        self.shared.hits.load(Ordering::Relaxed)
    }

    /// The next chunk of a client that holds the text is cut.
    pub fn arm(&self, text: &str, cut: Cut) {
        self.shared.state().armed = Some((text.as_bytes().to_vec(), AtText::Cut(cut)));
    }

    /// The next chunk of a client that holds the text reaches the server when [`let_go`](Self::let_go) is called, and not before.
    pub fn hold(&self, text: &str) {
        self.shared.state().armed = Some((text.as_bytes().to_vec(), AtText::Hold));
    }

    /// How often it has come to a text that it was armed with.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// Passes on the chunk that is held.
    pub fn let_go(&self) {
        self.shared.state().holds = false;
        self.shared.let_go.notify_all();
    }

    /// Cuts all connections at once.
    pub fn cut_all(&self) {
        for stream in self.shared.state().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Answer,
}

fn serve(client: TcpStream, shared: &Arc<Shared>) {
    let fault = shared.state().fault;
    if fault != Fault::None {
        shared.hits.fetch_add(1, Ordering::Relaxed);
    }
    match fault {
        Fault::Refuse => return,
        Fault::Unavailable => return refuse(client),
        _ => {}
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server)) else { return };
    let [Ok(client_in), Ok(server_in)] = [client.try_clone(), server.try_clone()] else { return };
    shared.state().open.extend([client.try_clone(), server.try_clone()].into_iter().flatten());
    for (from, to, side) in [(client_in, server_in, Side::Request), (server, client, Side::Answer)] {
        let shared = Arc::clone(shared);
        thread::spawn(move || forward(from, to, side, &shared));
    }
}

/// Takes some of the request and says that the server is busy.
fn refuse(mut client: TcpStream) {
    thread::spawn(move || {
        let _ = client.set_read_timeout(Some(Duration::from_millis(200)));
        let mut buffer = [0; 65536];
        let _ = client.read(&mut buffer);
        let _ = client.write_all(UNAVAILABLE);
        let _ = client.shutdown(Shutdown::Write);
        while client.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
}

/// Passes on what one side sends until it ends, a fault ends it, or a cut.
fn forward(mut from: TcpStream, mut to: TcpStream, side: Side, shared: &Shared) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let chunk = &buffer[..length];
        if !shared.lets_pass(side) {
            break;
        }
        let cut = if side == Side::Request { shared.cut(chunk) } else { None };
        if cut == Some(Cut::Behind) {
            // The answer must not overtake the cut.
            let _ = from.shutdown(Shutdown::Both);
        }
        if cut == Some(Cut::Before) || to.write_all(chunk).is_err() {
            break;
        }
        if cut == Some(Cut::Behind) {
            // The server acts on what it has before it notices.
            thread::sleep(Duration::from_millis(30));
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with it")
    }

    /// Whether a piece goes on, after the delay that it may be due.
    fn lets_pass(&self, side: Side) -> bool {
        let fault = self.state().fault;
        if fault != Fault::None {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        if let Fault::Delay(pause) = fault {
            thread::sleep(pause);
        }
        fault != Fault::LoseAnswers || side == Side::Request
    }

    /// Whether the proxy is armed for this chunk; a chunk that is to be held waits in here.
    fn cut(&self, chunk: &[u8]) -> Option<Cut> {
        let mut state = self.state();
        let (text, at_text) = state.armed.as_ref()?;
        if !chunk.windows(text.len()).any(|window| window == text) {
            return None;
        }
        let at_text = *at_text;
        state.armed = None;
        state.holds = at_text == AtText::Hold;
        self.cuts.fetch_add(1, Ordering::SeqCst);
        drop(self.let_go.wait_while(state, |state| state.holds).expect("no thread panics with it"));
        match at_text {
            AtText::Cut(cut) => Some(cut),
            AtText::Hold => None,
        }
    }
}
