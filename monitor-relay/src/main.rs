//! monitor-relay: metrics of monitord.

use std::error::Error;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use monitor_relay::chain::Chain;
use monitor_relay::config::Config;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Serves the metrics of monitord to Prometheus.
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
    log(&config.log.level);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut tasks = tokio::task::JoinSet::new();
    #[cfg(feature = "metrics")]
    {
        use monitor_relay::metrics::{Listener, Scraper};
        let scraper = std::sync::Arc::new(Scraper::new(config.monitor.socket.clone()));
        for listen in &config.metrics.listen {
            let listener = Listener::bind(listen).await?;
            tasks.spawn(listener.serve(std::sync::Arc::clone(&scraper)));
        }
    }
    // Without a service manager it goes nowhere.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        Some(ended) = tasks.join_next() => ended?,
    }
    // Dropped tasks remove their sockets.
    tasks.shutdown().await;
    Ok(())
}

/// Starts the log, on standard error.
fn log(level: &str) {
    let filter = std::env::var("RUST_LOG").ok();
    let filter = filter.filter(|text| !text.is_empty());
    let filter = filter.unwrap_or_else(|| format!("{level},async_nats=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
