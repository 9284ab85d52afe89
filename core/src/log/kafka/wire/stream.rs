//! Bytes to and from a broker over TCP, encrypted or not, with a moment by which everything must be done.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use crate::log::kafka::{clock::Deadline, connection::BrokerAddress};

/// An open connection.
#[derive(Debug)]
pub(super) enum ByteStream {
    /// Plain text.
    Plain(TcpStream),
    /// TLS.
    Encrypted(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// Cuts a connection from another thread: whoever waits on it gets an error.
#[derive(Debug)]
pub(in crate::log::kafka) struct Cutter(TcpStream);

impl Cutter {
    /// Cuts it.
    pub(in crate::log::kafka) fn cut(&self) {
        // A connection that is closed already need not be closed.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl ByteStream {
    /// Connects, trying all addresses of the host.
    pub(super) fn connect(
        address: &BrokerAddress,
        tls: Option<&Arc<ClientConfig>>,
        deadline: Deadline,
    ) -> io::Result<Self> {
        let socket = connect_tcp(address, deadline)?;
        socket.set_nodelay(true)?;
        let Some(tls) = tls else { return Ok(Self::Plain(socket)) };
        let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
        let mut stream = Self::Encrypted(Box::new(StreamOwned::new(session, socket)));
        stream.set_timeouts(deadline)?;
        if let Self::Encrypted(stream) = &mut stream {
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock)?;
            }
        }
        Ok(stream)
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Encrypted(stream) => &stream.sock,
        }
    }

    /// A way to cut the connection from another thread.
    pub(super) fn cutter(&self) -> io::Result<Cutter> {
        self.socket().try_clone().map(Cutter)
    }

    /// Whether the other side has kept its end open and said nothing that was not asked. Encryption may have something to say of its own.
    pub(super) fn is_quiet(&self) -> bool {
        let socket = self.socket();
        let look = || -> io::Result<usize> {
            socket.set_nonblocking(true)?;
            let seen = socket.peek(&mut [0]);
            socket.set_nonblocking(false)?;
            seen
        };
        match look() {
            Ok(0) => false,
            Ok(_) => matches!(self, Self::Encrypted(_)),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    fn set_timeouts(&self, deadline: Deadline) -> io::Result<()> {
        // A time-out of zero would mean none.
        let left = deadline.left().max(Duration::from_millis(1));
        self.socket().set_read_timeout(Some(left))?;
        self.socket().set_write_timeout(Some(left))
    }

    /// Sends all of `bytes`.
    pub(super) fn send(&mut self, bytes: &[u8], deadline: Deadline) -> io::Result<()> {
        self.set_timeouts(deadline)?;
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Encrypted(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Fills `bytes`.
    pub(super) fn receive(&mut self, mut bytes: &mut [u8], deadline: Deadline) -> io::Result<()> {
        while !bytes.is_empty() {
            if deadline.is_over() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.set_timeouts(deadline)?;
            let read = match self {
                Self::Plain(socket) => socket.read(bytes),
                Self::Encrypted(stream) => stream.read(bytes),
            };
            match read {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => bytes = &mut bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn connect_tcp(address: &BrokerAddress, deadline: Deadline) -> io::Result<TcpStream> {
    let mut failure = io::Error::other("the name has no address");
    for resolved in (address.host.as_str(), address.port).to_socket_addrs()? {
        if deadline.is_over() {
            break;
        }
        match TcpStream::connect_timeout(&resolved, deadline.left().max(Duration::from_millis(1))) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
