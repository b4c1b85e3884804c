//! The command line client beside real connections.

use std::process::Command;

use monitor_tests::wiregen::Random;
use monitor_tests::{Daemon, Network, Pair, Program, Transfer, exchange, monitorctl, needs, until};

#[test]
fn a_transfer_is_reported_saved_and_followed() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let bytes = Random::new(1).bytes(3 << 20);
    let settings =
        "[capture]\ninterfaces = ['veth']\n[store]\nwindow = '8MiB'\nmemory = '128MiB'\n";
    let daemon = Daemon::start(&a, settings);
    let ctl = |args: &[&str]| {
        let mut command = Command::new(monitorctl());
        command.arg("--socket").arg(daemon.socket()).args(args);
        command
    };
    let events = Program::start(&mut ctl(&[
        "events",
        "opened",
        "--filter",
        "port 7000",
        "-n",
        "1",
    ]));
    let mut rpc = daemon.rpc();
    until("the listener", || {
        (rpc.stat("rpc", "listeners") > 0).then_some(())
    });
    let transfers = [Transfer {
        request: &bytes[..1 << 20],
        response: &bytes,
    }];
    exchange(&a, &b, "10.9.0.1:7000".parse().unwrap(), &transfers);
    let sockid = rpc.complete(7000, 1)[0]["sockid"].as_u64().unwrap();
    assert!(
        events
            .finish()
            .text()
            .contains(&format!("  {sockid}  10.9.0.2:"))
    );

    let dir = tempfile::tempdir().unwrap();
    Program::run(ctl(&["save", "--filter", "port 7000", "--dir"]).arg(dir.path()));
    let saved =
        |side: &str| std::fs::read(dir.path().join(format!("{sockid}-{side}.bin"))).unwrap();
    assert!(
        saved("server") == bytes[..1 << 20] && saved("client") == bytes,
        "every byte is in its file"
    );
    let followed = Program::run(&mut ctl(&["follow", &sockid.to_string(), "client"]));
    assert!(followed.stdout == bytes, "every byte is followed");
    daemon.stop();
}
