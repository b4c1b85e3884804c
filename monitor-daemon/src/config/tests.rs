use std::fmt::Write as _;

use monitor_engine::{OverlapPolicy, Prefix, VerifyChecksums};

use super::*;

fn refused(text: &str) -> String {
    Config::parse(text, "test.toml")
        .expect_err("must be refused")
        .to_string()
}

fn repository_file() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config.toml")).unwrap()
}

#[test]
fn the_documented_file_says_the_defaults() {
    assert_eq!(
        Config::parse(&repository_file(), "config.toml").unwrap(),
        Config::default()
    );
}

#[test]
fn the_documented_file_names_every_key_under_a_comment() {
    let file = repository_file();
    let mut keys = String::new();
    for (section, table) in toml::Table::try_from(Config::default()).unwrap() {
        for key in table.as_table().unwrap().keys() {
            writeln!(keys, "[{section}] {key}").unwrap();
        }
    }
    let (mut section, mut documented, mut previous) = (String::new(), String::new(), "");
    for line in file.lines() {
        if line.starts_with('[') {
            section = line.to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(previous.starts_with('#'), "{section} {key} has no comment");
            writeln!(documented, "{section} {key}").unwrap();
        }
        previous = line;
    }
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&documented), sorted(&keys));
}

#[test]
fn written_values_are_read_back() {
    let text = "[capture]\nmode = 'mirror'\ninterfaces = ['eth0', 'eth1']\nworkers = 4\nnap = 'off'\n\
                [filter]\nports = [80]\nnetworks = ['10.0.0.0/8', '::1']\n\
                [tcp]\noverlap = 'bsd'\nlinger = 'off'\nidle_timeout = '1h 30m'\n\
                [store]\nmemory = 1_000_000\nwindow = '64KiB'\n[rpc]\nmode = '0600'\n";
    let config = Config::parse(text, "test.toml").unwrap();
    assert_eq!(config.capture.mode, Mode::Mirror);
    assert_eq!(config.capture.nap, None);
    assert_eq!(
        config.filter.networks[1],
        "::1/128".parse::<IpNet>().unwrap()
    );
    assert_eq!(config.tcp.idle_timeout, Some(Duration::from_secs(5400)));
    assert_eq!(
        (config.store.memory, config.store.window),
        (1_000_000, 65536)
    );
    assert_eq!(config.rpc.mode, 0o600);
    let written = toml::to_string(&config).unwrap();
    assert_eq!(
        Config::parse(&written, "written").unwrap(),
        config,
        "{written}"
    );
}

#[test]
fn the_example_of_a_policy_works() {
    let file = repository_file();
    let example = file
        .split("# [[tcp.policy]]")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let text = format!("[[tcp.policy]]{}", example.replace("\n# ", "\n"));
    let config = Config::parse(&text, "config.toml").unwrap();
    assert_eq!(config.tcp.policy.len(), 1);
    assert_eq!(config.tcp.policy[0].networks.len(), 2);
    assert_eq!(config.tcp.policy[0].overlap, Overlap::Bsd);
}

#[test]
fn policies_reach_the_engine_in_their_order() {
    let text = "[tcp]\noverlap = 'last'\n[[tcp.policy]]\nnetworks = ['10.1.2.3/8']\noverlap = 'bsd'\n\
                [[tcp.policy]]\nnetworks = ['10.1.2.3', '::/0']\noverlap = 'first'\n";
    let config = Config::parse(text, "test.toml").unwrap();
    let written = toml::to_string(&config).unwrap();
    assert_eq!(
        Config::parse(&written, "written").unwrap(),
        config,
        "{written}"
    );
    let tcp = config.engine(Origin::Live, 0, 1, [0; 2]).tcp;
    assert_eq!(tcp.overlap, OverlapPolicy::Last);
    let policies: Vec<_> = tcp
        .policies
        .iter()
        .map(|policy| {
            (
                policy.overlap,
                policy.networks.iter().map(Prefix::bits).collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(
        policies,
        [
            (OverlapPolicy::Bsd, vec![104]),
            (OverlapPolicy::First, vec![128, 0])
        ]
    );
}

#[test]
fn a_policy_needs_networks_and_an_overlap_policy() {
    let message = refused("[[tcp.policy]]\noverlap = 'bsd'\n");
    assert!(message.contains("networks"), "{message}");
    let message = refused("[[tcp.policy]]\nnetworks = ['::/0']\n");
    assert!(message.contains("overlap"), "{message}");
    assert_eq!(
        refused("[[tcp.policy]]\nnetwork = ['::/0']\noverlap = 'bsd'\n"),
        "test.toml, line 2: unknown key \"network\" in [[tcp.policy]]; did you mean \"networks\"?"
    );
}

#[test]
fn unknown_keys_are_named_with_their_nearest() {
    assert_eq!(
        refused("[store]\n\nmemry = '1GiB'\n"),
        "test.toml, line 3: unknown key \"memry\" in [store]; did you mean \"memory\"?"
    );
    assert_eq!(
        refused("[stor]\nmemory = '1GiB'\n"),
        "test.toml, line 1: unknown key \"stor\"; did you mean \"store\"?"
    );
    let message = refused("[rpc]\nxyz = 1\n");
    assert_eq!(
        message,
        "test.toml, line 2: unknown key \"xyz\" in [rpc]; known are admins, attach, group, memory, mode, readers, socket"
    );
}

#[test]
fn values_of_the_wrong_kind_name_their_key() {
    for (text, place, hint) in [
        ("[store]\nmemory = 'much'\n", "[store] memory: ", "512MiB"),
        ("[store]\nmemory = -1\n", "[store] memory: ", "512MiB"),
        ("[tcp]\nlinger = '60'\n", "[tcp] linger: ", "\"off\""),
        ("[tcp]\nlinger = 60\n", "[tcp] linger: ", "\"60s\""),
        (
            "[filter]\nnetworks = ['10.0.0.0/33']\n",
            "[filter] networks: ",
            "10.0.0.0/8",
        ),
        ("[filter]\nports = [65536]\n", "[filter] ports: ", "65536"),
        ("[rpc]\nmode = '0888'\n", "[rpc] mode: ", "0660"),
        (
            "[[tcp.policy]]\nnetworks = ['10/8']\noverlap = 'bsd'\n",
            "[[tcp.policy]] networks: ",
            "10.0.0.0/8",
        ),
        ("[capture]\nmode = 'sniff'\n", "[capture] mode: ", "mirror"),
        ("[capture]\nworkers = 'two'\n", "[capture] workers: ", "u16"),
    ] {
        let message = refused(text);
        assert!(
            message.contains("line 2") && message.contains(place),
            "{message}"
        );
        assert!(message.contains(hint), "{message}");
    }
}

#[test]
fn values_out_of_range_name_their_key() {
    for (text, key) in [
        ("[capture]\nworkers = 65\n", "[capture] workers"),
        ("[capture]\ninterfaces = []\n", "[capture] interfaces"),
        ("[capture]\ninterfaces = ['lo', 'lo']\n", "twice"),
        ("[capture]\ninterfaces = ['a/b']\n", "a/b"),
        ("[capture]\nmode = 'mirror'\n", "use mode \"tap\""),
        ("[capture]\nbuffers = '4KiB'\n", "[capture] buffers"),
        ("[capture]\nnap = '20ms'\n", "[capture] nap"),
        ("[capture]\nnice = -21\n", "[capture] nice"),
        ("[filter]\nports = [0]\n", "[filter] ports"),
        ("[store]\nwindow = 1\n", "[store] window"),
        (
            "[store]\nmemory = '8GiB'\nwindow = '4GiB'\n",
            "[store] window",
        ),
        (
            "[store]\nmemory = '1MiB'\nwindow = '2MiB'\n",
            "[store] memory",
        ),
        ("[tcp]\nidle_timeout = '1ms'\n", "[tcp] idle_timeout"),
        ("[tcp]\nlinger = '100years'\n", "[tcp] linger"),
        (
            "[[tcp.policy]]\nnetworks = []\noverlap = 'bsd'\n",
            "[[tcp.policy]] number 1",
        ),
        ("[rpc]\nsocket = ''\n", "[rpc] socket"),
        ("[log]\nlevel = 'a=b=c'\n", "[log] level"),
    ] {
        let message = refused(text);
        assert!(message.contains(key), "{text}: {message}");
    }
}

#[test]
fn a_file_that_was_named_must_exist() {
    let message = Config::find(Some(Path::new("/nonexistent/x.toml")))
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("cannot read the configuration /nonexistent/x.toml"),
        "{message}"
    );
}

#[test]
fn workers_are_bound_to_cores_in_mirror_mode() {
    let mut config = Config::default();
    assert!(!config.pins(Origin::Live));
    config.capture.mode = Mode::Mirror;
    assert!(config.pins(Origin::Live));
    assert!(!config.pins(Origin::Files));
    config.capture.pin = When::Never;
    assert!(!config.pins(Origin::Live));
}

#[test]
fn checksums_are_verified_where_they_mean_something() {
    let verified =
        |config: &Config, origin| config.engine(origin, 0, 1, [0; 2]).tcp.verify_checksums;
    let mut config = Config::default();
    assert_eq!(verified(&config, Origin::Live), VerifyChecksums::Reported);
    config.capture.mode = Mode::Mirror;
    assert_eq!(verified(&config, Origin::Live), VerifyChecksums::Always);
    assert_eq!(verified(&config, Origin::Files), VerifyChecksums::Never);
    config.tcp.verify_checksums = When::Always;
    assert_eq!(verified(&config, Origin::Files), VerifyChecksums::Always);
    config.tcp.verify_checksums = When::Never;
    assert_eq!(verified(&config, Origin::Live), VerifyChecksums::Never);
}

#[test]
fn workers_share_the_memory() {
    let engine = Config::default().engine(Origin::Live, 1, 4, [0; 2]);
    assert_eq!(
        (engine.worker, engine.workers, engine.memory),
        (1, 4, 128 << 20)
    );
}

#[test]
fn the_filter_reaches_the_engine() {
    let config = Config::parse(
        "[filter]\nports = [80]\nnetworks = ['10.1.2.3/8', '2001:db8::/32']\n",
        "t",
    )
    .unwrap();
    let filter = config.engine(Origin::Live, 0, 1, [0; 2]).filter;
    assert_eq!(filter.ports, [80]);
    let lengths: Vec<u8> = filter.networks.iter().map(Prefix::bits).collect();
    assert_eq!(
        lengths,
        [104, 32],
        "IPv4 lengths count from the front of ::ffff:0:0/96"
    );
    assert_eq!(
        filter.networks[0].address().octets(),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 0]
    );
}
