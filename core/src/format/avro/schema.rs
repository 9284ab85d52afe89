//! Avro schemas: types in an arena, names resolved.
//!
//! Named types may be used before their definition ends (recursion), so types refer to each other by index. Attributes that mean nothing
//! to records (`doc`, `order`, aliases of names) are dropped; those of Kafka Connect that change a type are kept. After the
//! specification of Avro 1.12, sections "Schema Declaration" and "Logical Types".

use std::collections::HashMap;

use serde_json::Value as Json;

/// Which type of the arena.
pub(in crate::format) type TypeId = usize;

/// A schema.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::format) struct AvroSchema {
    types: Vec<Type>,
    root: TypeId,
}

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::format) enum Type {
    Null,
    Boolean,
    Int(Logical),
    Long(Logical),
    Float,
    Double,
    Bytes(Logical),
    String,
    Fixed { name: String, size: usize, logical: Logical },
    Enum { name: String, symbols: Vec<String>, default: Option<String> },
    Array { items: TypeId, is_map: bool },
    Map { values: TypeId },
    Union(Vec<TypeId>),
    Record { name: String, fields: Vec<RecordField> },
}

/// What a number or bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) enum Logical {
    /// Themselves.
    None,
    /// Days since 1970.
    Date,
    /// Milliseconds since midnight.
    TimeMillis,
    /// Microseconds since midnight.
    TimeMicros,
    /// Milliseconds since 1970.
    TimestampMillis,
    /// Microseconds since 1970.
    TimestampMicros,
    /// A big-endian number of units of the last digit.
    Decimal { precision: u8, scale: i8 },
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::format) struct RecordField {
    /// Its name.
    pub(in crate::format) name: String,
    /// Other names under which a writer may have it.
    pub(in crate::format) aliases: Vec<String>,
    /// Its type.
    pub(in crate::format) data_type: TypeId,
    /// Its default, as JSON.
    pub(in crate::format) default: Option<Json>,
}

/// The most levels of types within types: deeper ones are an attack or a mistake.
const MAX_DEPTH: usize = 100;

struct Parser {
    types: Vec<Type>,
    named: HashMap<String, TypeId>,
}

impl AvroSchema {
    /// Reads the text of a schema; `used` are the texts of the schemas that it refers to, in an order in which each follows what it
    /// uses.
    pub(in crate::format) fn parse<'a>(text: &str, used: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut parser = Parser { types: Vec::new(), named: HashMap::new() };
        for text in used {
            parser.text(text)?;
        }
        let root = parser.text(text)?;
        Ok(Self { types: parser.types, root })
    }

    /// The type of whole records.
    pub(in crate::format) fn root(&self) -> TypeId {
        self.root
    }

    /// A type.
    pub(in crate::format) fn get(&self, id: TypeId) -> &Type {
        &self.types[id]
    }

    /// The type without the null of a union with null, and whether there was one. A union of several others stays a union.
    pub(in crate::format) fn non_null(&self, id: TypeId) -> (TypeId, bool) {
        let Type::Union(branches) = self.get(id) else { return (id, false) };
        let mut others = branches.iter().filter(|branch| *self.get(**branch) != Type::Null);
        match (others.next(), others.next()) {
            (Some(&only), None) => (only, branches.len() > 1),
            _ => (id, branches.iter().any(|branch| *self.get(*branch) == Type::Null)),
        }
    }

    /// How errors call a type.
    pub(in crate::format) fn name_of(&self, id: TypeId) -> String {
        match self.get(id) {
            Type::Null => "null".to_owned(),
            Type::Boolean => "boolean".to_owned(),
            Type::Int(logical) => named("int", *logical),
            Type::Long(logical) => named("long", *logical),
            Type::Float => "float".to_owned(),
            Type::Double => "double".to_owned(),
            Type::Bytes(logical) => named("bytes", *logical),
            Type::String => "string".to_owned(),
            Type::Fixed { name, .. } | Type::Enum { name, .. } | Type::Record { name, .. } => name.clone(),
            Type::Array { .. } => "array".to_owned(),
            Type::Map { .. } => "map".to_owned(),
            Type::Union(branches) => {
                format!("[{}]", branches.iter().map(|branch| self.name_of(*branch)).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn named(name: &str, logical: Logical) -> String {
    match logical {
        Logical::None => name.to_owned(),
        Logical::Date => format!("{name} (date)"),
        Logical::TimeMillis => format!("{name} (time-millis)"),
        Logical::TimeMicros => format!("{name} (time-micros)"),
        Logical::TimestampMillis => format!("{name} (timestamp-millis)"),
        Logical::TimestampMicros => format!("{name} (timestamp-micros)"),
        Logical::Decimal { precision, scale } => format!("{name} (decimal of {precision} digits, scale {scale})"),
    }
}

impl Parser {
    /// A schema may be JSON, or the bare name of a type.
    fn text(&mut self, text: &str) -> Result<TypeId, String> {
        match serde_json::from_str::<Json>(text) {
            Ok(json) => self.read(&json, "", 0),
            Err(error) => {
                let bare = text.trim();
                let is_name = !bare.is_empty() && bare.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
                if is_name { self.by_name(bare, "") } else { Err(format!("not JSON: {error}")) }
            }
        }
    }

    fn add(&mut self, one: Type) -> TypeId {
        self.types.push(one);
        self.types.len() - 1
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<TypeId, String> {
        let primitive = match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => Type::Int(Logical::None),
            "long" => Type::Long(Logical::None),
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes(Logical::None),
            "string" => Type::String,
            _ => {
                let full = full_name(name, namespace);
                let found = self.named.get(&full).or_else(|| self.named.get(name));
                return found.copied().ok_or_else(|| format!("no type {name}"));
            }
        };
        Ok(self.add(primitive))
    }

    fn read(&mut self, json: &Json, namespace: &str, depth: usize) -> Result<TypeId, String> {
        if depth > MAX_DEPTH {
            return Err(format!("types are nested more than {MAX_DEPTH} deep"));
        }
        match json {
            Json::String(name) => self.by_name(name, namespace),
            Json::Array(branches) => {
                let read = |parser: &mut Self, branch: &Json| match branch {
                    Json::Array(_) => Err("a union stands in a union".to_owned()),
                    other => parser.read(other, namespace, depth + 1),
                };
                let branches = branches.iter().map(|branch| read(self, branch)).collect::<Result<_, _>>()?;
                Ok(self.add(Type::Union(branches)))
            }
            Json::Object(_) => self.object(json, namespace, depth),
            other => Err(format!("expected a type, found {other}")),
        }
    }

    fn object(&mut self, json: &Json, namespace: &str, depth: usize) -> Result<TypeId, String> {
        let kind = match json.get("type") {
            Some(Json::String(kind)) => kind.as_str(),
            // {"type": {"type": "int"}} and {"type": ["null", "int"]} are their inside.
            Some(inner) => return self.read(inner, namespace, depth + 1),
            None => return Err(format!("a type is missing in {}", shown(json))),
        };
        match kind {
            "array" => {
                let items = json.get("items").ok_or("an array has no items")?;
                let items = self.read(items, namespace, depth + 1)?;
                let is_map = json.get("connect.internal.type").and_then(Json::as_str) == Some("MapEntry")
                    || matches!(self.types.get(items), Some(Type::Record { name, .. }) if name == MAP_ENTRY);
                Ok(self.add(Type::Array { items, is_map }))
            }
            "map" => {
                let values = json.get("values").ok_or("a map has no values")?;
                let values = self.read(values, namespace, depth + 1)?;
                Ok(self.add(Type::Map { values }))
            }
            "record" | "error" => self.record(json, namespace, depth),
            "enum" => {
                let (name, _) = self.name(json, namespace)?;
                let symbols = json.get("symbols").and_then(Json::as_array).ok_or("an enum has no symbols")?;
                let symbol = |symbol: &Json| {
                    symbol.as_str().map(str::to_owned).ok_or_else(|| format!("{symbol} is no symbol of an enum"))
                };
                let symbols = symbols.iter().map(symbol).collect::<Result<_, _>>()?;
                let default = json.get("default").and_then(Json::as_str).map(str::to_owned);
                self.define(name.clone(), Type::Enum { name, symbols, default })
            }
            "fixed" => {
                let (name, _) = self.name(json, namespace)?;
                let size = json.get("size").and_then(Json::as_u64).and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or("a fixed has no size")?;
                let logical = logical(json);
                self.define(name.clone(), Type::Fixed { name, size, logical })
            }
            _ => {
                let plain = self.by_name(kind, namespace)?;
                let with = match (&self.types[plain], logical(json)) {
                    (Type::Int(Logical::None), logical @ (Logical::Date | Logical::TimeMillis)) => Type::Int(logical),
                    (
                        Type::Long(Logical::None),
                        logical @ (Logical::TimestampMillis | Logical::TimestampMicros | Logical::TimeMicros),
                    ) => Type::Long(logical),
                    (Type::Bytes(Logical::None), logical @ Logical::Decimal { .. }) => Type::Bytes(logical),
                    _ => return Ok(plain),
                };
                Ok(self.add(with))
            }
        }
    }

    fn define(&mut self, name: String, one: Type) -> Result<TypeId, String> {
        if self.named.contains_key(&name) {
            return Err(format!("type {name} is defined twice"));
        }
        let id = self.add(one);
        self.named.insert(name, id);
        Ok(id)
    }

    fn record(&mut self, json: &Json, namespace: &str, depth: usize) -> Result<TypeId, String> {
        let (name, namespace) = self.name(json, namespace)?;
        let id = self.define(name.clone(), Type::Record { name: name.clone(), fields: Vec::new() })?;
        let written = json.get("fields").and_then(Json::as_array).ok_or("a record has no fields")?;
        let mut fields: Vec<RecordField> = Vec::with_capacity(written.len());
        for field in written {
            let field_name = field.get("name").and_then(Json::as_str).ok_or("a field has no name")?;
            check_name(field_name)?;
            if fields.iter().any(|other| other.name == field_name) {
                return Err(format!("record {name} has two fields {field_name}"));
            }
            let data_type = field.get("type").ok_or_else(|| format!("field {field_name} has no type"))?;
            let aliases = field.get("aliases").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
            fields.push(RecordField {
                name: field_name.to_owned(),
                aliases: aliases.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
                data_type: self.read(data_type, &namespace, depth + 1)?,
                default: field.get("default").cloned(),
            });
        }
        self.types[id] = Type::Record { name, fields };
        Ok(id)
    }

    /// The full name of a definition, and the namespace that holds inside it.
    fn name(&self, json: &Json, namespace: &str) -> Result<(String, String), String> {
        let name =
            json.get("name").and_then(Json::as_str).ok_or_else(|| format!("a name is missing in {}", shown(json)))?;
        let namespace = json.get("namespace").and_then(Json::as_str).unwrap_or(namespace);
        let full = full_name(name, namespace);
        full.split('.').try_for_each(check_name)?;
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        Ok((full, namespace))
    }
}

/// The name of the records that Connect makes of maps with keys that are no plain strings.
const MAP_ENTRY: &str = "io.confluent.connect.avro.MapEntry";

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// Names are letters, digits and `_`, and begin with no digit.
pub(in crate::format) fn check_name(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    match letters.next() {
        None => return Err("Empty name".to_owned()),
        Some(first) if !(first.is_ascii_alphabetic() || first == '_') => {
            return Err(format!("Illegal initial character: {name}"));
        }
        Some(_) => {}
    }
    let legal = letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if legal { Ok(()) } else { Err(format!("Illegal character in: {name}")) }
}

fn logical(json: &Json) -> Logical {
    let connect = json.get("connect.name").and_then(Json::as_str).unwrap_or_default();
    let number = |name: &str| json.get(name).and_then(Json::as_u64);
    match json.get("logicalType").and_then(Json::as_str) {
        Some("date") => Logical::Date,
        Some("time-millis") => Logical::TimeMillis,
        Some("time-micros") => Logical::TimeMicros,
        Some("timestamp-millis") => Logical::TimestampMillis,
        Some("timestamp-micros") => Logical::TimestampMicros,
        Some("decimal") => {
            let precision = number("precision").and_then(|precision| u8::try_from(precision).ok());
            let scale = i8::try_from(number("scale").unwrap_or(0)).ok();
            match (precision, scale) {
                (Some(precision @ 1..=38), Some(scale)) => Logical::Decimal { precision, scale },
                _ => Logical::None,
            }
        }
        _ => match connect {
            "org.apache.kafka.connect.data.Date" => Logical::Date,
            "org.apache.kafka.connect.data.Time" => Logical::TimeMillis,
            "org.apache.kafka.connect.data.Timestamp" => Logical::TimestampMillis,
            _ => Logical::None,
        },
    }
}

fn shown(json: &Json) -> String {
    json.to_string().chars().take(60).collect()
}
