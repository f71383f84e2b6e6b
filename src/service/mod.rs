//! The composition root: from a configuration to a running service.
//!
//! Nothing here waits for a server at start: whatever is away is named in `/readyz`, status and
//! logs, and tried again until it is there (I14).

pub mod access;
mod backend;
mod envelopes;
mod facts;
mod freshness;
mod lists;
mod operations;
mod parts;
mod report;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::backend::{Operator, ServiceBackend};
use self::facts::Facts;
use self::freshness::Waiting;
use self::parts::Connections;
use self::report::{Reporter, Tracks};
use crate::api::{self, Backend, Operations, Server};
use crate::config::{Config, Role};
use crate::fault::Fault;
use crate::generation::{
    Coordinator, Notes, Pacing, Planner, Reconciler, Settings, Starter, Workshop,
};
use crate::pipeline::{Board, Budget, Engine, Excerpts, Limits, Parts};
use crate::projection::{Definition, Registry};
use crate::telemetry;

/// How often desired state is looked at and this instance's report is written.
const PERIOD: Duration = Duration::from_secs(1);
/// How soon it is looked at again while a generation is being created.
const SOON: Duration = Duration::from_millis(100);
/// The most that one look at the control tables may take before it is given up and repeated.
const STEP_TIMEOUT: Duration = Duration::from_secs(100);
/// How often the change log is looked through for what is too old.
const FORGETTING: Duration = Duration::from_secs(5);
/// The most steps that are done at once.
const FORGETTING_STEPS: usize = 20;
/// A loop that did not come around for this long is dead (liveness).
const LOOP_BOUND: Duration = Duration::from_secs(150);

/// Runs until `shutdown`, then drains. Fails only for what waiting cannot heal: a wrong
/// definition, an address that is taken.
pub async fn run(
    config: Config,
    role: Role,
    registry: Registry,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let proposed = proposed(&config, &registry)?;
    let connections = Connections::open(&config, role)?;
    let expected = proposed
        .iter()
        .flat_map(|definition| definition.plan.stores())
        .copied()
        .collect();
    let facts = Arc::new(Facts::new(parts::instance_name(), role, expected));
    let parts = assemble(&config, &connections, proposed.into(), &facts);
    let backend = Arc::new(ServiceBackend {
        connections: connections.clone(),
        facts: Arc::clone(&facts),
        reporter: parts.reporter.clone(),
        operator: Operator {
            starter: parts.workshop.starter.clone(),
            proposed: Arc::clone(&parts.workshop.proposed),
        },
        waiting: Waiting::default(),
    });
    let upkeep = tokio::spawn(forget_changes(connections.clone(), Arc::clone(&facts)));
    let servers = serve(&config, role, &backend, &shutdown).await?;
    let proposed = Arc::clone(&parts.workshop.proposed);
    tracing::info!(instance = %facts.instance(), projections = proposed.len(), "viewfold starts");
    let reconciler = Reconciler::new(Settings {
        control: Arc::clone(&connections.control),
        source: Arc::clone(&connections.source),
        stores: connections.stores.clone(),
        proposed,
        registry,
        board: parts.reporter.board.clone(),
        pacing: parts.reporter.pacing.clone(),
    });
    match role {
        Role::All | Role::Worker => {
            work(
                Worker {
                    config: &config,
                    connections: &connections,
                    facts: &facts,
                    reporter: parts.reporter,
                    coordinator: Coordinator::new(parts.workshop),
                },
                reconciler,
                &shutdown,
            )
            .await;
        }
        Role::Query => query(&connections, &facts, reconciler, &shutdown).await,
    }
    upkeep.abort();
    for server in servers {
        let _ = tokio::time::timeout(Duration::from_secs(1), server).await;
    }
    Ok(())
}

/// Removes what is too old from the change log, in small steps. Every instance does; they do not get into each
/// other's way.
async fn forget_changes(connections: Connections, facts: Arc<Facts>) {
    loop {
        tokio::time::sleep(FORGETTING).await;
        for store in connections.stores.values().filter(|_| facts.is_migrated()) {
            let Some(log) = store.change_log() else {
                continue;
            };
            for _ in 0..FORGETTING_STEPS {
                match log.forget_old().await {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(fault) => {
                        tracing::debug!(%fault, "old changes are not removed");
                        break;
                    }
                }
            }
        }
    }
}

/// What is built from the configuration before anything runs.
struct Assembled {
    reporter: Reporter,
    workshop: Workshop,
}

fn assemble(
    config: &Config,
    connections: &Connections,
    proposed: Arc<[Definition]>,
    facts: &Facts,
) -> Assembled {
    let board = Board::new();
    let lag_target = config.rebuild.live_lag_target;
    let notes = Notes::default();
    let hashes = proposed
        .iter()
        .map(|definition| (definition.name.to_string(), definition.hash.to_string()));
    let reporter = Reporter {
        pacing: Pacing::new(board.clone(), lag_target, config.rebuild.max_rate),
        board,
        notes: notes.clone(),
        proposed: hashes.collect(),
    };
    let (control, source) = (
        Arc::clone(&connections.control),
        Arc::clone(&connections.source),
    );
    let planner = Arc::new(Planner {
        control: Arc::clone(&control),
        source: Arc::clone(&source),
        stores: connections.stores.clone(),
        pacing: reporter.pacing.clone(),
    });
    let stores = connections.stores.clone();
    let starter = Starter::new(Arc::clone(&control), stores, planner, Arc::clone(&proposed));
    let excerpts = Excerpts::new(Arc::clone(&source), Arc::clone(&connections.envelopes));
    let workshop = Workshop {
        control,
        source,
        stores: connections.stores.clone(),
        excerpts: Arc::new(excerpts),
        starter,
        proposed,
        instance: facts.instance().into(),
        retain: config.rebuild.retain,
        notes,
    };
    Assembled { reporter, workshop }
}

/// The definitions that this instance proposes: its files and, of every Rust projection, the
/// newest version.
fn proposed(config: &Config, registry: &Registry) -> anyhow::Result<Vec<Definition>> {
    let mut proposed = if config.projections.is_dir() || registry.all().is_empty() {
        Definition::read_dir(&config.projections)
    } else {
        // A binary that brings Rust projections needs no folder.
        Ok(Vec::new())
    }
    .map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", problems.join("\n"))
    })?;
    for plan in registry.all() {
        let definition = Definition::of(Arc::clone(plan));
        proposed.retain(|other| other.name != definition.name);
        proposed.push(definition);
    }
    Ok(proposed)
}

async fn serve(
    config: &Config,
    role: Role,
    backend: &Arc<ServiceBackend>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Vec<tokio::task::JoinHandle<()>>> {
    let mut servers = Vec::new();
    let mut listeners = vec![(
        "admin.listen",
        &config.admin,
        api::admin(
            Arc::clone(backend) as Arc<dyn Backend>,
            Arc::clone(backend) as Arc<dyn Operations>,
            config.admin.access(),
        ),
    )];
    if role != Role::Worker {
        listeners.push((
            "api.listen",
            &config.api,
            api::public(Arc::clone(backend) as Arc<dyn Backend>, config.api.access()),
        ));
    }
    for (name, listener, router) in listeners {
        let server = Server::bind(name, listener.listen).await?;
        tracing::info!(listener = name, address = %server.address(), "listening");
        let shutdown = shutdown.clone();
        servers.push(tokio::spawn(async move {
            if let Err(fault) = server.serve(router, shutdown).await {
                tracing::error!(%fault, "listener ended");
            }
        }));
    }
    Ok(servers)
}

/// What a worker works with.
struct Worker<'w> {
    config: &'w Config,
    connections: &'w Connections,
    facts: &'w Facts,
    reporter: Reporter,
    coordinator: Coordinator,
}

/// The worker's loop: prepare, then reconcile and report once a second, then drain.
async fn work(worker: Worker<'_>, mut reconciler: Reconciler, shutdown: &CancellationToken) {
    let Worker {
        config,
        connections,
        facts,
        reporter,
        mut coordinator,
    } = worker;
    telemetry::loop_started("service", LOOP_BOUND);
    let pacing = tokio::spawn(reporter.pacing.clone().run());
    let mut engine: Option<Engine> = None;
    let mut all_created = false;
    while !shutdown.is_cancelled() {
        telemetry::heartbeat("service");
        let step = async {
            prepare(config, connections, facts, &reporter.board, &mut engine).await?;
            let (catalog, pipelines) = reconciler.step().await?;
            facts.set_catalog(catalog);
            all_created = pipelines.iter().all(|pipeline| pipeline.created);
            if let Some(engine) = &engine {
                engine.set_pipelines(pipelines);
            }
            let tracks = Tracks::gather(connections, facts, &reporter).await;
            reporter.pacing.set_unfinished(&tracks.unfinished());
            coordinator.step(&facts.catalog(), &tracks.proposals).await
        };
        let outcome = tokio::select! {
            () = shutdown.cancelled() => break,
            outcome = tokio::time::timeout(STEP_TIMEOUT, step) => outcome,
        };
        facts.stepped(
            outcome
                .unwrap_or_else(|_| Err(Fault::transient("control tables do not answer in time"))),
        );
        if engine.as_ref().is_some_and(Engine::has_failed) {
            tracing::error!("engine ended unexpectedly; starting it again");
            engine = None;
        }
        let look_around = async {
            let stores = connections.ping(&facts.used_stores()).await;
            facts.set_sources(connections.source.health(), reconciler.log_away(), stores);
            report::write(connections, facts, &reporter).await;
            tokio::time::sleep(if all_created { PERIOD } else { SOON }).await;
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = look_around => {}
        }
    }
    pacing.abort();
    drop(coordinator);
    let grace = config.pipeline.shutdown_grace;
    tracing::info!(?grace, "draining");
    if let Some(engine) = engine {
        engine.finish(grace.mul_f64(0.8)).await;
    }
    let forgotten = connections.control.forget(facts.instance());
    let _ = tokio::time::timeout(grace.mul_f64(0.1), forgotten).await;
    telemetry::loop_ended("service");
}

/// What has to be done once, as soon as it can be: migrate the control schema, join the group.
async fn prepare(
    config: &Config,
    connections: &Connections,
    facts: &Facts,
    board: &Board,
    engine: &mut Option<Engine>,
) -> Result<(), Fault> {
    if !facts.is_migrated() {
        connections.control.migrate().await?;
        facts.migrated();
    }
    if engine.is_none() {
        let parts = Parts {
            source: Arc::clone(&connections.source),
            envelopes: Arc::clone(&connections.envelopes),
            // Half of the limit for what is decoded, half for what the client has fetched.
            budget: Budget::new(config.pipeline.memory_limit / 2),
            limits: Limits {
                batch_rows: config.pipeline.batch_rows,
                batch_bytes: config.pipeline.batch_bytes,
                lanes: config.pipeline.lanes,
            },
            board: board.clone(),
        };
        telemetry::loop_started("engine", LOOP_BOUND);
        *engine = Some(Engine::start(parts).await?);
        facts.joined();
    }
    Ok(())
}

/// The query instance's loop: keeps the catalog up to date.
async fn query(
    connections: &Connections,
    facts: &Facts,
    mut reconciler: Reconciler,
    shutdown: &CancellationToken,
) {
    telemetry::loop_started("service", LOOP_BOUND);
    while !shutdown.is_cancelled() {
        telemetry::heartbeat("service");
        let step = async {
            facts.set_catalog(reconciler.look().await?);
            facts.migrated();
            Ok::<(), Fault>(())
        };
        let outcome = tokio::time::timeout(STEP_TIMEOUT, step).await;
        facts.stepped(
            outcome
                .unwrap_or_else(|_| Err(Fault::transient("control tables do not answer in time"))),
        );
        facts.set_sources(None, None, connections.ping(&facts.used_stores()).await);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
    telemetry::loop_ended("service");
}
