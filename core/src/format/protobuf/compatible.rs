//! Whether a reader's schema can read what was written in a writer's: fields are known by their numbers.
//!
//! The rules are those of "Updating A Message Type" in the documentation of Protocol Buffers: a number keeps its type, within the families of
//! types that share an encoding, and its field stays single or repeated.

use super::schema::{Kind, MessageId, ProtobufSchema};

/// What keeps the reader from reading the writer's records, if anything does.
pub(in crate::format) fn can_read(reader: &ProtobufSchema, writer: &ProtobufSchema) -> Result<(), String> {
    let (reads, writes) = (reader.root(None)?, writer.root(None)?);
    messages((reader, reads), (writer, writes), &mut Vec::new())
}

type Side<'s> = (&'s ProtobufSchema, MessageId);

fn messages(reader: Side<'_>, writer: Side<'_>, inside: &mut Vec<(MessageId, MessageId)>) -> Result<(), String> {
    if inside.contains(&(reader.1, writer.1)) {
        return Ok(());
    }
    inside.push((reader.1, writer.1));
    let (read, written) = (reader.0.message(reader.1), writer.0.message(writer.1));
    for field in &read.fields {
        let Some(old) = written.fields.iter().find(|other| other.number == field.number) else { continue };
        let changed = || {
            Err(format!(
                "field {} numbered {} was {}{}",
                field.name,
                field.number,
                if old.repeated { "repeated " } else { "" },
                writer.0.name_of(&old.kind)
            ))
        };
        match (&field.kind, &old.kind) {
            _ if field.repeated != old.repeated => return changed(),
            (Kind::Message(a), Kind::Message(b)) => messages((reader.0, *a), (writer.0, *b), inside)?,
            (a, b) if family(a) == family(b) => {}
            _ => return changed(),
        }
    }
    inside.pop();
    Ok(())
}

fn family(kind: &Kind) -> u8 {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::UInt32 | Kind::UInt64 | Kind::Bool | Kind::Enum(_) => 0,
        Kind::SInt32 | Kind::SInt64 => 1,
        Kind::Fixed32 | Kind::SFixed32 => 2,
        Kind::Fixed64 | Kind::SFixed64 => 3,
        Kind::String | Kind::Bytes => 4,
        Kind::Float => 5,
        Kind::Double => 6,
        Kind::Message(_) => 7,
        Kind::Map(..) => 8,
    }
}
