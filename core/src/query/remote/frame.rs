//! Frames on a connection: a length and so many bytes.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

/// The longest request.
pub(super) const LONGEST_REQUEST: usize = 16 << 20;
/// The longest answer: a page, and one entry beyond.
pub(super) const LONGEST_ANSWER: usize = 256 << 20;

/// Writes a frame.
pub(super) fn send(stream: &mut TcpStream, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(|_| io::Error::other("a frame of more than 4 GiB"))?;
    let mut frame = Vec::with_capacity(payload.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    stream.write_all(&frame)
}

/// Reads a frame of at most `longest` bytes.
pub(super) fn receive(stream: &mut TcpStream, longest: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > longest {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes; at most {longest} are read"),
        ));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}
