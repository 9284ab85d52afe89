//! The functions of the language itself: ksqlDB's, and those of DataFusion that have other names.
//!
//! One context serves all planning. Names keep their letter case: the parser has upper-cased what was not quoted.

use std::{collections::BTreeMap, sync::OnceLock};

use datafusion::{
    execution::FunctionRegistry,
    prelude::{SessionConfig, SessionContext},
};

use super::{
    aggregate, array, bytes, conditional, date_time, geo, json, map, math, regex, signature::ScalarFunction, table,
    text, url,
};

/// The scalar functions of the language by their names.
fn scalars() -> &'static BTreeMap<String, ScalarFunction> {
    static SCALARS: OnceLock<BTreeMap<String, ScalarFunction>> = OnceLock::new();
    SCALARS.get_or_init(|| {
        let families = [
            array::functions(),
            bytes::functions(),
            conditional::functions(),
            date_time::functions(),
            geo::functions(),
            json::functions(),
            map::functions(),
            math::functions(),
            regex::functions(),
            text::functions(),
            url::functions(),
        ];
        let items = table::table_functions().iter().map(|function| (table::items_of(function.name), function.items()));
        families.into_iter().flatten().map(|function| (function.name.to_owned(), function)).chain(items).collect()
    })
}

/// The scalar function of the language that is called so; names are in upper case.
pub(crate) fn scalar(name: &str) -> Option<&'static ScalarFunction> {
    scalars().get(name)
}

/// The functions that take a lambda.
pub(crate) const LAMBDA_FUNCTIONS: [&str; 3] = ["FILTER", "REDUCE", "TRANSFORM"];

/// ksqlDB's name, DataFusion's name.
const ALIASES: [(&str, &str); 10] = [
    ("ucase", "upper"),
    ("lcase", "lower"),
    ("len", "character_length"),
    ("ifnull", "nvl"),
    ("instr", "strpos"),
    ("ceiling", "ceil"),
    ("sign", "signum"),
    ("split", "string_to_array"),
    ("elt", "array_element"),
    ("slice", "array_slice"),
];

/// A context that knows all functions and no table.
pub(crate) fn new_context() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
    let parser = &mut config.options_mut().sql_parser;
    parser.enable_ident_normalization = false;
    parser.map_string_types_to_utf8view = false;
    parser.collect_spans = true;
    let context = SessionContext::new_with_config(config);
    for (name, known) in ALIASES {
        // Looked up first: registering takes the lock that a lookup in the condition would still hold.
        let found = context.udf(known);
        let taken = context.udf(name).is_ok();
        if let (Ok(function), false) = (found, taken) {
            context.register_udf(function.as_ref().clone().with_aliases([name]));
        }
    }
    context
}

/// The context that expressions are bound with.
pub(crate) fn context() -> &'static SessionContext {
    static CONTEXT: OnceLock<SessionContext> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        let context = new_context();
        for function in aggregate::own_functions() {
            context.register_udaf(function.as_ref().clone());
        }
        context
    })
}

/// What a name means where a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FunctionKind {
    /// A value per row.
    Scalar,
    /// A value per group.
    Aggregate,
    /// Several rows per row.
    Table,
    /// A value per row and its neighbours.
    Window,
    /// Nothing.
    Unknown,
}

/// What the language's own function called `name` is; letter case does not matter.
pub(crate) fn kind_of(name: &str) -> FunctionKind {
    let own = name.to_ascii_uppercase();
    if scalar(&own).is_some() || LAMBDA_FUNCTIONS.contains(&own.as_str()) {
        return FunctionKind::Scalar;
    }
    if aggregate::is_aggregate(&own) {
        return FunctionKind::Aggregate;
    }
    if table::table_functions().iter().any(|function| function.name == own) {
        return FunctionKind::Table;
    }
    let name = name.to_ascii_lowercase();
    let state = context().state_ref();
    let state = state.read();
    if state.aggregate_functions().contains_key(&name) {
        FunctionKind::Aggregate
    } else if state.scalar_functions().contains_key(&name) || state.higher_order_functions().contains_key(&name) {
        FunctionKind::Scalar
    } else if state.window_functions().contains_key(&name) {
        FunctionKind::Window
    } else {
        FunctionKind::Unknown
    }
}

/// All functions of the language itself: name in upper case, and what it is.
pub(crate) fn all() -> Vec<(String, FunctionKind)> {
    let state = context().state_ref();
    let state = state.read();
    let mut all: Vec<(String, FunctionKind)> = state
        .scalar_functions()
        .keys()
        .map(|name| (name.to_ascii_uppercase(), FunctionKind::Scalar))
        .chain(scalars().keys().filter(|name| !name.contains(' ')).map(|name| (name.clone(), FunctionKind::Scalar)))
        .chain(table::table_functions().iter().map(|function| (function.name.to_owned(), FunctionKind::Table)))
        .chain(LAMBDA_FUNCTIONS.map(|name| (name.to_owned(), FunctionKind::Scalar)))
        .chain(state.aggregate_functions().keys().map(|name| (name.to_ascii_uppercase(), FunctionKind::Aggregate)))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.dedup_by(|a, b| a.0 == b.0);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_languages_are_known() {
        for name in ["UCASE", "upper", "LEN", "COALESCE", "IFNULL", "INSTR"] {
            assert_eq!(kind_of(name), FunctionKind::Scalar, "{name}");
        }
        for name in ["COUNT", "SUM", "min", "AVG"] {
            assert_eq!(kind_of(name), FunctionKind::Aggregate, "{name}");
        }
        assert_eq!(kind_of("ROW_NUMBER"), FunctionKind::Window);
        assert_eq!(kind_of("NOSUCH"), FunctionKind::Unknown);
    }
}
