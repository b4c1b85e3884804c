//! The demonstration itself, from inside its namespaces.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::network::{self, Namespace};
use super::show::{act, bold, shown, wait_for};
use crate::build::Programs;
use crate::command::read;

/// Slow enough for the connection to stay open while it is looked at.
const RATE: &str = "50k";

const LOG: &str = "/run/monitord.log";
/// Both daemons listen in directories of their own.
const TAP: Settings = Settings {
    file: "/run/config.toml",
    socket: None,
    text: "\
[capture]
interfaces = [\"server\"]
workers = 1
[store]
memory = \"64MiB\"
",
};
const MIRROR: Settings = Settings {
    file: "/run/mirror.toml",
    socket: Some("/run/mirror.sock"),
    text: "\
[capture]
mode = \"mirror\"
interfaces = [\"port\"]
workers = 1
[tcp]
verify_checksums = \"never\"  # A virtual cable leaves them unfinished.
[store]
memory = \"64MiB\"
[rpc]
socket = \"/run/mirror.sock\"
",
};

/// Configuration of a daemon.
struct Settings {
    file: &'static str,
    /// `None`: the default.
    socket: Option<&'static str>,
    text: &'static str,
}

/// Runs the acts in order. Processes need no wait at the end: the namespace ends them.
pub fn play(programs: &Programs) -> Result<()> {
    println!(
        "{}",
        bold(
            "monitord at work: a web server, a client, and their connection read while it is open."
        )
    );
    println!("All of this is in network namespaces of its own; your network is not touched.");

    act(
        1,
        "A server (10.77.0.1) and a client (10.77.0.2), connected by a virtual hub",
    );
    let (client, has_mirror) = network::create()?;
    let _server = serve()?;

    act(2, "monitord taps the server's own packets");
    let mut daemon = start_daemon(programs, &TAP)?;

    let mut result = conversation(programs, &client);
    if has_mirror && result.is_ok() {
        result = mirror(programs, &client);
    }
    if result.is_err() {
        show_log(&mut daemon);
    }
    result?;

    println!();
    println!(
        "{}",
        bold(
            "That was it. Everything the demonstration made is gone now. Next, on this host's own traffic:"
        )
    );
    println!("    cargo xtask build-and-load");
    Ok(())
}

/// Shows mirror mode: the hub copies the packets of server and client to a third port.
fn mirror(programs: &Programs, client: &Namespace) -> Result<()> {
    act(
        8,
        "A second monitord sees the same traffic at a mirror port: the third port of the hub",
    );
    let mut daemon = start_daemon(programs, &MIRROR)?;
    let result = second_conversation(programs, client);
    if result.is_err() {
        show_log(&mut daemon);
    }
    result
}

fn second_conversation(programs: &Programs, client: &Namespace) -> Result<()> {
    download(client)?;
    let sockid = wait_for("the mirror port to carry a request and a response", || {
        connection(programs, &MIRROR)
    })?;
    let ctl = |arguments: &[&str]| monitorctl(programs, &MIRROR, arguments);
    ctl(&["sockets"])?;
    ctl(&["ppeek", &sockid, "server", "0", "--text"])?;
    let capture = stats(programs, &MIRROR)?.context("the second monitord does not answer")?;
    let word = |key: &str| capture[key].as_str().unwrap_or("none").to_owned();
    println!();
    println!(
        "      (path {}, XDP {}: the packets of the port go to the monitor only)",
        word("path"),
        word("xdp")
    );
    Ok(())
}

/// Starts a slow download.
fn download(client: &Namespace) -> Result<()> {
    let mut download = client.command("curl");
    download.args([
        "--silent",
        "--output",
        "/dev/null",
        "--limit-rate",
        RATE,
        "http://10.77.0.1/counting.txt",
    ]);
    shown(&format!(
        "curl --limit-rate {RATE} http://10.77.0.1/counting.txt &"
    ));
    download.spawn().context("cannot start curl")?;
    Ok(())
}

fn conversation(programs: &Programs, client: &Namespace) -> Result<()> {
    act(
        3,
        "The client downloads a long text, slowly, so that there is a live connection to look at",
    );
    download(client)?;
    let sockid = wait_for("the connection to carry a request and a response", || {
        connection(programs, &TAP)
    })?;
    let ctl = |arguments: &[&str]| monitorctl(programs, &TAP, arguments);

    act(4, "Which connections are there?");
    ctl(&["sockets"])?;

    act(
        5,
        "What has the server received? The request, from its first byte on",
    );
    ctl(&["ppeek", &sockid, "server", "0", "--text"])?;

    act(
        6,
        "What has the client received? The first 320 bytes of the response",
    );
    ctl(&["ppeek", &sockid, "client", "0", "320", "--hex"])?;

    act(
        7,
        "Any offset can be read, in any order: 48 bytes from the middle",
    );
    ctl(&["ppeek", &sockid, "client", "20000", "48", "--hex"])
}

fn serve() -> Result<Child> {
    fs::create_dir("/run/www")?;
    let text: String = (1..=100_000)
        .map(|number| format!("This is line {number} of a long text.\n"))
        .collect();
    fs::write("/run/www/counting.txt", text)?;
    shown("python3 -m http.server 80 &");
    let child = Command::new("python3")
        .args([
            "-m",
            "http.server",
            "--bind",
            "10.77.0.1",
            "--directory",
            "/run/www",
            "80",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start python3")?;
    wait_for("the web server", || {
        Ok(std::net::TcpStream::connect(("10.77.0.1", 80))
            .is_ok()
            .then_some(()))
    })?;
    Ok(child)
}

fn start_daemon(programs: &Programs, settings: &Settings) -> Result<Child> {
    fs::write(settings.file, settings.text)?;
    for line in settings.text.lines() {
        println!("      {line}");
    }
    shown("monitord --config config.toml &");
    let log = File::create(LOG)?;
    let mut daemon = Command::new(&programs.monitord)
        .args(["--config", settings.file])
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start monitord")?;
    let ready = wait_for("monitord", || {
        if let Some(status) = daemon.try_wait()? {
            bail!("monitord ended: {status}");
        }
        let capture = stats(programs, settings)?;
        Ok(capture
            .filter(|capture| capture["interfaces"][0]["up"] == true)
            .map(drop))
    });
    if ready.is_err() {
        show_log(&mut daemon);
    }
    ready.map(|()| daemon)
}

/// Returns what the daemon reports of its capture. A client that connects during its start waits in the socket's queue;
/// the answer comes when the interface is attached.
fn stats(programs: &Programs, settings: &Settings) -> Result<Option<Value>> {
    let Ok(stats) = read(client(programs, settings).args(["--json", "stats"])) else {
        return Ok(None);
    };
    let mut stats: Value = serde_json::from_str(&stats).context("monitorctl printed no JSON")?;
    Ok(Some(stats["capture"].take()))
}

/// Returns monitorctl for the socket of a daemon.
fn client(programs: &Programs, settings: &Settings) -> Command {
    let mut command = Command::new(&programs.monitorctl);
    if let Some(socket) = settings.socket {
        command.args(["--socket", socket]);
    }
    command
}

/// The sockid of the connection, once there is something to see in both directions.
fn connection(programs: &Programs, settings: &Settings) -> Result<Option<String>> {
    let listed = read(client(programs, settings).args(["--json", "sockets", "--port", "80"]))?;
    let listed: Value = serde_json::from_str(&listed).context("monitorctl printed no JSON")?;
    let sockets = listed["sockets"]
        .as_array()
        .context("monitorctl printed no list")?;
    let end = |socket: &Value, side: &str| socket["sides"][side]["end"].as_u64().unwrap_or(0);
    let live = |socket: &&Value| end(socket, "server") > 0 && end(socket, "client") > 30_000;
    Ok(sockets
        .iter()
        .find(live)
        .map(|socket| socket["sockid"].to_string()))
}

fn monitorctl(programs: &Programs, settings: &Settings, arguments: &[&str]) -> Result<()> {
    let mut command = client(programs, settings);
    command.args(arguments);
    let words: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy())
        .collect();
    shown(&format!("monitorctl {}", words.join(" ")));
    let printed = read(&mut command)?;
    for line in printed.lines() {
        println!("      {line}");
    }
    Ok(())
}

/// Prints the log of monitord, which explains most failures.
fn show_log(daemon: &mut Child) {
    let ended = daemon
        .try_wait()
        .ok()
        .flatten()
        .map_or_else(|| "runs".to_string(), |status| status.to_string());
    eprintln!("monitord ({ended}) said:");
    eprintln!(
        "{}",
        fs::read_to_string(LOG).unwrap_or_else(|error| error.to_string())
    );
}
