//! What the processes of a queue say that they did: a line each, in a file that outlives them.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

/// Something that was done, written after it was confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// A message was sent and is at this place.
    Sent,
    /// It was received.
    Received,
    /// Its acknowledgement was confirmed.
    Acknowledged,
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) deed: Deed,
    pub(super) partition: u32,
    pub(super) offset: u64,
    /// Which attempt; of sent messages, the number that is in the message.
    pub(super) number: u64,
}

/// Opens the file of a directory for one process.
pub(super) fn open(directory: &Path) -> File {
    let file = directory.join("evidence.txt");
    OpenOptions::new().create(true).append(true).open(file).expect("a file for what is done")
}

/// Writes a line, whole, at the end.
pub(super) fn write(mut file: &File, Line { deed, partition, offset, number }: Line) {
    let letter = match deed {
        Deed::Sent => 'S',
        Deed::Received => 'R',
        Deed::Acknowledged => 'A',
    };
    let line = format!("{letter} {partition} {offset} {number}\n");
    file.write_all(line.as_bytes()).expect("the file takes a line");
}

/// All lines so far, in the order in which they were written.
pub(super) fn read(directory: &Path) -> Vec<Line> {
    let text = fs::read_to_string(directory.join("evidence.txt")).unwrap_or_default();
    let line = |line: &str| {
        let parts: Vec<&str> = line.split(' ').collect();
        let deed = match parts[0] {
            "S" => Deed::Sent,
            "R" => Deed::Received,
            "A" => Deed::Acknowledged,
            other => panic!("no deed: {other}"),
        };
        let number = |index: usize| parts[index].parse::<u64>().expect("a number");
        Line { deed, partition: number(1) as u32, offset: number(2), number: number(3) }
    };
    text.lines().map(line).collect()
}
