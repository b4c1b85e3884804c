//! Tests of the drawn characters.

use std::time::{Duration, Instant};

use monitor_client::Counters;
use monitor_client::types::{Fins, SideStats, Sides, Socket, States, Stats, TcpState, WorkerStats};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw;
use crate::top::model::Model;
use crate::top::sample::Sample;
use crate::top::view::{Sort, View};

fn counters(values: &[(&'static str, u64)]) -> Counters {
    let mut counters = Counters::default();
    for &(name, value) in values {
        counters.add(name, value);
    }
    counters
}

fn socket(number: u64, received: u64) -> Socket {
    let side = |end| SideStats {
        next: end,
        end,
        retained: end / 2,
        enabled: true,
        ..SideStats::default()
    };
    Socket {
        sockid: 1_073_741_824 + number,
        client: format!("10.0.0.1:{}", 40_000 + number).parse().unwrap(),
        server: "10.0.0.2:80".parse().unwrap(),
        vlan: Vec::new(),
        tunnels: Vec::new(),
        interface: None,
        state: States {
            client: TcpState::Established,
            server: TcpState::Established,
        },
        opened: 1_700_000_000.0 + number as f64,
        last: 1_700_000_000.0,
        closed: None,
        reset: None,
        fins: Fins::default(),
        midstream: false,
        worker: 0,
        sides: Sides {
            client: side(received),
            server: side(100),
        },
        tls: None,
    }
}

/// Returns two samples of 30 connections, two seconds apart. Connection N received N * 2000 bytes in between.
fn samples() -> (Sample, Sample) {
    let start = Instant::now();
    let sample = |seconds: u64| {
        let worker = |worker| WorkerStats {
            worker,
            decode: counters(&[("packets", 500 * seconds), ("bytes", 125_000 * seconds)]),
            flows: counters(&[("active", 15)]),
            store: counters(&[("used", 1 << 20), ("budget", 4 << 20)]),
            ..WorkerStats::default()
        };
        let mut stats = Stats {
            flows: counters(&[("active", 30), ("lingering", 2), ("opened", 40 * seconds)]),
            tcp: counters(&[("gap_bytes", 2048)]),
            store: counters(&[("used", 2 << 20), ("budget", 8 << 20)]),
            workers: vec![worker(0), worker(1)],
            ..Stats::default()
        };
        stats.capture.mode = "tap".into();
        stats.capture.counters = counters(&[
            ("rx_packets", 1000 * seconds),
            ("rx_bytes", 250_000 * seconds),
            ("rx_dropped", seconds),
        ]);
        Sample {
            at: Some(start + Duration::from_secs(seconds)),
            time: 1_700_000_100.0 + seconds as f64,
            stats,
            sockets: (0..30)
                .map(|number| socket(number, 1000 * number * seconds))
                .collect(),
            cpu: vec![Some(0.5 * seconds as f64), None],
            is_cut: false,
        }
    };
    (sample(1), sample(3))
}

fn drawn(width: u16, height: u16, view: &mut View) -> Vec<String> {
    let (before, now) = samples();
    let mut model = Model::new(Some(&before), &now);
    view.sort.order(&mut model.rows, view.reverse);
    lines(width, height, &model, view)
}

fn lines(width: u16, height: u16, model: &Model, view: &mut View) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, view)).unwrap();
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(width.max(1)));
    lines
        .map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect())
        .collect()
}

#[cfg(feature = "fleet")]
#[test]
fn a_fleet_shows_its_hosts_and_the_names_of_connections() {
    let (before, now) = samples();
    let mut model = Model::of_fleet();
    for host in ["h1", "h2"] {
        let own = Model::new(Some(&before), &now);
        model.add(host, own, |sockid| format!("{host}/1a/{sockid}"));
    }
    model.silent = vec!["h3".to_owned()];
    model.invalid = vec!["h4".to_owned(), "h5".to_owned()];
    let mut view = view();
    view.sort.order(&mut model.rows, view.reverse);
    let lines = lines(170, 24, &model, &mut view);
    let first = "monitord fleet h1 h2  4.0 Mbit/s  2.0 k/s packets  by rate, every 1s  no answer: h3  other version: h4 h5";
    assert!(lines[0].starts_with(first), "{lines:#?}");
    assert!(
        lines[1].contains("connections 60 open, 4 closed"),
        "{lines:#?}"
    );
    assert!(
        lines[3].starts_with("h1/0      [||||||||||          ]"),
        "{lines:#?}"
    );
    assert!(lines[7].starts_with("NAME"), "{lines:#?}");
    assert!(lines[8].starts_with("h1/1a/1073741853"), "{lines:#?}");
    assert!(lines[9].starts_with("h2/1a/1073741853"), "{lines:#?}");
}

fn view() -> View {
    View::new(Sort::Rate, Duration::from_secs(1))
}

#[test]
fn a_wide_screen_shows_everything() {
    let lines = drawn(150, 24, &mut view());
    assert!(
        lines[0].starts_with("monitord tap   2.0 Mbit/s  1.0 k/s packets  by rate, every 1s"),
        "{lines:#?}"
    );
    assert!(
        lines[1].contains("connections 30 open, 2 closed, 40/s new   memory 2.0 MiB of 8.0 MiB"),
        "{lines:#?}"
    );
    assert!(
        lines[2].contains("lost 3 packets (1/s)   missing 2.0 KiB   unstored 0 B"),
        "{lines:#?}"
    );
    assert!(
        lines[3].starts_with("worker 0  [||||||||||          ]  50%"),
        "{lines:#?}"
    );
    assert!(
        lines[4].starts_with("worker 1  [                    ]   -"),
        "{lines:#?}"
    );
    assert!(
        lines[4].contains("500/s packets  15 connections  memory 25%"),
        "{lines:#?}"
    );
    for heading in [
        "SOCKID",
        "CLIENT",
        "SERVER",
        "STATE",
        "TO SERVER",
        "MEMORY",
        "HOLES",
        "OPENED",
        "LAST",
    ] {
        assert!(lines[5].contains(heading), "{heading}: {lines:#?}");
    }
    assert!(
        lines[6].contains("1073741853  10.0.0.1:40029  10.0.0.2:80  ESTABLISHED"),
        "the fastest: {lines:#?}"
    );
    assert!(lines[6].contains("232 kbit/s"), "{lines:#?}");
    assert!(lines[23].starts_with("q quit"), "{lines:#?}");
}

#[test]
fn the_view_sets_order_and_position() {
    let mut slowest = View {
        reverse: true,
        ..view()
    };
    assert!(drawn(80, 24, &mut slowest)[6].contains("10.0.0.1:40000"));
    let mut newest = View {
        first: 1000,
        ..View::new(Sort::Opened, Duration::from_secs(1))
    };
    let lines = drawn(80, 24, &mut newest);
    assert!(
        lines[22].contains("10.0.0.1:40000"),
        "the end of the list is at the end of the screen: {lines:#?}"
    );
    assert_eq!(newest.first, 30 - newest.page);
}

#[test]
fn narrow_screens_keep_ends_and_rates() {
    let lines = drawn(80, 24, &mut view());
    for (heading, shown) in [
        ("CLIENT", true),
        ("TO CLIENT", true),
        ("SOCKID", true),
        ("OPENED", false),
    ] {
        assert_eq!(lines[5].contains(heading), shown, "{heading}: {lines:#?}");
    }
    assert!(drawn(20, 24, &mut view())[5].starts_with("CLIENT"));
}

#[test]
fn any_window_size_can_be_drawn() {
    for width in 0..40 {
        for height in 0..15 {
            drawn(width, height, &mut view());
        }
    }
    let low = drawn(80, 5, &mut view());
    assert!(
        low[1].contains("CLIENT") && low[2].contains("10.0.0.1:40029"),
        "{low:#?}"
    );
}

#[test]
fn a_failure_replaces_the_list_of_keys() {
    let mut view = View {
        failure: Some("no daemon serves".to_owned()),
        ..view()
    };
    assert!(drawn(80, 24, &mut view)[23].starts_with("no daemon serves"));
}

#[test]
fn the_first_sample_has_no_rates() {
    let (_, now) = samples();
    let model = Model::new(None, &now);
    assert_eq!(
        (model.seconds, model.packets, model.rows[29].to_client),
        (0.0, 0.0, 0.0)
    );
    assert_eq!(model.workers[0].cpu, None);
}
