//! The statements of the language as trees: what was written, with its place, and nothing looked up.
//!
//! A [`ParsedStatement`] holds one [`Statement`] with its own text. Expressions are `sqlparser`'s ([`Expr`]), everything
//! around them is ours, so that each clause knows its [`Span`]. Continuous queries are in `stream_query`, re-exported here.
//!
//! Invariants:
//! - Unquoted names and function names are upper-cased ([`Name::value`], and each `Ident` inside an [`Expr`], whose
//!   `quote_style` tells quoted ones apart); quoted ones (backticks, double quotes) are as written, without the quotes.
//!   Plan expressions with identifier normalisation off.
//! - Inside an [`Expr`], `s->f` is `CompoundFieldAccess { root: s, access_chain: [Subscript(Index 'F')] }`, that is
//!   the same as `s['F']`; `a[1]->f` has two links. `a.b` stays a `CompoundIdentifier`.
//! - `x => e` and `(x, y) => e` are `Expr::Lambda`. `k := v` is `BinaryOp { left: k, op: Assignment, right: v }`: one of the
//!   `values` of `Expr::Struct` in `STRUCT(..)`, an unnamed argument of the function `MAP` in `MAP(..)`.
//! - Type names are unresolved ([`TypeRef`]): the catalog knows the custom ones.

use datafusion::sql::sqlparser::ast as sql;

pub use datafusion::sql::sqlparser::ast::Expr;

pub use super::assert::{Assert, Asserted};
pub use super::connector::{ConnectorKind, CreateConnector, DropConnector, SinkInput, SteerConnector, Steering};
use super::position::Span;
pub use super::queue::{CreateQueue, DropQueue, QueueAction, QueueWork};
pub use super::stream_query::{
    Emit, Interval, Join, JoinKind, NamedQuery, SelectItem, SourceRef, StreamQuery, TimeUnit, Window, WindowClause,
    Within,
};

/// One statement of a script with the text it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedStatement {
    /// The statement's text from its first to its last token: no comments around it, no `;`.
    pub text: String,
    /// Where that text lies in the script.
    pub span: Span,
    /// What it says.
    pub statement: Statement,
}

/// A thing with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The thing.
    pub node: T,
    /// Its place.
    pub span: Span,
}

/// A name of a source, column, type, connector and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name as the catalog knows it: upper-cased unless it was quoted.
    pub value: String,
    /// Whether it was written in backticks or double quotes.
    pub quoted: bool,
    /// Its place, quotes included.
    pub span: Span,
}

/// Any statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `CREATE STREAM|TABLE n (..) WITH (..)`: declare a source over a topic.
    CreateSource(CreateSource),
    /// `CREATE STREAM|TABLE n [WITH (..)] AS SELECT ..`: start a persistent query.
    CreateAsSelect(CreateAsSelect),
    /// `INSERT INTO n [WITH (..)] SELECT ..`: start a persistent query into an existing stream.
    InsertSelect(InsertSelect),
    /// `INSERT INTO n [(..)] VALUES (..), ..`: write rows.
    InsertValues(InsertValues),
    /// `DROP STREAM|TABLE n`.
    DropSource(DropSource),
    /// `ALTER STREAM|TABLE n ADD COLUMN ..`.
    AlterSource(AlterSource),
    /// `CREATE TYPE n AS t`.
    CreateType(CreateType),
    /// `DROP TYPE n`.
    DropType(DropType),
    /// `CREATE SOURCE|SINK CONNECTOR n [FROM s] WITH (..) [AS SELECT ..]`.
    CreateConnector(CreateConnector),
    /// `PAUSE|RESUME|RESTART CONNECTOR n`.
    SteerConnector(SteerConnector),
    /// `DROP CONNECTOR n`.
    DropConnector(DropConnector),
    /// `CREATE QUEUE n ON t WITH (..)`.
    CreateQueue(CreateQueue),
    /// `DROP QUEUE n`.
    DropQueue(DropQueue),
    /// `RECEIVE`, `ACK` and kin.
    QueueWork(QueueWork),
    /// `SHOW|LIST ..`.
    Show(Show),
    /// `DESCRIBE ..`.
    Describe(Describe),
    /// `EXPLAIN ..`.
    Explain(Explain),
    /// `PRINT topic ..`.
    Print(Print),
    /// `TERMINATE id|ALL`.
    Terminate(QueryChoice),
    /// `PAUSE id|ALL`.
    Pause(QueryChoice),
    /// `RESUME id|ALL`.
    Resume(QueryChoice),
    /// `ASSERT [NOT EXISTS] TOPIC|SCHEMA ..`.
    Assert(Assert),
    /// `SET 'p' = 'v'`.
    Set(SetProperty),
    /// `UNSET 'p'`.
    Unset(Spanned<String>),
    /// `DEFINE v = '..'`.
    Define(DefineVariable),
    /// `UNDEFINE v`.
    Undefine(Name),
    /// `SELECT .. EMIT CHANGES|FINAL`: a query that follows its sources until it is ended.
    PushQuery(StreamQuery),
    /// Any other query: read once from committed state.
    PullQuery(PullQuery),
}

/// Streams append, tables change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    /// An unbounded sequence of facts.
    Stream,
    /// The latest value per primary key.
    Table,
}

impl SourceKind {
    /// `stream` or `table`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Table => "table",
        }
    }
}

impl std::fmt::Display for SourceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SourceKind::Stream => "STREAM",
            SourceKind::Table => "TABLE",
        })
    }
}

/// `CREATE [OR REPLACE] [SOURCE] STREAM|TABLE [IF NOT EXISTS] name (columns) WITH (..)`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSource {
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `SOURCE`: read-only.
    pub is_source: bool,
    /// Stream or table.
    pub kind: SourceKind,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name.
    pub name: Name,
    /// The columns; none at all if the statement has no column list. Names are distinct.
    pub columns: Vec<ColumnDef>,
    /// `WITH (..)`; empty if left out.
    pub properties: Properties,
}

/// One column of a column list.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    /// Its name.
    pub name: Name,
    /// Its type, not yet resolved.
    pub data_type: TypeRef,
    /// Where its values are in a record.
    pub role: ColumnRole,
    /// Name, type and role.
    pub span: Span,
}

/// Where the values of a column are in a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ColumnRole {
    /// In the value.
    Value,
    /// In the key of a stream: `KEY`.
    Key,
    /// In the key of a table: `PRIMARY KEY`.
    PrimaryKey,
    /// All headers: `HEADERS`.
    Headers,
    /// The last header of this name: `HEADER('k')`.
    Header(String),
}

/// A type as written: names not looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeRef {
    /// What it says.
    pub shape: TypeShape,
    /// Its place.
    pub span: Span,
}

/// The shape of a type.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeShape {
    /// A built-in or custom name with its numbers: `BIGINT`, `DECIMAL(10, 2)`, `ADDRESS`.
    Named {
        /// The name.
        name: Name,
        /// Precision and scale, as far as given.
        arguments: Vec<Spanned<u64>>,
    },
    /// `ARRAY<T>`.
    Array(Box<TypeRef>),
    /// `MAP<K, V>`.
    Map(Box<TypeRef>, Box<TypeRef>),
    /// `STRUCT<f T, ..>`; field names are distinct.
    Struct(Vec<(Name, TypeRef)>),
}

/// A `WITH (..)` clause: properties in the order written, not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Properties {
    /// The properties.
    pub entries: Vec<Property>,
    /// The clause, `WITH` included; the place where it would stand if it was left out.
    pub span: Span,
}

/// `NAME = literal`.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// The name: upper-cased if it was a bare word, as written if it was quoted (`'connector.class'`).
    pub name: Name,
    /// Its value.
    pub value: Literal,
    /// The place of the value.
    pub value_span: Span,
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `'text'`, unescaped.
    Text(String),
    /// A number as written, sign included.
    Number(String),
    /// `TRUE` or `FALSE`.
    Boolean(bool),
}

/// `CREATE [OR REPLACE] STREAM|TABLE [IF NOT EXISTS] name [WITH (..)] AS query`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateAsSelect {
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// Stream or table.
    pub kind: SourceKind,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// The sink's name.
    pub name: Name,
    /// `WITH (..)`; empty if left out.
    pub properties: Properties,
    /// The query.
    pub query: StreamQuery,
}

/// `INSERT INTO target [WITH (..)] query`.
#[derive(Debug, Clone, PartialEq)]
pub struct InsertSelect {
    /// The stream written to.
    pub target: Name,
    /// `WITH (QUERY_ID = '..')`; empty if left out.
    pub properties: Properties,
    /// The query.
    pub query: StreamQuery,
}

/// `INSERT INTO target [(columns)] VALUES (..), ..`.
#[derive(Debug, Clone, PartialEq)]
pub struct InsertValues {
    /// The stream or table written to.
    pub target: Name,
    /// The column names, none if left out; distinct.
    pub columns: Option<Vec<Name>>,
    /// The rows. With `columns`, each has as many expressions.
    pub rows: Vec<Spanned<Vec<Expr>>>,
}

/// `DROP STREAM|TABLE [IF EXISTS] name [DELETE TOPIC]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DropSource {
    /// Stream or table.
    pub kind: SourceKind,
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// Its name.
    pub name: Name,
    /// `DELETE TOPIC`.
    pub delete_topic: bool,
}

/// `ALTER STREAM|TABLE name ADD [COLUMN] c type, ..`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterSource {
    /// Stream or table.
    pub kind: SourceKind,
    /// Its name.
    pub name: Name,
    /// The columns to append, all [`ColumnRole::Value`]; names are distinct.
    pub add: Vec<ColumnDef>,
}

/// `CREATE TYPE [IF NOT EXISTS] name AS type`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateType {
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// The new name.
    pub name: Name,
    /// What it stands for.
    pub data_type: TypeRef,
}

/// `DROP TYPE [IF EXISTS] name`.
#[derive(Debug, Clone, PartialEq)]
pub struct DropType {
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// Its name.
    pub name: Name,
}

/// `SHOW|LIST what [EXTENDED]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Show {
    /// What is listed.
    pub what: ShowWhat,
    /// `EXTENDED`.
    pub extended: bool,
}

/// What `SHOW` can list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowWhat {
    /// `[ALL] TOPICS`: `all` includes internal ones.
    Topics {
        /// `ALL`.
        all: bool,
    },
    /// `STREAMS`.
    Streams,
    /// `TABLES`.
    Tables,
    /// `QUERIES`.
    Queries,
    /// `[SOURCE|SINK] CONNECTORS`.
    Connectors(Option<ConnectorKind>),
    /// `QUEUES`.
    Queues,
    /// `PROPERTIES`.
    Properties,
    /// `FUNCTIONS`.
    Functions,
    /// `TYPES`.
    Types,
    /// `VARIABLES`.
    Variables,
}

/// `DESCRIBE ..`.
#[derive(Debug, Clone, PartialEq)]
pub enum Describe {
    /// `DESCRIBE name [EXTENDED]`.
    Source {
        /// The stream or table.
        name: Name,
        /// `EXTENDED`.
        extended: bool,
    },
    /// `DESCRIBE STREAMS|TABLES [EXTENDED]`.
    Sources {
        /// Streams or tables.
        kind: SourceKind,
        /// `EXTENDED`.
        extended: bool,
    },
    /// `DESCRIBE FUNCTION name`.
    Function(Name),
    /// `DESCRIBE CONNECTOR name`.
    Connector(Name),
    /// `DESCRIBE QUEUE name`.
    Queue(Name),
}

/// `EXPLAIN ..`.
#[derive(Debug, Clone, PartialEq)]
pub enum Explain {
    /// `EXPLAIN query_id`.
    Query(Name),
    /// `EXPLAIN statement`.
    Statement(Box<ParsedStatement>),
}

/// `PRINT topic [FROM BEGINNING] [INTERVAL|SAMPLE n] [LIMIT n]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Print {
    /// The topic, in the case written.
    pub topic: Spanned<String>,
    /// `FROM BEGINNING`.
    pub from_beginning: bool,
    /// Every n-th record only.
    pub interval: Option<Spanned<u64>>,
    /// At most n records.
    pub limit: Option<Spanned<u64>>,
}

/// `id` or `ALL`.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryChoice {
    /// Every query.
    All,
    /// One.
    Id(Name),
}

/// `SET 'name' = 'value'`.
#[derive(Debug, Clone, PartialEq)]
pub struct SetProperty {
    /// The property, as written.
    pub name: Spanned<String>,
    /// Its value, as text.
    pub value: Spanned<String>,
}

/// `DEFINE name = 'value'`.
#[derive(Debug, Clone, PartialEq)]
pub struct DefineVariable {
    /// The variable.
    pub name: Name,
    /// Its value.
    pub value: Spanned<String>,
}

/// A query that is read once: DataFusion plans and runs it as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct PullQuery {
    /// Its text.
    pub text: String,
    /// The place of the text.
    pub span: Span,
    /// The parsed query; names as described at the top.
    pub query: Box<sql::Query>,
    /// The same as a continuous query without EMIT, if it is one over one source without GROUP BY: ksqlDB's own form.
    pub plain: Option<Box<StreamQuery>>,
}
