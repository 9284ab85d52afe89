//! Starting a topology: its workers with all tasks if the log belongs to this process alone; else with none, and a coordinator that gives them those
//! which the group has for this process.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use millstream_state::Store;
use parking_lot::Mutex;

use super::{
    Status, Streams, StreamsConfig, StreamsError, TaskSettings,
    build::{Builder, Built, group_of},
    coordinator::{Coordinator, Post},
    global_tables::GlobalTables,
    metrics::Counters,
    progress::Progress,
    restore::RestoreBoard,
    restorer::{RestoreOrder, Restorer},
    seat::{Report, Seat},
    store_partitions::StoreRegistry,
    task::Task,
    task_factory::TaskFactory,
    views::views,
    visibility::Visibility,
    worker::{Moment, Shared, Worker},
};
use crate::{
    log::{Assignment, GroupMembership, GroupSettings, Producer},
    query::{Peers, Registration},
    record::{GroupId, TopicPartition},
    topology::Topology,
};

/// What a process has that shares its work with others.
pub(super) struct Sharing {
    pub(super) group: Arc<dyn GroupMembership>,
    restorer: Sender<RestoreOrder>,
    threads: Vec<JoinHandle<()>>,
    /// Until when others are answered.
    _served: Option<Registration>,
}

impl Sharing {
    /// Leaves the group and ends the threads; the workers have ended.
    pub(super) fn end(self, board: &RestoreBoard) {
        board.close();
        self.group.leave();
        let _ = self.restorer.send(RestoreOrder::Stop);
        for thread in self.threads {
            // A panic was caught and made the status already.
            let _ = thread.join();
        }
    }
}

/// What all threads of a topology are made from.
struct Start<'a> {
    config: &'a StreamsConfig,
    shared: Arc<Shared>,
    status: Arc<Mutex<Status>>,
    registry: Arc<StoreRegistry>,
    globals: Option<GlobalTables>,
}

/// The name of a worker and of its producer.
fn name(config: &StreamsConfig, number: usize) -> String {
    format!("{}-{number}", config.application_id)
}

/// Starts a topology.
pub(super) fn start(topology: &Topology, config: &StreamsConfig) -> Result<Streams, StreamsError> {
    // Fences an earlier life before its positions are read: what it has not committed by now it never will.
    let producers = (0..config.threads.max(1)).map(|number| config.log.producer(&name(config, number)));
    let producers: Vec<_> = producers.collect::<Result<_, _>>()?;
    if config.log.is_shared() { share(topology, config, producers) } else { alone(topology, config, producers) }
}

/// Starts all tasks in this process.
fn alone(
    topology: &Topology,
    config: &StreamsConfig,
    producers: Vec<Box<dyn Producer>>,
) -> Result<Streams, StreamsError> {
    let (counters, settings, board) = (Arc::new(Counters::default()), TaskSettings::of(config), Arc::default());
    let builder = Builder {
        topology,
        application: &config.application_id,
        log: &config.log,
        state: Some(config.state.as_ref()),
        reads: Some(config.reads.as_ref()),
        emit: config.emit,
        clock: config.clock.as_ref(),
        counters: Arc::clone(&counters),
        settings: settings.clone(),
        restoring: &board,
    };
    let Built { tasks, stores, globals, progress } = builder.build()?;
    let registry = StoreRegistry::whole(topology.stores().len(), &stores);
    let inputs =
        tasks.iter().flat_map(|task| task.readers.iter().map(|reader| (task.group.clone(), reader.partition.clone())));
    let inputs = inputs.collect();
    let mut start = Start::new(config, counters, registry, globals, progress);
    let mut streams = start.streams(topology, inputs, &settings, board, None);
    let workers = config.threads.clamp(1, tasks.len().max(1));
    let mut shares: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for (index, task) in tasks.into_iter().enumerate() {
        shares[index % workers].push(task);
    }
    for (number, (tasks, producer)) in shares.into_iter().zip(producers).enumerate() {
        streams.threads.push(start.worker(number, tasks, producer, None)?);
    }
    Ok(streams)
}

/// Joins the group of the application, whose tasks come when the group says so.
fn share(
    topology: &Topology,
    config: &StreamsConfig,
    producers: Vec<Box<dyn Producer>>,
) -> Result<Streams, StreamsError> {
    let (counters, settings, board) = (Arc::new(Counters::default()), TaskSettings::of(config), Arc::default());
    let (factory, globals) =
        TaskFactory::prepare(topology, config, Arc::clone(&counters), settings.clone(), Arc::clone(&board))?;
    let factory = Arc::new(factory);
    let group_id = group_of(&config.application_id, 0, config.log.as_ref())?;
    let endpoint = config.queries.as_ref().map(|server| server.endpoint().to_owned());
    let group = config.log.join_group(GroupSettings {
        group: group_id.clone(),
        topology: factory.group_topology()?,
        standby_replicas: config.standby_replicas,
        endpoint: endpoint.clone(),
        instance: config.instance.clone(),
        session_timeout: config.session_timeout,
        rebalance_timeout: config.rebalance_timeout,
    })?;
    let Some(group) = group else {
        let why = "the log says that processes share it, but has no groups";
        return Err(StreamsError::NotShared { setting: "the log", why });
    };
    let registry = StoreRegistry::new(factory.store_partitions()?);
    let mut start = Start::new(config, counters, registry, globals, Progress::default());
    let inputs = factory.inputs(&group_id)?;
    let token = config.queries.as_ref().and_then(|server| server.token());
    let peers = Arc::new(Peers::new(Arc::clone(&group), &config.application_id, endpoint, token));
    let mut streams = start.streams(topology, inputs, &settings, board, Some(&peers));
    let served = config.queries.as_ref().map(|server| server.register(&config.application_id, streams.views.clone()));
    let ((restorer, restore_orders), (reports, reported)) = (channel(), channel());
    streams.sharing =
        Some(Sharing { group: Arc::clone(&group), restorer: restorer.clone(), threads: Vec::new(), _served: served });
    let mut workers = Vec::new();
    for (number, producer) in producers.into_iter().enumerate() {
        let (orders, received) = channel();
        let (group, group_id, reports) = (Arc::clone(&group), group_id.clone(), reports.clone());
        let seat =
            Seat { number, producer: name(config, number), group, group_id, orders: received, reports, held: false };
        streams.threads.push(start.worker(number, Vec::new(), producer, Some(seat))?);
        workers.push(Post { orders, tasks: BTreeSet::new() });
    }
    let threads = start.group_threads(group, factory, workers, (restorer, restore_orders), (reports, reported))?;
    if let Some(sharing) = &mut streams.sharing {
        sharing.threads.extend(threads);
    }
    Ok(streams)
}

impl<'a> Start<'a> {
    fn new(
        config: &'a StreamsConfig,
        counters: Arc<Counters>,
        registry: StoreRegistry,
        globals: GlobalTables,
        progress: Progress,
    ) -> Self {
        let shared = Shared {
            stop: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            paused: AtomicBool::new(config.paused),
            counters,
            visibility: Arc::new(Visibility::new(progress)),
        };
        let status = Arc::new(Mutex::new(Status::Running));
        Self { config, shared: Arc::new(shared), status, registry: Arc::new(registry), globals: Some(globals) }
    }

    /// The topology before its first thread, so that a failure on the way ends what runs already.
    fn streams(
        &self,
        topology: &Topology,
        inputs: Vec<(GroupId, TopicPartition)>,
        settings: &TaskSettings,
        board: Arc<RestoreBoard>,
        peers: Option<&Arc<Peers>>,
    ) -> Streams {
        let none = GlobalTables::default();
        let globals = self.globals.as_ref().unwrap_or(&none);
        Streams {
            views: views(topology, &self.registry, globals, &self.shared.visibility, peers),
            shared: Arc::clone(&self.shared),
            status: Arc::clone(&self.status),
            threads: Vec::new(),
            inputs,
            application: self.config.application_id.clone(),
            log: Arc::clone(&self.config.log),
            futures: Arc::clone(&settings.futures),
            board,
            sharing: None,
            _state: Arc::clone(&self.config.state),
        }
    }

    /// Starts a worker. The first one follows global tables, and checkpoints for all: while it works, the state's own thread writes.
    fn worker(
        &mut self,
        number: usize,
        tasks: Vec<Task>,
        producer: Box<dyn Producer>,
        seat: Option<Seat>,
    ) -> Result<JoinHandle<()>, StreamsError> {
        let stores = (number == 0).then(|| Arc::clone(&self.registry));
        let checkpoint = move |moment| {
            let stores = stores.iter().flat_map(|stores| stores.persistent());
            stores.into_iter().try_for_each(|store| checkpoint(&store, moment))
        };
        let mut worker = Worker {
            tasks,
            globals: self.globals.take().unwrap_or_default(),
            producer,
            log: Arc::clone(&self.config.log),
            clock: Arc::clone(&self.config.clock),
            commit_interval: self.config.commit_interval,
            transaction_bytes: self.config.transaction_bytes,
            checkpoint_interval: self.config.checkpoint_interval,
            checkpoint: Box::new(checkpoint),
            shared: Arc::clone(&self.shared),
            seat,
        };
        self.spawn(name(self.config, number), move || worker.run())
    }

    /// Starts the coordinator and the restorer.
    fn group_threads(
        &self,
        group: Arc<dyn GroupMembership>,
        factory: Arc<TaskFactory>,
        workers: Vec<Post>,
        (restorer, orders): (Sender<RestoreOrder>, Receiver<RestoreOrder>),
        (reports, reported): (Sender<Report>, Receiver<Report>),
    ) -> Result<[JoinHandle<()>; 2], StreamsError> {
        let registry = Arc::clone(&self.registry);
        let standbys = BTreeMap::new();
        let mut restoring = Restorer { factory: Arc::clone(&factory), registry, orders, reports, standbys };
        let mut coordinator = Coordinator {
            group,
            factory,
            registry: Arc::clone(&self.registry),
            shared: Arc::clone(&self.shared),
            workers,
            restorer,
            reports: reported,
            wanted: Assignment::default(),
            opening: BTreeMap::new(),
            attempts: 0,
            standbys: BTreeSet::new(),
            not_ready: None,
        };
        let of = |what: &str| format!("{}-{what}", self.config.application_id);
        let restoring = self.spawn(of("restore"), move || {
            restoring.run();
            Ok(())
        })?;
        Ok([restoring, self.spawn(of("group"), move || coordinator.run())?])
    }

    /// Starts a thread whose end, if it is not wanted, ends the others.
    fn spawn(
        &self,
        name: String,
        work: impl FnOnce() -> Result<(), StreamsError> + Send + 'static,
    ) -> Result<JoinHandle<()>, StreamsError> {
        let (status, shared) = (Arc::clone(&self.status), Arc::clone(&self.shared));
        let work = move || {
            let result = std::panic::catch_unwind(AssertUnwindSafe(work));
            let result = result.unwrap_or_else(|panic| {
                let what = panic.downcast_ref::<String>().cloned();
                let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Err(StreamsError::Panic { what: what.unwrap_or_else(|| "no message".to_owned()) })
            });
            let mut status = status.lock();
            match result {
                Ok(()) if *status == Status::Running => *status = Status::Stopped,
                Ok(()) => {}
                Err(error) => {
                    tracing::error!("{error}");
                    shared.stop.store(true, Ordering::Release);
                    if !matches!(*status, Status::Failed { .. }) {
                        *status = Status::Failed { error: error.to_string() };
                    }
                }
            }
        };
        std::thread::Builder::new().name(name).spawn(work).map_err(StreamsError::Thread)
    }
}

fn checkpoint(store: &Store, moment: Moment) -> Result<(), StreamsError> {
    match moment {
        Moment::AtWork => {
            store.ask_checkpoint();
            Ok(())
        }
        Moment::AtTheEnd => store
            .checkpoint()
            .map_err(|error| StreamsError::Store { store: store.name().to_owned(), problem: error.to_string() }),
    }
}
