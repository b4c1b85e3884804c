//! The demonstration itself, from inside its namespaces.

use std::fs::{self, File};
use std::io::{IsTerminal, stdout};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::build::Programs;
use crate::command::read;

/// Time limit of each step; on an idle machine it takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// Slow enough for the connection to stay open while it is looked at.
const RATE: &str = "50k";

const LOG: &str = "/run/monitord.log";
const CONFIG: &str = "\
[capture]
interfaces = [\"server\"]
workers = 1
[store]
memory = \"64MiB\"
";

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
        "A server (10.77.0.1) and a client (10.77.0.2) at the two ends of a virtual cable",
    );
    let client = network()?;
    let _server = serve()?;

    act(2, "monitord watches the server's end of the cable");
    let mut daemon = start_daemon(programs)?;

    let result = conversation(programs, &client);
    if result.is_err() {
        show_log(&mut daemon);
    }
    result
}

fn conversation(programs: &Programs, client: &Namespace) -> Result<()> {
    act(
        3,
        "The client downloads a long text, slowly, so that there is a live connection to look at",
    );
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
    let sockid = wait_for("the connection to carry a request and a response", || {
        connection(programs)
    })?;
    let ctl = |arguments: &[&str]| monitorctl(programs, arguments);

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
    ctl(&["ppeek", &sockid, "client", "20000", "48", "--hex"])?;

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

/// The client's namespace: held by a process that sleeps in it.
struct Namespace {
    holder: u32,
}

impl Namespace {
    fn new() -> Result<Self> {
        let holder = Command::new("unshare")
            .args(["--net", "sleep", "infinity"])
            .spawn()
            .context("cannot start unshare")?;
        let namespace = Self {
            holder: holder.id(),
        };
        let own = fs::read_link("/proc/self/ns/net")?;
        wait_for("the client's network namespace", || {
            Ok(fs::read_link(namespace.path())
                .is_ok_and(|path| path != own)
                .then_some(()))
        })?;
        Ok(namespace)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg(program);
        command
    }
}

/// This namespace becomes the server's.
fn network() -> Result<Namespace> {
    // The interfaces of this namespace, not of the one that it was made in; room for sockets and files.
    quiet("mount", &["-t", "sysfs", "sysfs", "/sys"])?;
    quiet("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
    let client = Namespace::new()?;
    let holder = client.holder.to_string();
    shown("ip link add server type veth peer name client");
    quiet(
        "ip",
        &[
            "link", "add", "server", "type", "veth", "peer", "name", "client", "netns", &holder,
        ],
    )?;
    quiet("ip", &["address", "add", "10.77.0.1/24", "dev", "server"])?;
    read(
        client
            .command("ip")
            .args(["address", "add", "10.77.0.2/24", "dev", "client"]),
    )?;
    for link in ["lo", "server"] {
        quiet("ip", &["link", "set", link, "up"])?;
    }
    read(client.command("ip").args(["link", "set", "client", "up"]))?;
    Ok(client)
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

fn start_daemon(programs: &Programs) -> Result<Child> {
    let config = "/run/config.toml";
    fs::write(config, CONFIG)?;
    for line in CONFIG.lines() {
        println!("      {line}");
    }
    shown("monitord --config config.toml &");
    let log = File::create(LOG)?;
    let mut daemon = Command::new(&programs.monitord)
        .args(["--config", config])
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start monitord")?;
    let ready = wait_for("monitord", || {
        if let Some(status) = daemon.try_wait()? {
            bail!("monitord ended: {status}");
        }
        is_capturing(programs)
    });
    if ready.is_err() {
        show_log(&mut daemon);
    }
    ready.map(|()| daemon)
}

/// Asks the daemon. A client that connects during its start waits in the socket's queue; the answer
/// comes when the interface is attached.
fn is_capturing(programs: &Programs) -> Result<Option<()>> {
    let Ok(stats) = read(Command::new(&programs.monitorctl).args(["--json", "stats"])) else {
        return Ok(None);
    };
    let stats: Value = serde_json::from_str(&stats).context("monitorctl printed no JSON")?;
    Ok((stats["capture"]["interfaces"][0]["up"] == true).then_some(()))
}

/// The sockid of the connection, once there is something to see in both directions.
fn connection(programs: &Programs) -> Result<Option<String>> {
    let listed =
        read(Command::new(&programs.monitorctl).args(["--json", "sockets", "--port", "80"]))?;
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

fn monitorctl(programs: &Programs, arguments: &[&str]) -> Result<()> {
    shown(&format!("monitorctl {}", arguments.join(" ")));
    let printed = read(Command::new(&programs.monitorctl).args(arguments))?;
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

/// Asks again and again until there is an answer.
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {} s in vain for {what}", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(20));
    }
}

fn quiet(program: &str, arguments: &[&str]) -> Result<()> {
    read(Command::new(program).args(arguments)).map(|_| ())
}

fn act(number: u32, title: &str) {
    println!("\n{}", bold(&format!("{number}. {title}")));
}

fn shown(command: &str) {
    println!("    $ {command}");
}

fn bold(text: &str) -> String {
    if stdout().is_terminal() {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_string()
    }
}
