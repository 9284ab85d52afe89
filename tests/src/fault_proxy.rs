//! A TCP proxy on loopback that does to connections what networks do: cuts them, holds them up, loses answers.
//!
//! Faults hit at once and hold until [`FaultProxy::set`] says otherwise. Dropping the proxy cuts everything.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What the proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Connections are cut, new ones are closed at once.
    Cut,
    /// Nothing passes in either direction; connections stay open.
    Stall,
    /// Requests pass, answers are thrown away and their connection is cut.
    LoseAnswers,
}

struct Shared {
    fault: Mutex<Fault>,
    connections: Mutex<Vec<TcpStream>>,
    passed: AtomicU64,
    ended: AtomicBool,
}

/// A proxy in front of one server.
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
}

const STEP: Duration = Duration::from_millis(10);

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1, in front of `target`, such as `127.0.0.1:5432`.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            fault: Mutex::new(Fault::None),
            connections: Mutex::new(Vec::new()),
            passed: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let (of_thread, target) = (Arc::clone(&shared), target.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.ended.load(Ordering::SeqCst) {
                    return;
                }
                connect(&of_thread, client, &target);
            }
        });
        Self { port, shared }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers that passed, in pieces as they came.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// Does this from now on.
    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().expect("nobody panics with it") = fault;
        if fault == Fault::Cut {
            self.cut();
        }
    }

    /// Cuts all connections that there are; new ones may be made.
    pub fn cut(&self) {
        let connections = std::mem::take(&mut *self.shared.connections.lock().expect("nobody panics with it"));
        connections.iter().for_each(|connection| drop(connection.shutdown(Shutdown::Both)));
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.set(Fault::Cut);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().expect("nobody panics with it")
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream, target: &str) {
    if shared.fault() == Fault::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(target) else { return };
    let ends = [&client, &server].map(|end| end.try_clone().expect("a socket has two handles"));
    shared.connections.lock().expect("nobody panics with it").extend(ends);
    let [client_again, server_again] = [&client, &server].map(|end| end.try_clone().expect("a socket has two handles"));
    let (there, back) = (Arc::clone(shared), Arc::clone(shared));
    thread::spawn(move || pass(&there, client, server, false));
    thread::spawn(move || pass(&back, server_again, client_again, true));
}

/// Passes bytes on until one side ends or a fault says so.
fn pass(shared: &Shared, mut from: TcpStream, mut to: TcpStream, is_answer: bool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        while shared.fault() == Fault::Stall && !shared.ended.load(Ordering::SeqCst) {
            thread::sleep(STEP);
        }
        let lost = is_answer && shared.fault() == Fault::LoseAnswers;
        if lost || shared.fault() == Fault::Cut || to.write_all(&buffer[..length]).is_err() {
            break;
        }
        shared.passed.fetch_add(u64::from(is_answer), Ordering::SeqCst);
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
