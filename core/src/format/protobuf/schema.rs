//! Protobuf schemas: messages in an arena, types resolved across the files that are imported.
//!
//! The files of Google and Confluent that ksqlDB's schemas import are built in ([`well_known`](super::well_known)).

use std::{collections::HashMap, sync::Arc};

use super::{
    parser::{self, EnumDecl, File, Label, MessageDecl, TypeDecl},
    well_known,
};
use crate::format::registry::Schema;

/// Which message of the arena.
pub(in crate::format) type MessageId = usize;

/// A schema: a file with all that it imports.
#[derive(Debug)]
pub(in crate::format) struct ProtobufSchema {
    messages: Vec<Message>,
    enums: Vec<EnumType>,
    /// The first levels of messages of the file itself, in order.
    roots: Vec<MessageId>,
}

/// A message.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// Its name with package and outer messages.
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    pub(super) oneofs: Vec<String>,
    /// The messages declared in it.
    nested: Vec<MessageId>,
}

/// An enum.
#[derive(Debug)]
pub(super) struct EnumType {
    name: String,
    pub(super) values: Vec<(String, i32)>,
}

/// A field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
    /// Whether it is known if the field was written; without, an absent field is its default.
    pub(super) has_presence: bool,
    /// Which of the message's oneofs it is in.
    pub(super) oneof: Option<usize>,
    /// Confluent's parameters: the precision and scale of a decimal.
    pub(super) parameters: Vec<(String, String)>,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    UInt32,
    UInt64,
    SInt32,
    SInt64,
    Fixed32,
    Fixed64,
    SFixed32,
    SFixed64,
    Bool,
    String,
    Bytes,
    Enum(usize),
    Message(MessageId),
    Map(Box<Kind>, Box<Kind>),
}

const SCALARS: [(&str, Kind); 15] = [
    ("double", Kind::Double),
    ("float", Kind::Float),
    ("int32", Kind::Int32),
    ("int64", Kind::Int64),
    ("uint32", Kind::UInt32),
    ("uint64", Kind::UInt64),
    ("sint32", Kind::SInt32),
    ("sint64", Kind::SInt64),
    ("fixed32", Kind::Fixed32),
    ("fixed64", Kind::Fixed64),
    ("sfixed32", Kind::SFixed32),
    ("sfixed64", Kind::SFixed64),
    ("bool", Kind::Bool),
    ("string", Kind::String),
    ("bytes", Kind::Bytes),
];

#[derive(Debug, Clone, Copy)]
enum Named {
    Message(MessageId),
    Enum(usize),
}

struct Resolver {
    messages: Vec<Message>,
    enums: Vec<EnumType>,
    named: HashMap<String, Named>,
}

impl ProtobufSchema {
    /// Reads the text of a file; `used` are the files that it imports, by their paths.
    pub(in crate::format) fn parse(text: &str, used: &[(String, Arc<Schema>)]) -> Result<Self, String> {
        let mut files: Vec<File> = Vec::new();
        let mut loaded: Vec<String> = Vec::new();
        let main = parser::parse(text)?;
        let mut waiting: Vec<String> = main.imports.clone();
        while let Some(path) = waiting.pop() {
            if loaded.contains(&path) {
                continue;
            }
            let given = used.iter().find(|(name, _)| *name == path).map(|(_, schema)| schema.text.as_str());
            let text = given.or_else(|| well_known::file(&path));
            let text = text.ok_or_else(|| format!("imports {path}, which is not among its references"))?;
            let file = parser::parse(text).map_err(|problem| format!("{path}: {problem}"))?;
            waiting.extend(file.imports.iter().cloned());
            loaded.push(path);
            files.push(file);
        }
        files.push(main);
        let mut resolver = Resolver { messages: Vec::new(), enums: Vec::new(), named: HashMap::new() };
        let mut roots = Vec::new();
        for file in &files {
            roots = resolver.declare(&file.package, &file.messages, &file.enums)?;
        }
        for file in &files {
            resolver.fill(&file.package, &file.messages, file.is_proto2)?;
        }
        if roots.is_empty() {
            return Err("the file has no message".to_owned());
        }
        Ok(Self { messages: resolver.messages, enums: resolver.enums, roots })
    }

    pub(super) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id]
    }

    pub(super) fn enumeration(&self, id: usize) -> &EnumType {
        &self.enums[id]
    }

    /// The message of a full name, or of its last part if only one message of the file itself has it; without a name, the first one.
    pub(in crate::format) fn root(&self, name: Option<&str>) -> Result<MessageId, String> {
        let Some(name) = name else { return Ok(self.roots[0]) };
        let mut own: Vec<MessageId> = self.roots.clone();
        let mut at = 0;
        while at < own.len() {
            own.extend_from_slice(&self.messages[own[at]].nested);
            at += 1;
        }
        let exact = own.iter().find(|id| self.messages[**id].name == name);
        let last = || {
            let mut fits = own.iter().filter(|id| self.messages[**id].name.rsplit('.').next() == Some(name));
            fits.next().filter(|_| fits.next().is_none())
        };
        exact.or_else(last).copied().ok_or_else(|| format!("there is no message {name}"))
    }

    /// The message at a path of numbers: which message of the file, which message in it, ..
    pub(super) fn at(&self, path: &[usize]) -> Option<MessageId> {
        let (first, rest) = path.split_first()?;
        let mut id = *self.roots.get(*first)?;
        for index in rest {
            id = *self.messages[id].nested.get(*index)?;
        }
        Some(id)
    }

    /// The path of numbers to a message of the file.
    pub(super) fn path(&self, id: MessageId) -> Vec<usize> {
        fn find(schema: &ProtobufSchema, among: &[MessageId], id: MessageId, path: &mut Vec<usize>) -> bool {
            among.iter().enumerate().any(|(index, other)| {
                path.push(index);
                let found = *other == id || find(schema, &schema.messages[*other].nested, id, path);
                if !found {
                    path.pop();
                }
                found
            })
        }
        let mut path = Vec::new();
        find(self, &self.roots, id, &mut path);
        path
    }

    /// How errors call a type.
    pub(super) fn name_of(&self, kind: &Kind) -> String {
        match kind {
            Kind::Enum(id) => self.enums[*id].name.clone(),
            Kind::Message(id) => self.messages[*id].name.clone(),
            Kind::Map(key, value) => format!("map<{}, {}>", self.name_of(key), self.name_of(value)),
            plain => SCALARS.iter().find(|(_, kind)| kind == plain).map_or("", |(name, _)| name).to_owned(),
        }
    }
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

impl Resolver {
    fn declare(&mut self, scope: &str, messages: &[MessageDecl], enums: &[EnumDecl]) -> Result<Vec<MessageId>, String> {
        for decl in enums {
            let name = join(scope, &decl.name);
            self.enums.push(EnumType { name: name.clone(), values: decl.values.clone() });
            self.define(name, Named::Enum(self.enums.len() - 1))?;
        }
        let mut ids = Vec::with_capacity(messages.len());
        for decl in messages {
            let name = join(scope, &decl.name);
            let id = self.messages.len();
            self.messages.push(Message { name: name.clone(), oneofs: decl.oneofs.clone(), ..Message::default() });
            self.define(name.clone(), Named::Message(id))?;
            let nested = self.declare(&name, &decl.messages, &decl.enums)?;
            self.messages[id].nested = nested;
            ids.push(id);
        }
        Ok(ids)
    }

    fn define(&mut self, name: String, named: Named) -> Result<(), String> {
        match self.named.insert(name.clone(), named) {
            None => Ok(()),
            Some(_) => Err(format!("{name} is declared twice")),
        }
    }

    fn fill(&mut self, scope: &str, messages: &[MessageDecl], is_proto2: bool) -> Result<(), String> {
        for decl in messages {
            let name = join(scope, &decl.name);
            let mut fields: Vec<Field> = Vec::with_capacity(decl.fields.len());
            for field in &decl.fields {
                let kind = match &field.data_type {
                    TypeDecl::Named(written) => self.resolve(&name, written)?,
                    TypeDecl::Map(key, value) => {
                        Kind::Map(Box::new(self.resolve(&name, key)?), Box::new(self.resolve(&name, value)?))
                    }
                };
                if fields.iter().any(|other| other.number == field.number || other.name == field.name) {
                    return Err(format!("message {name} has two fields {} or numbered {}", field.name, field.number));
                }
                let has_presence = matches!(kind, Kind::Message(_))
                    || field.oneof.is_some()
                    || field.label == Label::Optional
                    || field.label == Label::Required
                    || (is_proto2 && field.label == Label::Plain);
                fields.push(Field {
                    name: field.name.clone(),
                    number: field.number,
                    kind,
                    repeated: field.label == Label::Repeated,
                    has_presence,
                    oneof: field.oneof,
                    parameters: field.parameters.clone(),
                });
            }
            if let Some(Named::Message(id)) = self.named.get(&name) {
                self.messages[*id].fields = fields;
            }
            self.fill(&name, &decl.messages, is_proto2)?;
        }
        Ok(())
    }

    /// A name as it is seen from inside a message: the innermost scope first.
    fn resolve(&self, scope: &str, written: &str) -> Result<Kind, String> {
        if let Some((_, kind)) = SCALARS.iter().find(|(name, _)| *name == written) {
            return Ok(kind.clone());
        }
        let found = match written.strip_prefix('.') {
            Some(rooted) => self.named.get(rooted),
            None => {
                let mut scope = scope;
                loop {
                    if let Some(found) = self.named.get(&join(scope, written)) {
                        break Some(found);
                    }
                    match (scope.is_empty(), scope.rsplit_once('.')) {
                        (true, _) => break None,
                        (false, Some((outer, _))) => scope = outer,
                        (false, None) => scope = "",
                    }
                }
            }
        };
        match found {
            Some(Named::Message(id)) => Ok(Kind::Message(*id)),
            Some(Named::Enum(id)) => Ok(Kind::Enum(*id)),
            None => Err(format!("no type {written}")),
        }
    }
}
