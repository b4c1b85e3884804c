//! The verb `save`: streams to files.

mod side;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use monitor_client::types::{CloseReason, Socket, SocketsParams};
use monitor_client::{Client, Code, Error, Side};
use serde::Serialize;

use crate::context::{Context, report};
use crate::failure::Failure;
use crate::pages;
use crate::show::socket::direction;
use crate::show::units::size;
use side::Saved;

/// Saved connections, and the directory.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("target").required(true)))]
pub struct Args {
    /// Connections, as listed by `sockets`
    #[arg(value_name = "SOCKID", group = "target")]
    sockids: Vec<u64>,
    /// Connections that match this filter, in the language of tcpdump
    #[arg(long, value_name = "FILTER", group = "target")]
    filter: Option<String>,
    /// Every connection
    #[arg(long, group = "target")]
    all: bool,
    /// Only this side
    #[arg(long)]
    side: Option<Side>,
    /// Directory, created if it doesn't exist. Files are never overwritten
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Content of SOCKID.json.
#[derive(Debug, Serialize)]
struct Sidecar<'a> {
    sockid: u64,
    client: String,
    server: String,
    vlan: &'a [u16],
    opened: f64,
    last: f64,
    closed: Option<CloseReason>,
    midstream: bool,
    sides: Sides,
}

#[derive(Debug, Default, Serialize)]
struct Sides {
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Saved>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Saved>,
}

pub fn save<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let sockets = choose(&mut context.client, args)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&args.dir)
        .map_err(|source| Failure::file("create the directory", &args.dir, source))?;
    let sides = args
        .side
        .map_or_else(|| Side::BOTH.to_vec(), |side| vec![side]);
    let retained = sockets
        .iter()
        .flat_map(|socket| sides.iter().map(|&side| socket.sides.get(side).retained));
    let bar = bar(retained.sum());
    for socket in &sockets {
        bar.set_message(format!("{} -> {}", socket.client, socket.server));
        match connection(&mut context.client, socket, &sides, &args.dir, &bar) {
            Ok(sidecar) if context.json => context.json(&sidecar)?,
            Ok(sidecar) => bar.suspend(|| {
                line(&mut context.out, socket, &sidecar.sides)?;
                context.out.flush()
            })?,
            // Evicted after the listing. A connection that was named explicitly must exist.
            Err(Failure::Client(Error::Rpc(error)))
                if args.sockids.is_empty() && error.known_code() == Some(Code::BadSocket) =>
            {
                bar.suspend(|| report(&format_args!("{}: {error}", socket.sockid)));
            }
            Err(failure) => return Err(failure),
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn choose(client: &mut Client, args: &Args) -> Result<Vec<Socket>, Failure> {
    if !args.sockids.is_empty() {
        return args
            .sockids
            .iter()
            .map(|&sockid| Ok(client.info(sockid)?))
            .collect();
    }
    let params = SocketsParams {
        filter: args.filter.clone(),
        ..SocketsParams::default()
    };
    pages::all(client, params)
}

/// Returns a progress bar on standard error, hidden unless that is a terminal.
fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let template =
        "{bar:30} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn connection<'a>(
    client: &mut Client,
    socket: &'a Socket,
    sides: &[Side],
    dir: &Path,
    bar: &ProgressBar,
) -> Result<Sidecar<'a>, Failure> {
    let mut saved = Sides::default();
    for &side in sides {
        let name = format!("{}-{side}.bin", socket.sockid);
        let (file, path) = create(dir, &name)?;
        let mut file = BufWriter::new(file);
        let mut written = |bytes: &[u8]| {
            bar.inc(bytes.len() as u64);
            file.write_all(bytes)
                .map_err(|source| Failure::file("write", &path, source))
        };
        let mut copied = side::copy(client, socket, side, &mut written)?;
        file.flush()
            .map_err(|source| Failure::file("write", &path, source))?;
        copied.file = name;
        match side {
            Side::Client => saved.client = Some(copied),
            Side::Server => saved.server = Some(copied),
        }
    }
    let sidecar = Sidecar {
        sockid: socket.sockid,
        client: socket.client.to_string(),
        server: socket.server.to_string(),
        vlan: &socket.vlan,
        opened: socket.opened,
        last: socket.last,
        closed: socket.closed,
        midstream: socket.midstream,
        sides: saved,
    };
    let (mut file, path) = create(dir, &format!("{}.json", socket.sockid))?;
    let mut text = serde_json::to_vec_pretty(&sidecar)?;
    text.push(b'\n');
    file.write_all(&text)
        .map_err(|source| Failure::file("write", &path, source))?;
    Ok(sidecar)
}

/// Creates a file and never overwrites one: after a restart of the daemon, the same sockid names another connection.
/// Streams may hold secrets: only the user can read the file.
fn create(dir: &Path, name: &str) -> Result<(File, PathBuf), Failure> {
    let path = dir.join(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(&path) {
        Ok(file) => Ok((file, path)),
        Err(source) => Err(Failure::file("create", &path, source)),
    }
}

fn line(out: &mut impl Write, socket: &Socket, sides: &Sides) -> std::io::Result<()> {
    write!(out, "{}  ", socket.sockid)?;
    write!(
        out,
        "{}",
        direction(
            &socket.client.to_string(),
            &socket.server.to_string(),
            Side::Server
        )
    )?;
    for (side, saved) in [(Side::Server, &sides.server), (Side::Client, &sides.client)] {
        if let Some(saved) = saved {
            write!(out, "  {side} {}", size(saved.bytes))?;
            let missing: u64 = saved.gaps.iter().map(|gap| gap.len).sum();
            if missing > 0 {
                write!(out, " ({} missing)", size(missing))?;
            }
        }
    }
    writeln!(out)
}
