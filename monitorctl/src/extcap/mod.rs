//! Wireshark's interface to external captures (extcap), and the verb `extcap`.
//!
//! Wireshark starts this program by the name `monitor-extcap` and asks by options for its interfaces, their link types and
//! their settings. To capture, it names a pipe. Answers are sentences on standard output (extcap(4)); an error on standard
//! error is shown to the user.

mod install;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use monitor_client::types::{SocketsParams, Sort};
use monitor_client::{Client, DEFAULT_SOCKET, Error};

use crate::context::connect;
use crate::export::{self, Selection};
use crate::failure::Failure;
use crate::pcapng::LINKTYPE_RAW;
pub use install::NAME;

/// Connections in the list of one connection's interface, the newest ones.
const LISTED: u64 = 500;

/// Installation.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Link this program into the directories in which Wireshark looks for captures
    ///
    /// Without options the link is made for this user: in ~/.config/wireshark/extcap and ~/.local/lib/wireshark/extcap.
    /// Old versions, as in Debian 12, look in the system's directory only.
    Install(install::Args),
}

pub fn extcap(out: &mut impl Write, args: &Args) -> Result<(), Failure> {
    match &args.verb {
        Verb::Install(args) => install::install(out, args),
    }
}

/// Interface of Wireshark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Interface {
    /// All connections that match the capture filter.
    #[value(name = "monitord")]
    All,
    /// One connection.
    #[value(name = "monitord-connection")]
    One,
}

/// Options of extcap(4).
#[derive(Debug, Parser)]
#[command(name = NAME, version, about = "Captures of monitord for Wireshark, which starts this program")]
struct Options {
    #[arg(long)]
    extcap_interfaces: bool,
    #[arg(long, value_name = "VERSION", num_args = 0..=1)]
    extcap_version: Option<Option<String>>,
    #[arg(long, value_name = "NAME")]
    extcap_interface: Option<Interface>,
    #[arg(long)]
    extcap_dlts: bool,
    #[arg(long)]
    extcap_config: bool,
    #[arg(long, value_name = "OPTION")]
    extcap_reload_option: Option<String>,
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true)]
    extcap_capture_filter: Option<String>,
    #[arg(long)]
    capture: bool,
    #[arg(long, value_name = "PIPE")]
    fifo: Option<PathBuf>,
    /// Socket of the daemon
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Connection
    #[arg(long, value_name = "SOCKID")]
    sockid: Option<u64>,
    /// TLS key log
    #[arg(long, value_name = "FILE")]
    keylog: Option<PathBuf>,
}

/// Answers Wireshark.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let options = Options::try_parse_from(args).map_err(Failure::Arguments)?;
    let mut out = io::stdout().lock();
    answer(&mut out, &options)?;
    out.flush().map_err(Failure::Output)
}

fn answer(out: &mut impl Write, options: &Options) -> Result<(), Failure> {
    if options.extcap_interfaces {
        return Ok(interfaces(out)?);
    }
    let Some(interface) = options.extcap_interface else {
        write!(out, "{}", Options::command().render_long_help())?;
        return Ok(());
    };
    if options.extcap_dlts {
        let dlt = format!("{{number={LINKTYPE_RAW}}}{{name=RAW}}{{display=TCP over IP}}");
        writeln!(out, "dlt {dlt}")?;
    } else if options.extcap_config && options.extcap_reload_option.is_some() {
        connections(out, &mut connect(&options.socket)?)?;
    } else if options.extcap_config {
        settings(out, interface, &options.socket)?;
    } else if options.capture {
        capture(interface, options)?;
    } else if let Some(filter) = &options.extcap_capture_filter {
        check_filter(out, interface, filter, &options.socket)?;
    }
    Ok(())
}

fn interfaces(out: &mut impl Write) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "extcap {{version={version}}}{{display=monitord}}")?;
    let all = "{value=monitord}{display=TCP connections of monitord}";
    let one = "{value=monitord-connection}{display=One TCP connection of monitord}";
    writeln!(out, "interface {all}\ninterface {one}")
}

/// Prints the settings of an interface.
fn settings(out: &mut impl Write, interface: Interface, socket: &Path) -> Result<(), Failure> {
    writeln!(
        out,
        "arg {{number=0}}{{call=--socket}}{{display=Socket of the daemon}}{{type=string}}{{default={}}}",
        socket.display()
    )?;
    writeln!(
        out,
        "arg {{number=1}}{{call=--keylog}}{{display=TLS key log}}{{type=fileselect}}{{mustexist=true}}\
         {{tooltip=File of SSLKEYLOGFILE; the capture gets the secrets of its own sessions only}}"
    )?;
    if interface == Interface::One {
        writeln!(
            out,
            "arg {{number=2}}{{call=--sockid}}{{display=Connection}}{{type=selector}}{{reload=true}}\
             {{placeholder=Load connections}}{{required=true}}"
        )?;
        // Without a daemon the settings are shown with an empty list, which can be loaded again.
        if let Ok(mut client) = connect(socket) {
            connections(out, &mut client)?;
        }
    }
    Ok(())
}

/// Prints the newest connections as values of the setting.
fn connections(out: &mut impl Write, client: &mut Client) -> Result<(), Failure> {
    let params = SocketsParams {
        sort: Some(Sort::Opened),
        limit: Some(LISTED),
        ..SocketsParams::default()
    };
    for socket in client.sockets(&params)?.sockets {
        let state = if socket.closed.is_some() {
            ", closed"
        } else {
            ""
        };
        writeln!(
            out,
            "value {{arg=2}}{{value={}}}{{display={} -> {}{state}}}",
            socket.sockid, socket.client, socket.server
        )?;
    }
    Ok(())
}

/// Prints the error of a wrong filter. No output means that it is valid.
fn check_filter(
    out: &mut impl Write,
    interface: Interface,
    filter: &str,
    socket: &Path,
) -> Result<(), Failure> {
    if interface == Interface::One && !filter.is_empty() {
        writeln!(out, "this interface has one connection and takes no filter")?;
        return Ok(());
    }
    // Wireshark doesn't name the socket here. If the daemon doesn't answer, the capture reports it.
    let Ok(mut client) = connect(socket) else {
        return Ok(());
    };
    let params = SocketsParams {
        filter: Some(filter.to_owned()),
        limit: Some(1),
        ..SocketsParams::default()
    };
    match client.sockets(&params) {
        // Wireshark shows one line; the others mark the place.
        Err(Error::Rpc(error)) => {
            let line = error.message.lines().next().unwrap_or_default();
            Ok(writeln!(out, "{line}")?)
        }
        _ => Ok(()),
    }
}

/// Writes connections to Wireshark's pipe until it closes that.
fn capture(interface: Interface, options: &Options) -> Result<(), Failure> {
    let Some(fifo) = &options.fifo else {
        return Err(Failure::Usage("--capture needs --fifo with a pipe"));
    };
    let selection = match (interface, options.sockid) {
        (Interface::All, _) => {
            Selection::Filter(options.extcap_capture_filter.clone().unwrap_or_default())
        }
        (Interface::One, Some(sockid)) => Selection::Sockids(vec![sockid]),
        (Interface::One, None) => {
            return Err(Failure::Usage(
                "choose a connection in the settings of the interface",
            ));
        }
    };
    let mut client = connect(&options.socket)?;
    export::live_into(&mut client, selection, options.keylog.clone(), fifo)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(args: &[&str]) -> String {
        let args = std::iter::once(NAME).chain(args.iter().copied());
        let options = Options::try_parse_from(args).unwrap();
        let mut out = Vec::new();
        answer(&mut out, &options).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_options_are_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn interfaces_and_settings_need_no_daemon() {
        let interfaces = answer_to(&["--extcap-interfaces", "--extcap-version=4.0"]);
        assert_eq!(interfaces.lines().count(), 3);
        assert!(interfaces.contains("interface {value=monitord-connection}"));
        for (name, settings) in [("monitord", 2), ("monitord-connection", 3)] {
            let dlts = answer_to(&["--extcap-interface", name, "--extcap-dlts"]);
            assert!(dlts.starts_with("dlt {number=101}"), "{dlts}");
            let args = ["--extcap-interface", name, "--extcap-config"];
            let shown = answer_to(&[&args[..], &["--socket", "/nonexistent"]].concat());
            assert_eq!(shown.lines().count(), settings, "{shown}");
        }
        let filter = ["--extcap-capture-filter", "port 80"];
        let one = ["--extcap-interface", "monitord-connection"];
        assert!(answer_to(&[one, filter].concat()).contains("takes no filter"));
    }
}
