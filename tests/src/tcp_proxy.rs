//! A proxy that cuts connections: one that can be armed to cut behind or before a text that the client sends.
//!
//! A cut behind the text hands it to the server and lets no answer come back; one before it hands over nothing of the chunk that holds it. With
//! the text of a COMMIT the client cannot tell one from the other, which is what it is for.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server gets the text and acts on it, the client never hears.
    Behind,
    /// The server gets nothing of it.
    Before,
}

/// A proxy on a port of its own. Its threads end with the process.
pub struct TcpProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    to: AtomicU16,
    armed: Mutex<Option<(Vec<u8>, Cut)>>,
    cuts: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl TcpProxy {
    /// Starts a proxy to a port on loopback.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (to, cuts) = (AtomicU16::new(to), AtomicU64::new(0));
        let shared = Arc::new(Shared { to, armed: Mutex::default(), cuts, open: Mutex::default() });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || listener.incoming().flatten().for_each(|client| serve(client, &of_thread)));
        Self { port, shared }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next chunk of a client that holds the text is its last.
    pub fn arm(&self, text: &str, cut: Cut) {
        *self.shared.armed.lock().expect("no thread panics with it") = Some((text.as_bytes().to_vec(), cut));
    }

    /// How often it has cut a connection that it was armed for.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// Cuts all connections at once.
    pub fn cut_all(&self) {
        for stream in self.shared.open.lock().expect("no thread panics with it").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(client: TcpStream, shared: &Arc<Shared>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.to.load(Ordering::SeqCst))) else { return };
    let [Ok(client_in), Ok(server_in)] = [client.try_clone(), server.try_clone()] else { return };
    let mut open = shared.open.lock().expect("no thread panics with it");
    open.extend([client.try_clone(), server.try_clone()].into_iter().flatten());
    drop(open);
    let of_thread = Arc::clone(shared);
    thread::spawn(move || forward(client_in, server_in, Some(&of_thread)));
    thread::spawn(move || forward(server, client, None));
}

fn forward(mut from: TcpStream, mut to: TcpStream, shared: Option<&Shared>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut buffer) {
        let chunk = &buffer[..length];
        let cut = shared.and_then(|shared| shared.cut(chunk));
        if cut == Some(Cut::Behind) {
            // The answer must not overtake the cut.
            let _ = from.shutdown(Shutdown::Both);
        }
        if length == 0 || cut == Some(Cut::Before) || to.write_all(chunk).is_err() {
            break;
        }
        if cut.is_some() {
            // The server acts on what it has before it notices.
            thread::sleep(Duration::from_millis(30));
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

impl Shared {
    fn cut(&self, chunk: &[u8]) -> Option<Cut> {
        let mut armed = self.armed.lock().expect("no thread panics with it");
        let (text, cut) = armed.as_ref()?;
        if !chunk.windows(text.len()).any(|window| window == text) {
            return None;
        }
        let cut = *cut;
        *armed = None;
        self.cuts.fetch_add(1, Ordering::SeqCst);
        Some(cut)
    }
}
