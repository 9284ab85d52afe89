//! `.proto` files to declarations, types still by name.
//!
//! After the language specification of Protocol Buffers. Services, extensions and reserved numbers are read over; of options only the
//! parameters of Confluent's `field_meta` are kept. Groups and editions are refused.

use super::lexer::{Word, words};

/// A file.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) package: String,
    pub(super) imports: Vec<String>,
    pub(super) is_proto2: bool,
    pub(super) messages: Vec<MessageDecl>,
    pub(super) enums: Vec<EnumDecl>,
}

/// A message.
#[derive(Debug, Default)]
pub(super) struct MessageDecl {
    pub(super) name: String,
    pub(super) fields: Vec<FieldDecl>,
    pub(super) oneofs: Vec<String>,
    pub(super) messages: Vec<MessageDecl>,
    pub(super) enums: Vec<EnumDecl>,
}

/// An enum.
#[derive(Debug, Default)]
pub(super) struct EnumDecl {
    pub(super) name: String,
    pub(super) values: Vec<(String, i32)>,
}

/// How often a field may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// Nothing is said.
    Plain,
    /// `optional`.
    Optional,
    /// `required`.
    Required,
    /// `repeated`.
    Repeated,
}

/// A field.
#[derive(Debug)]
pub(super) struct FieldDecl {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) label: Label,
    pub(super) data_type: TypeDecl,
    /// Which of the message's oneofs it is in.
    pub(super) oneof: Option<usize>,
    /// The parameters of `(confluent.field_meta)`.
    pub(super) parameters: Vec<(String, String)>,
}

/// A type as it is written.
#[derive(Debug)]
pub(super) enum TypeDecl {
    Named(String),
    Map(String, String),
}

/// The most levels of messages within messages.
const MAX_DEPTH: usize = 64;

struct Parser {
    words: Vec<(Word, usize)>,
    at: usize,
}

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<File, String> {
    let mut parser = Parser { words: words(text)?, at: 0 };
    let mut file = File { is_proto2: true, ..File::default() };
    loop {
        match parser.next() {
            Word::End => return Ok(file),
            Word::Sign(';') => {}
            Word::Name(keyword) => match keyword.as_str() {
                "syntax" => {
                    parser.expect('=')?;
                    let version = parser.text()?;
                    file.is_proto2 = match version.as_str() {
                        "proto2" => true,
                        "proto3" => false,
                        other => return Err(parser.problem(&format!("syntax {other} is neither proto2 nor proto3"))),
                    };
                    parser.expect(';')?;
                }
                "package" => {
                    file.package = parser.name()?;
                    parser.expect(';')?;
                }
                "import" => {
                    if !matches!(parser.peek(), Word::Text(_)) {
                        parser.name()?;
                    }
                    file.imports.push(parser.text()?);
                    parser.expect(';')?;
                }
                "message" => file.messages.push(parser.message(0)?),
                "enum" => file.enums.push(parser.enumeration()?),
                "option" => parser.skip_statement()?,
                "service" | "extend" => parser.skip_statement()?,
                other => return Err(parser.problem(&format!("expected message, enum or import, found {other}"))),
            },
            other => return Err(parser.problem(&format!("expected a declaration, found {}", shown(&other)))),
        }
    }
}

fn shown(word: &Word) -> String {
    match word {
        Word::Name(text) | Word::Number(text) => text.clone(),
        Word::Text(text) => format!("{text:?}"),
        Word::Sign(sign) => sign.to_string(),
        Word::End => "the end".to_owned(),
    }
}

impl Parser {
    fn peek(&self) -> &Word {
        self.words.get(self.at).map_or(&Word::End, |(word, _)| word)
    }

    fn next(&mut self) -> Word {
        let word = self.peek().clone();
        self.at += 1;
        word
    }

    fn problem(&self, what: &str) -> String {
        let line = self.words.get(self.at.saturating_sub(1)).map_or(0, |(_, line)| *line);
        format!("line {line}: {what}")
    }

    fn wanted(&self, what: &str, found: &Word) -> String {
        self.problem(&format!("expected {what}, found {}", shown(found)))
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        match self.next() {
            Word::Sign(found) if found == sign => Ok(()),
            other => Err(self.wanted(&sign.to_string(), &other)),
        }
    }

    fn eat(&mut self, sign: char) -> bool {
        let found = *self.peek() == Word::Sign(sign);
        self.at += usize::from(found);
        found
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next() {
            Word::Text(text) => Ok(text),
            other => Err(self.wanted("a string", &other)),
        }
    }

    /// A name; one with a dot in front stands for itself.
    fn name(&mut self) -> Result<String, String> {
        let rooted = self.eat('.');
        match self.next() {
            Word::Name(name) if rooted => Ok(format!(".{name}")),
            Word::Name(name) => Ok(name),
            other => Err(self.wanted("a name", &other)),
        }
    }

    fn integer(&mut self) -> Result<i64, String> {
        let negative = self.eat('-');
        let word = self.next();
        let Word::Number(text) = &word else { return Err(self.wanted("a number", &word)) };
        let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => i64::from_str_radix(digits, 16),
            None if text.len() > 1 && text.starts_with('0') => i64::from_str_radix(text, 8),
            None => text.parse(),
        };
        let value = value.map_err(|_| self.wanted("a whole number", &word))?;
        Ok(if negative { -value } else { value })
    }

    /// Steps behind the `;` or the block that ends a statement.
    fn skip_statement(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        let mut is_value = false;
        loop {
            match self.next() {
                Word::End => return Err(self.problem("the file ends in the middle of a statement")),
                // `option x = { .. };` ends with the semicolon, `service S { .. }` without.
                Word::Sign('=') if depth == 0 => is_value = true,
                Word::Sign('{' | '[' | '(') => depth += 1,
                Word::Sign('}' | ']' | ')') => {
                    depth = depth.saturating_sub(1);
                    let closed = self.words.get(self.at - 1).is_some_and(|(word, _)| *word == Word::Sign('}'));
                    if depth == 0 && closed && !is_value {
                        return Ok(());
                    }
                }
                Word::Sign(';') if depth == 0 => return Ok(()),
                _ => {}
            }
        }
    }

    fn message(&mut self, depth: usize) -> Result<MessageDecl, String> {
        if depth > MAX_DEPTH {
            return Err(self.problem(&format!("messages are nested more than {MAX_DEPTH} deep")));
        }
        let mut message = MessageDecl { name: self.name()?, ..MessageDecl::default() };
        self.expect('{')?;
        loop {
            if self.eat('}') {
                return Ok(message);
            }
            if self.eat(';') {
                continue;
            }
            let Word::Name(keyword) = self.peek().clone() else {
                let found = self.next();
                return Err(self.wanted("a field", &found));
            };
            // A field's type may be called like a keyword; then a name follows where a keyword has something else.
            let is_field = matches!(self.words.get(self.at + 2), Some((Word::Sign('='), _)));
            match keyword.as_str() {
                "message" if !is_field => {
                    self.at += 1;
                    let inner = self.message(depth + 1)?;
                    message.messages.push(inner);
                }
                "enum" if !is_field => {
                    self.at += 1;
                    let inner = self.enumeration()?;
                    message.enums.push(inner);
                }
                "oneof" if !is_field => {
                    self.at += 1;
                    let oneof = message.oneofs.len();
                    let name = self.name()?;
                    message.oneofs.push(name);
                    self.expect('{')?;
                    while !self.eat('}') {
                        if *self.peek() == Word::Name("option".to_owned()) {
                            self.skip_statement()?;
                        } else if !self.eat(';') {
                            let field = self.field(Some(oneof))?;
                            message.fields.push(field);
                        }
                    }
                }
                "option" => self.skip_statement()?,
                "reserved" | "extensions" | "extend" if !is_field => self.skip_statement()?,
                _ => {
                    let field = self.field(None)?;
                    message.fields.push(field);
                }
            }
        }
    }

    fn field(&mut self, oneof: Option<usize>) -> Result<FieldDecl, String> {
        let mut label = Label::Plain;
        let mut first = self.name()?;
        let is_label = |parser: &Self| {
            matches!(parser.peek(), Word::Name(_) | Word::Sign('.'))
                && !matches!(parser.words.get(parser.at + 1), Some((Word::Sign('='), _)))
        };
        if is_label(self) {
            label = match first.as_str() {
                "optional" => Label::Optional,
                "required" => Label::Required,
                "repeated" => Label::Repeated,
                _ => Label::Plain,
            };
            if label != Label::Plain {
                first = self.name()?;
            }
        }
        if first == "group" {
            return Err(self.problem("groups are not there; use a message"));
        }
        let data_type = if first == "map" && self.eat('<') {
            let key = self.name()?;
            self.expect(',')?;
            let value = self.name()?;
            self.expect('>')?;
            TypeDecl::Map(key, value)
        } else {
            TypeDecl::Named(first)
        };
        let name = self.name()?;
        self.expect('=')?;
        let number = self.integer()?;
        let number = u32::try_from(number).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| self.problem(&format!("the number of field {name} is out of range")))?;
        let parameters = if *self.peek() == Word::Sign('[') { self.options()? } else { Vec::new() };
        self.expect(';')?;
        Ok(FieldDecl { name, number, label, data_type, oneof, parameters })
    }

    /// The options of a field; what is kept are pairs `key: ".." value: ".."` anywhere in them.
    fn options(&mut self) -> Result<Vec<(String, String)>, String> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        let mut depth = 0_usize;
        let mut key = None;
        loop {
            match self.next() {
                Word::End => return Err(self.problem("the options of a field have no end")),
                Word::Sign('[' | '{' | '(') => depth += 1,
                Word::Sign(']' | '}' | ')') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Ok(parameters);
                    }
                }
                Word::Name(name) if name == "key" || name == "value" => {
                    self.eat(':');
                    if let Word::Text(text) = self.peek().clone() {
                        self.at += 1;
                        match (name.as_str(), key.take()) {
                            ("key", _) => key = Some(text),
                            (_, Some(key)) => parameters.push((key, text)),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn enumeration(&mut self) -> Result<EnumDecl, String> {
        let mut enumeration = EnumDecl { name: self.name()?, values: Vec::new() };
        self.expect('{')?;
        while !self.eat('}') {
            if self.eat(';') {
                continue;
            }
            let is_value = matches!(self.words.get(self.at + 1), Some((Word::Sign('='), _)));
            if !is_value {
                self.skip_statement()?;
                continue;
            }
            let name = self.name()?;
            self.expect('=')?;
            let number = self.integer()?;
            let number =
                i32::try_from(number).map_err(|_| self.problem(&format!("the number of {name} is out of range")))?;
            if *self.peek() == Word::Sign('[') {
                self.options()?;
            }
            self.expect(';')?;
            enumeration.values.push((name, number));
        }
        Ok(enumeration)
    }
}
