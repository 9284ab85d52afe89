//! A proxy in front of an HTTP server that misbehaves on demand: cuts, delays, refuses, loses answers.
//!
//! It cuts at the level of connections and looks into no request, so a fault may hit any call at any byte.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
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
    /// Answers `503 Slow Down` itself.
    Unavailable,
}

/// A proxy. Dropping it leaves its threads to end with their connections.
pub struct FaultProxy {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    hits: Arc<AtomicU64>,
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
        let proxy =
            Self { port, fault: Arc::new(Mutex::new(Fault::None)), connections: Arc::default(), hits: Arc::default() };
        let (fault, connections, hits) = (proxy.fault.clone(), proxy.connections.clone(), proxy.hits.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let now = *fault.lock().expect("no holder panics");
                match now {
                    Fault::Refuse => drop(client),
                    Fault::Unavailable => refuse(client),
                    _ => {
                        let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                        let mut open = connections.lock().expect("no holder panics");
                        open.extend([client.try_clone(), upstream.try_clone()].into_iter().flatten());
                        drop(open);
                        pipe(&client, &upstream, &fault, &hits, Side::Request);
                        pipe(&upstream, &client, &fault, &hits, Side::Answer);
                    }
                }
                if now != Fault::None {
                    hits.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        proxy
    }

    /// Where clients go.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What is done from now on, also with connections that are open.
    ///
    /// # Panics
    /// If a thread of the proxy has panicked.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().expect("no holder panics") = fault;
        let open = std::mem::take(&mut *self.connections.lock().expect("no holder panics"));
        for stream in open {
            if fault == Fault::Refuse || fault == Fault::Unavailable {
                drop(stream.shutdown(Shutdown::Both));
            } else {
                self.connections.lock().expect("no holder panics").push(stream);
            }
        }
    }

    /// How many connections and pieces faults have hit.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Answer,
}

/// Takes some of the request and says that the server is busy.
fn refuse(mut client: TcpStream) {
    thread::spawn(move || {
        drop(client.set_read_timeout(Some(Duration::from_millis(200))));
        let mut buffer = [0; 65536];
        let _ = client.read(&mut buffer);
        let _ = client.write_all(UNAVAILABLE);
        let _ = client.shutdown(Shutdown::Write);
        while client.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
}

fn pipe(from: &TcpStream, to: &TcpStream, fault: &Arc<Mutex<Fault>>, hits: &Arc<AtomicU64>, side: Side) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let (fault, hits) = (fault.clone(), hits.clone());
    thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 {
                break;
            }
            let now = *fault.lock().expect("no holder panics");
            if now != Fault::None {
                hits.fetch_add(1, Ordering::Relaxed);
            }
            match (now, side) {
                (Fault::LoseAnswers, Side::Answer) => break,
                (Fault::Delay(pause), _) => thread::sleep(pause),
                _ => {}
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        drop(from.shutdown(Shutdown::Both));
        drop(to.shutdown(Shutdown::Both));
    });
}
