//! Random expressions and rows.
//!
//! What is left out, since the languages differ there on purpose or Java's answer is not SQL's: casts to narrower whole numbers, casts of
//! anything but a column of small numbers from DOUBLE, text of DOUBLEs, DOUBLE divided by zero (infinite), ABS of what may be the least
//! number, texts outside the basic plane (counted in UTF-16 here). Whole numbers are divided by a literal, or, where only operators that
//! pass null on are around, by a column that may be 0: the row's column is then null in both.

use super::tree::{Node, Tree, Type};
use crate::random::Random;

/// The columns of the rows, beside ID.
pub(super) const COLUMNS: [(&str, Type); 7] = [
    ("A", Type::Int),
    ("B", Type::BigInt),
    ("D", Type::Double),
    ("T", Type::Text),
    ("U", Type::Text),
    ("OK", Type::Boolean),
    ("Z", Type::Int),
];

const TEXTS: [&str; 10] = ["", "a", "b", "ab", "Ab", " a ", "a%b", "ä", "ÄÖ", "zz_z"];
const INTS: [i32; 9] = [0, 1, -1, 2, 7, -100, 46_341, i32::MAX, -i32::MAX];
const BIGINTS: [i64; 8] = [0, 1, -1, 3, 3_000_000_000, -3_000_000_000, i64::MAX, -i64::MAX];
const DOUBLES: [f64; 8] = [0.0, 1.0, -1.0, 0.5, -2.75, 100.25, 1e3, -999.5];

/// A value of a row: none is null.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Int(i32),
    BigInt(i64),
    Double(f64),
    Text(&'static str),
    Boolean(bool),
}

/// The values of a row, one for each of [`COLUMNS`].
pub(super) type Row = Vec<Option<Value>>;

/// Random rows; about one value in six is null.
pub(super) fn rows(random: &mut Random, count: usize) -> Vec<Row> {
    let mut value = |(name, data_type): &(&str, Type)| {
        if random.once_in(6) {
            return None;
        }
        Some(match data_type {
            Type::Int if *name == "Z" => Value::Int(random.below(4) as i32),
            Type::Int => Value::Int(*random.pick(&INTS)),
            Type::BigInt => Value::BigInt(*random.pick(&BIGINTS)),
            Type::Double => Value::Double(*random.pick(&DOUBLES)),
            Type::Text => Value::Text(random.pick::<&str>(&TEXTS)),
            Type::Boolean => Value::Boolean(random.once_in(2)),
        })
    };
    (0..count).map(|_| COLUMNS.iter().map(&mut value).collect()).collect()
}

/// An expression of any type.
pub(super) fn any(random: &mut Random, depth: usize) -> Tree {
    let data_type = *random.pick(&[Type::Int, Type::BigInt, Type::Double, Type::Text, Type::Boolean]);
    of(random, data_type, depth, true)
}

/// An expression of a type; `may_fail` says that a failure anywhere in it makes the whole column null.
pub(super) fn of(random: &mut Random, data_type: Type, depth: usize, may_fail: bool) -> Tree {
    let made = |node| Tree { node, data_type };
    if depth == 0 || random.once_in(8) {
        return leaf(random, data_type);
    }
    let depth = depth - 1;
    match random.below(10) {
        0 => return made(Node::Case(case(random, data_type, depth))),
        1 => {
            let count = 2 + random.below(2);
            // At least one of the type itself, so that the result is of it.
            let mut parts = vec![of(random, data_type, depth, false)];
            parts.extend((1..count).map(|_| narrower(random, data_type, depth)));
            return made(Node::Call("COALESCE", "COALESCE", parts));
        }
        _ => {}
    }
    match data_type {
        Type::Boolean => truth(random, depth),
        Type::Text => text(random, depth),
        _ => number(random, data_type, depth, may_fail),
    }
}

fn leaf(random: &mut Random, data_type: Type) -> Tree {
    let columns: Vec<&str> =
        COLUMNS.iter().filter(|(name, of)| *of == data_type && *name != "Z").map(|(name, _)| *name).collect();
    let node = match random.below(8) {
        0 => Node::Null,
        1..=2 => Node::Literal(match data_type {
            Type::Int => positive(random.below(20)),
            Type::BigInt => positive(3_000_000_000 + random.below(1_000)),
            Type::Double => format!("{}.5E0", random.below(9)),
            Type::Text => format!("'{}'", random.pick::<&str>(&TEXTS)),
            Type::Boolean => ["true", "false"][random.below(2)].to_owned(),
        }),
        _ => Node::Column(random.pick::<&str>(&columns)),
    };
    Tree { node, data_type }
}

fn positive(number: usize) -> String {
    number.to_string()
}

/// An expression of the type, or of one that widens to it.
fn narrower(random: &mut Random, data_type: Type, depth: usize) -> Tree {
    let other = match data_type {
        Type::BigInt => *random.pick(&[Type::Int, Type::BigInt]),
        Type::Double => *random.pick(&[Type::Int, Type::BigInt, Type::Double]),
        other => other,
    };
    of(random, other, depth, false)
}

fn number_type(random: &mut Random) -> Type {
    *random.pick(&[Type::Int, Type::BigInt, Type::Double])
}

fn case(random: &mut Random, data_type: Type, depth: usize) -> Vec<Tree> {
    let mut parts = Vec::new();
    for branch in 0..=random.below(2) {
        parts.push(of(random, Type::Boolean, depth, false));
        parts.push(if branch == 0 { of(random, data_type, depth, false) } else { narrower(random, data_type, depth) });
    }
    if random.once_in(2) {
        parts.push(narrower(random, data_type, depth));
    }
    parts
}

fn number(random: &mut Random, data_type: Type, depth: usize, may_fail: bool) -> Tree {
    let made = |node| Tree { node, data_type };
    match random.below(9) {
        0..=3 => {
            let op = *random.pick(&["+", "-", "*"]);
            let mut parts = vec![of(random, data_type, depth, may_fail)];
            let other = if data_type == Type::Int { Type::Int } else { *random.pick(&[Type::Int, data_type]) };
            parts.push(of(random, other, depth, may_fail));
            if random.once_in(2) {
                parts.reverse();
            }
            made(Node::Arithmetic(op, parts))
        }
        4 => {
            let op = *random.pick(&["/", "%"]);
            let left = of(random, data_type, depth, may_fail);
            let divisor = if may_fail && data_type != Type::Double {
                Node::Column("Z")
            } else {
                Node::Literal(positive(1 + random.below(9)))
            };
            made(Node::Arithmetic(op, vec![left, Tree { node: divisor, data_type: Type::Int }]))
        }
        5 => made(Node::Negative(vec![of(random, data_type, depth, may_fail)])),
        6 => match data_type {
            Type::Int => {
                let text = of(random, Type::Text, depth, false);
                made(Node::Call("LEN", "character_length", vec![text]))
            }
            Type::BigInt => made(Node::Cast(vec![of(random, Type::Int, depth, may_fail)])),
            _ => {
                let whole = *random.pick(&[Type::Int, Type::BigInt]);
                made(Node::Cast(vec![of(random, whole, depth, may_fail)]))
            }
        },
        7 => match data_type {
            Type::Int | Type::BigInt if random.once_in(2) => {
                made(Node::Cast(vec![Tree { node: Node::Column("D"), data_type: Type::Double }]))
            }
            _ => {
                let name = COLUMNS.iter().find(|(_, of)| *of == data_type).map_or("A", |(name, _)| name);
                made(Node::Call("ABS", "ABS", vec![Tree { node: Node::Column(name), data_type }]))
            }
        },
        _ => {
            let (here, there) = *random.pick(&[("GREATEST", "GREATEST"), ("LEAST", "LEAST")]);
            let parts = vec![of(random, data_type, depth, false), of(random, data_type, depth, false)];
            made(Node::Call(here, there, parts))
        }
    }
}

fn text(random: &mut Random, depth: usize) -> Tree {
    let mut part = |data_type| of(random, data_type, depth, false);
    let (first, second, whole) = (part(Type::Text), part(Type::Text), part(Type::Int));
    let node = match random.below(6) {
        0 | 1 => Node::Arithmetic("+", vec![first, second]),
        2 => Node::Call("UCASE", "upper", vec![first]),
        3 => Node::Call("LCASE", "lower", vec![first]),
        4 => Node::Call("NULLIF", "NULLIF", vec![first, second]),
        _ => Node::Cast(vec![whole]),
    };
    Tree { node, data_type: Type::Text }
}

fn truth(random: &mut Random, depth: usize) -> Tree {
    let truth = Type::Boolean;
    let node = match random.below(10) {
        0 | 1 => {
            let op = *random.pick(&["=", "<>", "<", "<=", ">", ">="]);
            let of_texts = random.once_in(3);
            let mut side = || {
                let data_type = if of_texts { Type::Text } else { number_type(random) };
                of(random, data_type, depth, false)
            };
            Node::Compare(op, vec![side(), side()])
        }
        2 | 3 => {
            let op = *random.pick(&["AND", "OR"]);
            Node::Logic(op, vec![of(random, truth, depth, false), of(random, truth, depth, false)])
        }
        4 => Node::Not(vec![of(random, truth, depth, false)]),
        5 => {
            let inner = any(random, depth);
            let inner = if may_fail(&inner) { of(random, Type::Text, depth, false) } else { inner };
            Node::Is(random.pick::<&str>(&["IS NULL", "IS NOT NULL"]), vec![inner])
        }
        6 => {
            let negated = random.once_in(3);
            let parts = (0..3).map(|_| {
                let data_type = number_type(random);
                of(random, data_type, depth, false)
            });
            Node::Between(negated, parts.collect())
        }
        7 => {
            let (negated, of_texts) = (random.once_in(3), random.once_in(2));
            let count = 2 + random.below(4);
            let parts = (0..count).map(|_| {
                let data_type = if of_texts { Type::Text } else { number_type(random) };
                of(random, data_type, depth, false)
            });
            Node::In(negated, parts.collect())
        }
        8 => {
            let text = of(random, Type::Text, depth, false);
            Node::Like(random.pick::<&str>(&["a%", "%b", "_", "%a%", "", "A_%"]), vec![text])
        }
        _ => Node::Compare("=", vec![of(random, truth, depth, false), of(random, truth, depth, false)]),
    };
    Tree { node, data_type: truth }
}

/// Whether a division by a column is in it.
fn may_fail(tree: &Tree) -> bool {
    matches!(tree.node, Node::Column("Z")) || tree.parts().iter().any(may_fail)
}
