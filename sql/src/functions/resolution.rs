//! Which overload a call means.
//!
//! Without casts first: one that has just the types given, NULL counting as any. Then with the casts that the language does by itself:
//! numbers widen, a text literal becomes a DATE, TIME or TIMESTAMP. Fixed parameters beat repeated ones, earlier parameters weigh more.
//! Where casts would have to choose between overloads of repeated parameters the call is ambiguous, as in ksqlDB.

use std::collections::BTreeMap;

use super::signature::{Overload, Parameter, Returns, ScalarFunction};
use crate::catalog::SqlType;

/// An argument as it was given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given {
    /// A bare NULL.
    Null,
    /// A unit of time.
    Unit,
    /// A text literal.
    Text,
    /// Anything else of a type.
    Type(SqlType),
}

/// A call with its types.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The number of the overload.
    pub(crate) overload: usize,
    /// The types that the arguments are cast to.
    pub(crate) parameters: Vec<SqlType>,
    /// The type of the result.
    pub(crate) returns: SqlType,
}

/// Finds the overload of `function` for the arguments given.
///
/// # Errors
/// A text that says what the function accepts.
pub(crate) fn resolve(function: &ScalarFunction, given: &[Given]) -> Result<Resolved, String> {
    for with_casts in [false, true] {
        let candidates = function.overloads.iter().enumerate();
        let candidates = candidates.filter_map(|(index, overload)| Candidate::of(index, overload, given, with_casts));
        let candidates: Vec<Candidate> = candidates.collect();
        let Some(best) = candidates.iter().min_by(|a, b| a.rank().cmp(&b.rank())) else { continue };
        let rivals = candidates.iter().filter(|other| other.is_variadic && (with_casts || other.scores == best.scores));
        if best.is_variadic && rivals.count() > 1 {
            return Err(format!(
                "Function '{}' cannot be resolved due to ambiguous method parameters ({}).",
                told_name(function.name),
                shown(given)
            ));
        }
        let parameters = best.types(given);
        let returns = match &function.overloads[best.index].returns {
            Returns::Type(data_type) => data_type.clone(),
            Returns::Like(parameter) => concrete(parameter, &best.bound, None),
            Returns::Computed(compute) => compute(&parameters)?,
        };
        return Ok(Resolved { overload: best.index, parameters, returns });
    }
    let accepted: Vec<String> = function.overloads.iter().map(parameters_shown).collect();
    Err(format!(
        "Function '{}' does not accept parameters ({}). Valid alternatives are: {}",
        told_name(function.name),
        shown(given),
        accepted.join(", ")
    ))
}

/// A function's name as ksqlDB's messages spell it: in lower case but for the oldest ones.
pub(crate) fn told_name(name: &str) -> String {
    const IN_CAPITALS: [&str; 5] = ["COALESCE", "IFNULL", "NULLIF", "ARRAY_LENGTH", "ENTRIES"];
    if IN_CAPITALS.contains(&name) { name.to_owned() } else { name.to_lowercase() }
}

fn shown(given: &[Given]) -> String {
    let one = |given: &Given| match given {
        Given::Null => "null".to_owned(),
        Given::Unit => "INTERVALUNIT".to_owned(),
        Given::Text => "STRING".to_owned(),
        Given::Type(data_type) => data_type.to_string(),
    };
    given.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn parameters_shown(overload: &Overload) -> String {
    let one = |(index, parameter): (usize, &Parameter)| {
        let dots = if overload.variadic == Some(index) { "..." } else { "" };
        format!("{}{dots}", parameter_shown(parameter))
    };
    format!("({})", overload.parameters.iter().enumerate().map(one).collect::<Vec<_>>().join(", "))
}

fn parameter_shown(parameter: &Parameter) -> String {
    match parameter {
        Parameter::Type(data_type) => data_type.to_string(),
        Parameter::AnyDecimal => "DECIMAL".to_owned(),
        Parameter::Any(name) => name.to_string(),
        Parameter::Array(item) => format!("ARRAY<{}>", parameter_shown(item)),
        Parameter::Map(key, value) => format!("MAP<{}, {}>", parameter_shown(key), parameter_shown(value)),
        Parameter::AnyStruct => "STRUCT".to_owned(),
        Parameter::Unit => "INTERVALUNIT".to_owned(),
    }
}

/// An overload that accepts the arguments.
struct Candidate<'a> {
    index: usize,
    is_variadic: bool,
    /// One parameter an argument.
    parameters: Vec<&'a Parameter>,
    /// How far each argument is from its parameter.
    scores: Vec<u8>,
    bound: BTreeMap<char, SqlType>,
}

impl<'a> Candidate<'a> {
    fn of(index: usize, overload: &'a Overload, given: &[Given], with_casts: bool) -> Option<Self> {
        let parameters = spread(overload, given.len())?;
        let mut bound = BTreeMap::new();
        let mut scores = Vec::with_capacity(given.len());
        for (parameter, given) in parameters.iter().zip(given) {
            scores.push(match given {
                Given::Null if **parameter == Parameter::Unit => return None,
                Given::Null => 0,
                Given::Unit if **parameter == Parameter::Unit => 0,
                Given::Unit => return None,
                Given::Text => fit(parameter, &SqlType::Varchar, &mut bound, with_casts).or_else(|| {
                    let is_moment =
                        matches!(parameter, Parameter::Type(SqlType::Date | SqlType::Time | SqlType::Timestamp));
                    (with_casts && is_moment).then_some(4)
                })?,
                Given::Type(data_type) => fit(parameter, data_type, &mut bound, with_casts)?,
            });
        }
        Some(Self { index, is_variadic: overload.variadic.is_some(), parameters, scores, bound })
    }

    fn rank(&self) -> (bool, &[u8]) {
        (self.is_variadic, &self.scores)
    }

    fn types(&self, given: &[Given]) -> Vec<SqlType> {
        let one = |(parameter, given): (&&Parameter, &Given)| {
            let given = match given {
                Given::Type(data_type) => Some(data_type),
                _ => None,
            };
            concrete(parameter, &self.bound, given)
        };
        self.parameters.iter().zip(given).map(one).collect()
    }
}

/// One parameter for each of `count` arguments.
fn spread(overload: &Overload, count: usize) -> Option<Vec<&Parameter>> {
    let parameters = &overload.parameters;
    let Some(repeated) = overload.variadic else {
        return (parameters.len() == count).then(|| parameters.iter().collect());
    };
    let times = (count + 1).checked_sub(parameters.len())?;
    let before = parameters[..repeated].iter();
    let after = parameters[repeated + 1..].iter();
    Some(before.chain(std::iter::repeat_n(&parameters[repeated], times)).chain(after).collect())
}

/// How far a type is from a parameter; none if it does not fit.
fn fit(parameter: &Parameter, given: &SqlType, bound: &mut BTreeMap<char, SqlType>, with_casts: bool) -> Option<u8> {
    match (parameter, given) {
        (Parameter::Type(wanted), given) if wanted == given => Some(0),
        (Parameter::Type(wanted), given) if with_casts => widening(given, wanted),
        (Parameter::AnyDecimal, SqlType::Decimal { .. }) => Some(0),
        (Parameter::AnyDecimal, SqlType::Int | SqlType::BigInt) if with_casts => Some(2),
        (Parameter::Any(name), given) => match bound.get(name) {
            None => {
                bound.insert(*name, given.clone());
                Some(5)
            }
            Some(known) if known == given => Some(5),
            Some(known) if with_casts && widening(given, known).is_some() => Some(6),
            Some(known) if with_casts && widening(known, given).is_some() => {
                bound.insert(*name, given.clone());
                Some(6)
            }
            Some(_) => None,
        },
        (Parameter::Array(parameter), SqlType::Array(given)) => fit(parameter, given, bound, with_casts),
        (Parameter::Map(key, value), SqlType::Map(given_key, given_value)) => {
            let of_key = fit(key, given_key, bound, with_casts)?;
            Some(of_key.max(fit(value, given_value, bound, with_casts)?))
        }
        (Parameter::AnyStruct, SqlType::Struct(_)) => Some(0),
        _ => None,
    }
}

/// How many steps INT, BIGINT, DECIMAL, DOUBLE one goes to become the other.
fn widening(from: &SqlType, to: &SqlType) -> Option<u8> {
    let step = |data_type: &SqlType| match data_type {
        SqlType::Int => Some(0_u8),
        SqlType::BigInt => Some(1),
        SqlType::Decimal { .. } => Some(2),
        SqlType::Double => Some(3),
        _ => None,
    };
    match (from, to) {
        (SqlType::Array(from), SqlType::Array(to)) => widening(from, to),
        (SqlType::Map(key, from), SqlType::Map(other_key, to)) if key == other_key => widening(from, to),
        (from, to) if from == to => Some(0),
        (from, to) => step(to)?.checked_sub(step(from)?).filter(|steps| *steps > 0),
    }
}

/// The type that stands for a parameter; STRING where only NULLs were given.
fn concrete(parameter: &Parameter, bound: &BTreeMap<char, SqlType>, given: Option<&SqlType>) -> SqlType {
    match (parameter, given) {
        (Parameter::Type(data_type), _) => data_type.clone(),
        (Parameter::AnyDecimal, Some(SqlType::Int)) => SqlType::Decimal { precision: 10, scale: 0 },
        (Parameter::AnyDecimal, Some(SqlType::BigInt)) => SqlType::Decimal { precision: 19, scale: 0 },
        (Parameter::AnyDecimal | Parameter::AnyStruct, Some(given)) => given.clone(),
        (Parameter::AnyDecimal, None) => SqlType::Decimal { precision: 1, scale: 0 },
        (Parameter::AnyStruct, None) => SqlType::Struct(Vec::new()),
        (Parameter::Any(name), _) => bound.get(name).cloned().unwrap_or(SqlType::Varchar),
        (Parameter::Array(item), given) => {
            let given = match given {
                Some(SqlType::Array(given)) => Some(given.as_ref()),
                _ => None,
            };
            SqlType::Array(Box::new(concrete(item, bound, given)))
        }
        (Parameter::Map(key, value), given) => {
            let (given_key, given_value) = match given {
                Some(SqlType::Map(key, value)) => (Some(key.as_ref()), Some(value.as_ref())),
                _ => (None, None),
            };
            SqlType::Map(Box::new(concrete(key, bound, given_key)), Box::new(concrete(value, bound, given_value)))
        }
        (Parameter::Unit, _) => SqlType::BigInt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::signature::Call;
    use crate::functions::{
        declare::variadic,
        overload::{function, of, overload},
    };

    fn nothing(_: &Call<'_>) -> Result<arrow::array::ArrayRef, String> {
        Err("not called".to_owned())
    }

    fn check(overloads: Vec<Overload>, given: &[Given], want: Result<usize, &str>) {
        let got = resolve(&function("F", "", overloads), given).map(|resolved| resolved.overload);
        match want {
            Ok(want) => assert_eq!(got, Ok(want), "{given:?}"),
            Err(part) => assert!(got.as_ref().is_err_and(|problem| problem.contains(part)), "{given:?}: {got:?}"),
        }
    }

    #[test]
    fn the_nearest_overload_is_taken() {
        use SqlType::{BigInt, Date, Double, Int, Varchar};
        let of = |types: &[SqlType]| of(types, Varchar, nothing);
        let given = |types: &[SqlType]| types.iter().cloned().map(Given::Type).collect::<Vec<_>>();
        let several = || vec![of(&[BigInt, Varchar]), of(&[Int, Varchar]), variadic(of(&[BigInt]))];
        check(several(), &given(&[Int, Varchar]), Ok(1));
        check(several(), &given(&[BigInt, BigInt]), Ok(2));
        check(several(), &given(&[Double]), Err("does not accept parameters (DOUBLE)"));
        check(vec![of(&[Double, Double])], &given(&[Int, BigInt]), Ok(0));
        check(vec![of(&[Int]), of(&[BigInt]), of(&[Double])], &given(&[BigInt]), Ok(1));
        let extreme =
            || vec![variadic(of(&[Int, Int])), variadic(of(&[BigInt, BigInt])), variadic(of(&[Double, Double]))];
        check(extreme(), &given(&[Int, BigInt]), Err("ambiguous method parameters (INTEGER, BIGINT)"));
        check(extreme(), &given(&[Int, BigInt, Double]), Ok(2));
        check(extreme(), &[Given::Null, Given::Null], Err("ambiguous method parameters (null, null)"));
        check(extreme(), &[Given::Type(BigInt), Given::Null], Ok(1));
        check(extreme(), &[], Err("does not accept parameters ()"));
        check(vec![of(&[Date, Date])], &[Given::Type(Date), Given::Text], Ok(0));
        check(vec![of(&[Double])], &[Given::Text], Err("does not accept parameters (STRING)"));
        let unit = || vec![overload(&[Parameter::Unit, Parameter::Type(Int)], Returns::Type(Int), nothing)];
        check(unit(), &[Given::Unit, Given::Type(Int)], Ok(0));
        check(unit(), &given(&[Int, Int]), Err("does not accept parameters (INTEGER, INTEGER)"));
    }
}
