//! monitor-relay: metrics of monitord, and its place in a fleet.

use std::error::Error;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use monitor_client::Chain;
use monitor_relay::config::{Config, Level};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

/// Serves the metrics of monitord to Prometheus, and connects it to a fleet over NATS.
#[derive(Debug, Parser)]
#[command(name = "monitor-relay", version, about)]
struct Cli {
    /// Settings [default: built-in ones].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the settings, report their errors, and exit.
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    match start(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("monitor-relay: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let config = match &cli.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    if cli.check_config {
        return Ok(());
    }
    log(config.log.level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(config))
}

type Task = Result<(), Box<dyn Error + Send + Sync>>;

async fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, _stopping) = watch::channel(false);
    let mut tasks: JoinSet<Task> = JoinSet::new();
    #[cfg(feature = "fleet")]
    let status = Arc::new(monitor_relay::status::Status::default());
    #[cfg(feature = "metrics")]
    {
        use monitor_relay::metrics::{Listener, Scraper};
        let socket = config.monitor.socket.clone();
        #[cfg(feature = "fleet")]
        let fleet = config.fleet.url.as_ref().map(|_| Arc::clone(&status));
        #[cfg(not(feature = "fleet"))]
        let fleet = None;
        let scraper = Arc::new(Scraper::new(socket, fleet));
        for listen in &config.metrics.listen {
            let listener = Listener::bind(listen).await?;
            let scraper = Arc::clone(&scraper);
            let mut stopping = stop.subscribe();
            tasks.spawn(async move {
                tokio::select! {
                    () = listener.serve(scraper) => {}
                    _ = stopping.wait_for(|&stop| stop) => {}
                }
                Ok(())
            });
        }
    }
    #[cfg(feature = "fleet")]
    if config.fleet.url.is_some() {
        let fleet = monitor_relay::fleet::run(
            config.fleet,
            config.monitor.socket,
            status,
            stop.subscribe(),
        );
        tasks.spawn(async move { Ok(fleet.await?) });
    }
    // Without a service manager it goes nowhere.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        Some(ended) = tasks.join_next() => ended?.map_err(|error| error as Box<dyn Error>)?,
    }
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Starts the log, on standard error.
fn log(level: Level) -> Result<(), Box<dyn Error>> {
    let filter = std::env::var("RUST_LOG").ok();
    let filter = filter.filter(|text| !text.is_empty());
    let filter = filter.unwrap_or_else(|| format!("{},async_nats=warn", level.name()));
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| format!("RUST_LOG is not a filter ({error}): correct or unset it"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
