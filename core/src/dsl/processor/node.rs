//! The node of a processor: connects stores and makes a processor for each task.

use std::{rc::Rc, sync::Arc};

use super::{
    EachRecord, Processor, ProcessorSupplier, StateStore,
    context::Forwarded,
    host::{Host, Shapes},
};
use crate::{
    dsl::{
        ColumnStream,
        closure::Input,
        typed::{Data, Shape},
    },
    operator::{FoldError, Operator, Process, RowProcessor},
    schema::StreamSchema,
    topology::{NodeKind, NodeStores, OperatorNode, Site},
};

/// Makes a processor that is given its stores by name and number.
type Make = dyn Fn(&Arc<StreamSchema>, Vec<(Arc<str>, usize)>) -> Box<dyn RowProcessor> + Send + Sync;

/// A processor in the graph.
struct ProcessNode {
    what: &'static str,
    make: Box<Make>,
    /// The stores that are connected, with their numbers in the topology.
    stores: Vec<(Arc<str>, usize)>,
    /// Those of them that are only read.
    read: Vec<usize>,
}

impl OperatorNode for ProcessNode {
    fn create(&self, site: &Site<'_>) -> Result<Box<dyn Operator>, FoldError> {
        let stores = self.stores.iter().map(|(name, number)| (Arc::clone(name), (site.store)(*number)));
        Ok(Box::new(Process::new((self.make)(site.output, stores.collect()), site.globals.to_vec())))
    }

    fn stores(&self) -> NodeStores {
        let all = self.stores.iter().map(|(_, number)| *number);
        NodeStores { written: all.filter(|number| !self.read.contains(number)).collect(), read: self.read.clone() }
    }

    fn follows_stream_time(&self) -> bool {
        true
    }

    fn describe(&self, store: &dyn Fn(usize) -> String) -> String {
        let stores: Vec<String> = self.stores.iter().map(|(_, number)| store(*number)).collect();
        let stores = if stores.is_empty() { String::new() } else { format!(", {}", stores.join(", ")) };
        format!("{} by a processor{stores}", self.what)
    }
}

/// What a processor does to keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::dsl) enum Keys {
    /// They may change.
    Change,
    /// They stay.
    Stay,
}

impl<KIn: Data, VIn: Data, KOut: Data, VOut: Data> Shapes<KIn, VIn, KOut, VOut> {
    fn new() -> Result<Self, String> {
        let input = Arc::new(Input::of_stream()?);
        Ok(Self { input, key_out: Shape::of("key")?, value_out: Shape::of("value")? })
    }

    fn output(&self, input: &StreamSchema, keys: Keys) -> Result<Arc<StreamSchema>, String> {
        let value = self.value_out.fields.clone();
        let schema = match keys {
            Keys::Change => StreamSchema::new(self.key_out.fields.clone(), value, false),
            Keys::Stay => StreamSchema::new(input.key().to_vec(), value, input.window()),
        };
        schema.map_err(|error| error.to_string())
    }
}

/// Adds a processor to `stream`. Where that has the changes of a table, `deletes` gives the key under which a deletion is passed on.
pub(in crate::dsl) fn process<KIn: Data, VIn: Data, KOut: Data, VOut: Data>(
    stream: &ColumnStream,
    (what, keys): (&'static str, Keys),
    deletes: Option<fn(KIn) -> KOut>,
    supplier: impl ProcessorSupplier<KIn, VIn, KOut, VOut>,
    stores: &[&dyn StateStore],
) -> ColumnStream {
    let added = Shapes::new().and_then(|shapes| Ok((shapes.output(&stream.schema, keys)?, shapes)));
    let (schema, shapes) = match added {
        Ok(added) => added,
        Err(problem) => return stream.failed(what, problem),
    };
    let make = move |output: &Arc<StreamSchema>, stores| -> Box<dyn RowProcessor> {
        let (shapes, output, processor) = (shapes.clone(), Arc::clone(output), supplier.get());
        let (rows, forwarded) = (Vec::new(), Forwarded::default());
        Box::new(Host { shapes, output, stores, processor, deletes, rows, forwarded })
    };
    let mut graph = stream.graph.borrow_mut();
    let (mut connected, mut read) = (Vec::new(), Vec::new());
    for store in stores {
        match graph.stores.iter().position(|spec| spec.name == store.name()) {
            Some(number) => {
                connected.push((store.name().into(), number));
                read.extend(store.is_read_only().then_some(number));
            }
            None => {
                let name = store.name();
                graph.fail(what, format!("there is no state store `{name}`: add it with `add_state_store` first"));
            }
        }
    }
    let node = ProcessNode { what, make: Box::new(make), stores: connected, read };
    let node = graph.add(what, NodeKind::Operator(Arc::new(node)), vec![stream.node], Arc::clone(&schema));
    drop(graph);
    let rekeyed = stream.rekeyed || keys == Keys::Change;
    ColumnStream { graph: Rc::clone(&stream.graph), node, schema, rekeyed }
}

/// A supplier of a closure that all tasks share.
pub(in crate::dsl) fn each_record<KIn, VIn, KOut, VOut, F>(
    closure: F,
) -> impl ProcessorSupplier<KIn, VIn, KOut, VOut, Processor = EachRecord<F>>
where
    F: Send + Sync + 'static,
    EachRecord<F>: Processor<KIn, VIn, KOut, VOut>,
{
    let closure = Arc::new(closure);
    move || EachRecord(Arc::clone(&closure))
}
