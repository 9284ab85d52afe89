//! Whether a reader's schema can read what was written in a writer's.
//!
//! After the specification of Avro 1.12, section "Schema Resolution".

use super::schema::{AvroSchema, Type, TypeId};

/// What keeps the reader from reading the writer's records, if anything does.
pub(in crate::format) fn can_read(reader: &AvroSchema, writer: &AvroSchema) -> Result<(), String> {
    check((reader, reader.root()), (writer, writer.root()), "", &mut Vec::new())
}

type Side<'s> = (&'s AvroSchema, TypeId);

fn check(reader: Side<'_>, writer: Side<'_>, path: &str, inside: &mut Vec<(TypeId, TypeId)>) -> Result<(), String> {
    // A pair that is being looked at already, further out, is decided there.
    if inside.contains(&(reader.1, writer.1)) {
        return Ok(());
    }
    inside.push((reader.1, writer.1));
    let outcome = pair(reader, writer, path, inside);
    inside.pop();
    outcome
}

fn pair(reader: Side<'_>, writer: Side<'_>, path: &str, inside: &mut Vec<(TypeId, TypeId)>) -> Result<(), String> {
    let mismatch = || {
        let place = if path.is_empty() { "the record" } else { path };
        Err(format!("{place} was {}, which {} cannot read", writer.0.name_of(writer.1), reader.0.name_of(reader.1)))
    };
    let name = |full: &str| full.rsplit('.').next().unwrap_or_default().to_owned();
    match (reader.0.get(reader.1), writer.0.get(writer.1)) {
        (_, Type::Union(branches)) => {
            branches.iter().try_for_each(|branch| check(reader, (writer.0, *branch), path, inside))
        }
        (Type::Union(branches), _) => {
            let fits = branches.iter().any(|branch| check((reader.0, *branch), writer, path, inside).is_ok());
            if fits { Ok(()) } else { mismatch() }
        }
        (Type::Null, Type::Null) | (Type::Boolean, Type::Boolean) => Ok(()),
        (Type::Int(_), Type::Int(_)) | (Type::Long(_), Type::Int(_) | Type::Long(_)) => Ok(()),
        (Type::Float, Type::Int(_) | Type::Long(_) | Type::Float) => Ok(()),
        (Type::Double, Type::Int(_) | Type::Long(_) | Type::Float | Type::Double) => Ok(()),
        (Type::Bytes(_) | Type::String, Type::Bytes(_) | Type::String) => Ok(()),
        (Type::Fixed { name: a, size, .. }, Type::Fixed { name: b, size: other, .. }) => {
            if name(a) == name(b) && size == other { Ok(()) } else { mismatch() }
        }
        (Type::Enum { name: a, symbols, default }, Type::Enum { name: b, symbols: written, .. }) => {
            if name(a) != name(b) {
                return mismatch();
            }
            match written.iter().find(|symbol| !symbols.contains(symbol)) {
                Some(symbol) if default.is_none() => Err(format!("symbol {symbol} of enum {a} is gone")),
                _ => Ok(()),
            }
        }
        (Type::Array { items, .. }, Type::Array { items: written, .. }) => {
            check((reader.0, *items), (writer.0, *written), &format!("{path}[]"), inside)
        }
        (Type::Map { values }, Type::Map { values: written }) => {
            check((reader.0, *values), (writer.0, *written), &format!("{path}{{}}"), inside)
        }
        (Type::Record { name: a, fields }, Type::Record { name: b, fields: written }) => {
            if name(a) != name(b) {
                return mismatch();
            }
            for field in fields {
                let path = [path, &field.name].join(if path.is_empty() { "" } else { "." });
                let source =
                    written.iter().find(|other| other.name == field.name || field.aliases.contains(&other.name));
                match source {
                    Some(source) => {
                        check((reader.0, field.data_type), (writer.0, source.data_type), &path, inside)?;
                    }
                    None if field.default.is_some() => {}
                    None => return Err(format!("field {path} has no default, and older records lack it")),
                }
            }
            Ok(())
        }
        _ => mismatch(),
    }
}
