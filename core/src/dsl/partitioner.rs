//! Partitioners and topic choosers written as closures over typed records.

use std::sync::Arc;

use super::typed::{Data, Shape};
use crate::{
    Batch,
    expression::RowError,
    operator::{Partitioner, Placement, Routing, TopicNameExtractor},
    schema::StreamSchema,
};

/// A closure that chooses partitions, its types known only to itself.
#[derive(Clone)]
pub(super) struct ClosurePartitioner {
    /// Or why the types have no columns.
    made: Result<Arc<dyn Partitioner>, String>,
}

impl ClosurePartitioner {
    pub(super) fn new<K: Data, V: Data>(choose: impl Fn(&K, &V, u32) -> Placement + Send + Sync + 'static) -> Self {
        let made = TypedRows::of().map(|rows| Arc::new(TypedPartitioner { rows, choose }) as Arc<dyn Partitioner>);
        Self { made }
    }

    /// How rows of these columns find their partition.
    pub(super) fn routing(of: Option<&Self>, schema: &StreamSchema) -> Result<Routing, String> {
        let Some(of) = of else { return Ok(Routing::ByKey) };
        let partitioner = of.made.clone()?;
        partitioner.check(schema)?;
        Ok(Routing::By(partitioner))
    }
}

/// Rows read as keys and values.
pub(super) struct TypedRows<K, V> {
    key: Shape<K>,
    value: Shape<V>,
}

impl<K: Data, V: Data> TypedRows<K, V> {
    pub(super) fn of() -> Result<Self, String> {
        Ok(Self { key: Shape::of("key")?, value: Shape::of("value")? })
    }

    /// Key and value of each row, none where they cannot be read.
    fn read(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Vec<Option<(K, V)>> {
        let mut found = Vec::new();
        let keys = self.key.read_keys(batch, &mut found);
        let values = self.value.read_present(batch.values(), batch.present(), batch.len(), &mut found);
        let rows: Vec<Option<(K, V)>> = keys.into_iter().zip(values).map(|(key, value)| Some((key?, value?))).collect();
        for (row, _) in rows.iter().enumerate().filter(|(_, pair)| pair.is_none()) {
            let told = found.iter().find(|error| error.row == row).map(|error| error.problem.clone());
            errors.push(RowError { row, problem: told.unwrap_or_else(|| "the record has no value".to_owned()) });
        }
        rows
    }

    fn check(&self, schema: &StreamSchema) -> Result<(), String> {
        let types = |fields: &[arrow::datatypes::FieldRef]| {
            fields.iter().map(|field| field.data_type().to_string()).collect::<Vec<_>>().join(", ")
        };
        let (wanted, found) = (types(&self.value.fields), types(schema.value()));
        if wanted == found {
            return Ok(());
        }
        Err(format!("the partitioner takes values of ({wanted}), the stream has ({found})"))
    }
}

struct TypedPartitioner<K, V, F> {
    rows: TypedRows<K, V>,
    choose: F,
}

impl<K: Data, V: Data, F: Fn(&K, &V, u32) -> Placement + Send + Sync> Partitioner for TypedPartitioner<K, V, F> {
    fn place(&self, batch: &Batch, partitions: u32, errors: &mut Vec<RowError>) -> Vec<Placement> {
        let place = |row: Option<(K, V)>| match row {
            Some((key, value)) => (self.choose)(&key, &value, partitions),
            None => Placement::Nowhere,
        };
        self.rows.read(batch, errors).into_iter().map(place).collect()
    }

    fn check(&self, schema: &StreamSchema) -> Result<(), String> {
        self.rows.check(schema)
    }
}

/// A closure that chooses a topic for each record.
pub(super) struct TypedTopics<K, V, F> {
    pub(super) rows: TypedRows<K, V>,
    pub(super) choose: F,
}

impl<K: Data, V: Data, F: Fn(&K, &V) -> String + Send + Sync> TopicNameExtractor for TypedTopics<K, V, F> {
    fn topics(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Vec<Option<String>> {
        let choose = |row: Option<(K, V)>| row.map(|(key, value)| (self.choose)(&key, &value));
        self.rows.read(batch, errors).into_iter().map(choose).collect()
    }
}
