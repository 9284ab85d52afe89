//! Expressions as trees, written in both languages.
//!
//! [`streaming`](Tree::streaming) is what a user would write here. [`batch`](Tree::batch) is the same meaning spelt out for DataFusion:
//! every operand is cast to the type in which this language computes, comparisons with null are made false, -0 is 0 in lists, and a whole
//! division by zero, which fails its column here, is made null.

/// The types, in the order in which they widen as far as they are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Type {
    Int,
    BigInt,
    Double,
    Text,
    Boolean,
}

impl Type {
    /// Its name, in both languages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Int => "INT",
            Self::BigInt => "BIGINT",
            Self::Double => "DOUBLE",
            Self::Text => "VARCHAR",
            Self::Boolean => "BOOLEAN",
        }
    }
}

/// An expression with its type.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) node: Node,
    pub(super) data_type: Type,
}

/// What an expression is.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Column(&'static str),
    /// As it is written in this language; in the other with its type.
    Literal(String),
    Null,
    /// `+ - * / %`, or `+` over texts.
    Arithmetic(&'static str, Vec<Tree>),
    Negative(Vec<Tree>),
    Compare(&'static str, Vec<Tree>),
    /// AND, OR.
    Logic(&'static str, Vec<Tree>),
    Not(Vec<Tree>),
    /// IS NULL, IS NOT NULL.
    Is(&'static str, Vec<Tree>),
    /// Value, low, high; whether it is NOT BETWEEN.
    Between(bool, Vec<Tree>),
    /// Value, then the list; whether it is NOT IN.
    In(bool, Vec<Tree>),
    /// Conditions and results in turn, then perhaps what holds otherwise.
    Case(Vec<Tree>),
    Cast(Vec<Tree>),
    /// The name here, the name there.
    Call(&'static str, &'static str, Vec<Tree>),
    /// A text and a pattern without wildcards at odd places.
    Like(&'static str, Vec<Tree>),
}

impl Tree {
    pub(super) fn parts(&self) -> &[Tree] {
        match &self.node {
            Node::Column(_) | Node::Literal(_) | Node::Null => &[],
            Node::Arithmetic(_, parts)
            | Node::Negative(parts)
            | Node::Compare(_, parts)
            | Node::Logic(_, parts)
            | Node::Not(parts)
            | Node::Is(_, parts)
            | Node::Between(_, parts)
            | Node::In(_, parts)
            | Node::Case(parts)
            | Node::Cast(parts)
            | Node::Call(_, _, parts)
            | Node::Like(_, parts) => parts,
        }
    }

    /// As a user writes it.
    pub(super) fn streaming(&self) -> String {
        let parts: Vec<String> = self.parts().iter().map(Self::streaming).collect();
        match &self.node {
            Node::Column(name) => (*name).to_owned(),
            Node::Literal(text) => text.clone(),
            Node::Null => format!("CAST(NULL AS {})", self.data_type.name()),
            Node::Arithmetic(op, _) | Node::Compare(op, _) | Node::Logic(op, _) => {
                format!("({} {op} {})", parts[0], parts[1])
            }
            Node::Negative(_) => format!("(- {})", parts[0]),
            Node::Not(_) => format!("(NOT {})", parts[0]),
            Node::Is(what, _) => format!("({} {what})", parts[0]),
            Node::Between(negated, _) => {
                format!("({} {}BETWEEN {} AND {})", parts[0], not(*negated), parts[1], parts[2])
            }
            Node::In(negated, _) => format!("({} {}IN ({}))", parts[0], not(*negated), parts[1..].join(", ")),
            Node::Case(_) => case(&parts),
            Node::Cast(_) => format!("CAST({} AS {})", parts[0], self.data_type.name()),
            Node::Call(name, _, _) => format!("{name}({})", parts.join(", ")),
            Node::Like(pattern, _) => format!("({} LIKE '{pattern}')", parts[0]),
        }
    }

    /// The same for DataFusion.
    pub(super) fn batch(&self) -> String {
        let own = self.data_type;
        let widest = self.parts().iter().map(|part| part.data_type).max().unwrap_or(own);
        let of = |wanted: Type| self.parts().iter().map(|part| part.batch_as(wanted)).collect::<Vec<String>>();
        match &self.node {
            Node::Column(name) => name.to_lowercase(),
            Node::Literal(text) if own == Type::Text => text.clone(),
            Node::Literal(text) => format!("CAST({text} AS {})", own.name()),
            Node::Null => format!("CAST(NULL AS {})", own.name()),
            Node::Arithmetic(_, _) if own == Type::Text => format!("({})", of(own).join(" || ")),
            Node::Arithmetic(op @ ("/" | "%"), _) if own != Type::Double => {
                let parts = of(own);
                format!("({} {op} NULLIF({}, CAST(0 AS {})))", parts[0], parts[1], own.name())
            }
            Node::Arithmetic(op, _) => format!("({})", of(own).join(&format!(" {op} "))),
            Node::Negative(_) => format!("(- {})", of(own)[0]),
            Node::Compare(op, _) => format!("(({}) IS TRUE)", of(widest).join(&format!(" {op} "))),
            Node::Logic(op, _) => format!("({})", of(own).join(&format!(" {op} "))),
            Node::Not(_) => format!("(NOT {})", of(own)[0]),
            Node::Is(what, _) => format!("({} {what})", of(widest)[0]),
            Node::Between(negated, parts) => {
                let side = |op: &str, other: &Tree| {
                    let wanted = parts[0].data_type.max(other.data_type);
                    format!("(({} {op} {}) IS TRUE)", parts[0].batch_as(wanted), other.batch_as(wanted))
                };
                format!("({}({} AND {}))", not(*negated), side(">=", &parts[1]), side("<=", &parts[2]))
            }
            Node::In(negated, _) => {
                let alike =
                    |part: String| if widest == Type::Double { format!("({part} + CAST(0 AS DOUBLE))") } else { part };
                let parts: Vec<String> = of(widest).into_iter().map(alike).collect();
                format!("({}(({} IN ({})) IS TRUE))", not(*negated), parts[0], parts[1..].join(", "))
            }
            Node::Case(parts) => {
                let last = parts.len() - 1;
                let is_condition = |index: usize| index.is_multiple_of(2) && index != last;
                let wanted = |index: usize| if is_condition(index) { Type::Boolean } else { own };
                let parts: Vec<String> =
                    parts.iter().enumerate().map(|(index, part)| part.batch_as(wanted(index))).collect();
                case(&parts)
            }
            Node::Cast(parts) => parts[0].batch_as(own),
            Node::Call(_, name, _) => format!("CAST({name}({}) AS {})", of(widest).join(", "), own.name()),
            Node::Like(pattern, _) => format!("({} LIKE '{pattern}')", of(widest)[0]),
        }
    }

    /// The same for DataFusion, cast to `wanted` if it is of another type.
    fn batch_as(&self, wanted: Type) -> String {
        if self.data_type == wanted { self.batch() } else { format!("CAST({} AS {})", self.batch(), wanted.name()) }
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

fn case(parts: &[String]) -> String {
    let whens = parts.chunks_exact(2).map(|pair| format!(" WHEN {} THEN {}", pair[0], pair[1]));
    let otherwise =
        if !parts.len().is_multiple_of(2) { format!(" ELSE {}", parts[parts.len() - 1]) } else { String::new() };
    format!("CASE{}{otherwise} END", whens.collect::<String>())
}
