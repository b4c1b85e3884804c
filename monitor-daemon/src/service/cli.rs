//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::sandbox::Sandbox;
use crate::config::ConfigSource;

/// Monitors TCP connections: reassembles them and serves their bytes over a Unix socket.
#[derive(Debug, Parser)]
#[command(
    name = "monitord",
    version,
    about,
    args_conflicts_with_subcommands = false
)]
pub struct Cli {
    /// Options of all commands.
    #[command(flatten)]
    pub common: Common,
    /// Check the configuration, report its errors, and exit.
    #[arg(long)]
    pub check_config: bool,
    /// Source of packets; without a command, the interfaces of the configuration.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of all commands.
#[derive(Debug, Args)]
pub struct Common {
    /// Settings [default: /etc/monitord/config.toml if it exists, else built-in ones].
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The Unix socket to serve on, in place of the configured one.
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,
    /// Restrict the daemon's access to files by Landlock.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    pub sandbox: Sandbox,
}

/// Sources of packets other than interfaces.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read captures (pcap or pcapng, plain or compressed), then continue to serve their connections.
    Replay(Replay),
}

/// Options of a replay.
#[derive(Debug, Args)]
pub struct Replay {
    /// Capture files, which are merged by time; or one stream: `-` for standard input, a named pipe, or tcp://HOST:PORT
    /// for PCAP-over-IP. Files and streams may be compressed by gzip, bzip2, xz, zstd or lz4.
    #[arg(required = true, value_name = "CAPTURE")]
    pub files: Vec<PathBuf>,
    /// End when everything is read, and print one JSON object with all counters.
    #[arg(long)]
    pub exit: bool,
    /// Play at this multiple of the recorded speed [default: as fast as it goes].
    #[arg(long, value_name = "FACTOR")]
    pub speed: Option<f64>,
}

impl Common {
    /// Returns the source of settings.
    #[must_use]
    pub fn source(&self) -> ConfigSource {
        ConfigSource::new(self.config.as_deref(), self.socket.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        for line in [
            &[
                "monitord", "--socket", "/s", "replay", "a.pcap", "b.pcap", "--exit",
            ][..],
            &[
                "monitord", "replay", "a.pcap", "b.pcap", "--exit", "--socket", "/s",
            ],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.common.socket, Some(PathBuf::from("/s")));
            let Some(Command::Replay(replay)) = cli.command else {
                panic!("{line:?}")
            };
            assert_eq!((replay.files.len(), replay.exit), (2, true));
        }
        assert!(
            Cli::try_parse_from(["monitord", "replay"]).is_err(),
            "files are required"
        );
    }

    #[test]
    fn the_socket_on_the_command_line_wins() {
        let cli = Cli::try_parse_from(["monitord", "--socket", "/tmp/x.sock"]).unwrap();
        assert_eq!(
            cli.common.source().read().unwrap().rpc.socket,
            PathBuf::from("/tmp/x.sock")
        );
    }

    #[test]
    fn the_manual_page_has_every_option() {
        use clap::CommandFactory as _;
        let page = include_str!("../../../packaging/monitord.8").replace("\\-", "-");
        let command = Cli::command();
        let replay = command
            .get_subcommands()
            .flat_map(clap::Command::get_arguments);
        for argument in command.get_arguments().chain(replay) {
            if let Some(long) = argument.get_long() {
                assert!(page.contains(&format!("--{long}")), "--{long}");
            }
        }
    }
}
