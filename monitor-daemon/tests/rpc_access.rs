//! Permissions by the user and the groups at the other end of the socket.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod rpc_common;

use std::io::Write;

use monitor_daemon::config::{Principal, Rpc};
use monitor_daemon::rpc::{ListenError, ServerSocket};
use monitor_rpc::{Method, Role};
use monitor_tests::{as_user, open_to_all, skip};
use rpc_common::world::world;
use rpc_common::{Server, Wire, status};
use serde_json::json;

/// Users and groups that no system has.
const READER: u32 = 4_000_001;
const STRANGER: u32 = 4_000_002;
const ADMIN: u32 = 4_000_003;
const READERS: u32 = 4_000_010;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn served(readers: &[Principal]) -> Server {
    let (engines, _) = world();
    let server = Server::start_with(status(&engines), |settings| {
        settings.mode = 0o666;
        settings.readers = readers.to_vec();
        settings.admins = vec![Principal::Uid(ADMIN)];
    });
    open_to_all(&server.socket);
    server
}

/// Returns the methods that the client may call, even if the parameters are then refused.
fn allowed(wire: &mut Wire) -> Vec<Method> {
    let allowed = Method::ALL.iter().filter(|method| {
        let reply = wire.ask(method.name(), json!({ "no such parameter": 1 }));
        match reply["error"]["code"].as_i64() {
            Some(1) => {
                assert_eq!(
                    reply["error"]["data"],
                    json!({ "errno": "EPERM", "reason": "permission" })
                );
                let message = reply["error"]["message"].as_str().unwrap();
                let setting = if method.role() == Role::Admin {
                    "[rpc] admins"
                } else {
                    "[rpc] readers"
                };
                assert!(
                    message.contains(setting) && message.contains("uid 40000"),
                    "{message}"
                );
                false
            }
            code => {
                assert_eq!(code, Some(-32602), "{reply}");
                true
            }
        }
    });
    allowed.copied().collect()
}

fn up_to(role: Role) -> Vec<Method> {
    Method::ALL
        .iter()
        .copied()
        .filter(|method| method.role() <= role)
        .collect()
}

#[test]
fn each_user_may_call_the_methods_of_its_role() {
    if !is_root() {
        skip!("needs root, to be other users");
    }
    let server = served(&[Principal::Uid(READER), Principal::Gid(READERS)]);
    let as_who = |uid, groups: &[u32]| as_user(uid, groups, || allowed(&mut server.wire()));
    assert_eq!(as_who(STRANGER, &[]), up_to(Role::Anybody));
    assert_eq!(
        as_who(STRANGER, &[7, READER]),
        up_to(Role::Anybody),
        "a user's number is no group's"
    );
    assert_eq!(as_who(READER, &[]), up_to(Role::Reader));
    assert_eq!(as_who(ADMIN, &[]), up_to(Role::Admin));
    // More groups than most have, so that the kernel has to be asked twice.
    let many: Vec<u32> = (READERS - 100..=READERS).collect();
    assert_eq!(as_who(STRANGER, &many), up_to(Role::Reader));
    assert_eq!(
        allowed(&mut server.wire()),
        up_to(Role::Admin),
        "the daemon's own user"
    );
}

#[test]
fn without_readers_all_may_read_and_only_admins_change() {
    if !is_root() {
        skip!("needs root, to be other users");
    }
    let server = served(&[]);
    assert_eq!(
        as_user(STRANGER, &[], || allowed(&mut server.wire())),
        up_to(Role::Reader)
    );
}

#[test]
fn rights_are_those_of_the_connecting_process() {
    if !is_root() {
        skip!("needs root, to be other users");
    }
    let server = served(&[Principal::Uid(READER)]);
    let mut of_reader = as_user(READER, &[], || server.wire());
    assert_eq!(
        allowed(&mut of_reader),
        up_to(Role::Reader),
        "whoever holds its descriptor now"
    );
    // Notifications are refused without a word, and batches member by member.
    as_user(STRANGER, &[], || {
        let mut wire = server.wire();
        wire.send_line(r#"[{"jsonrpc":"2.0","id":1,"method":"stats"},{"jsonrpc":"2.0","id":2,"method":"hello"},{"jsonrpc":"2.0","method":"stats"}]"#);
        let replies = wire.reply();
        assert_eq!(replies.as_array().unwrap().len(), 2, "{replies}");
        assert_eq!(
            (
                &replies[0]["error"]["code"],
                &replies[1]["result"]["version"]
            ),
            (&json!(1), &json!(1))
        );
    });
}

#[test]
fn an_unknown_name_keeps_the_daemon_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Rpc {
        socket: directory.path().join("s"),
        admins: vec![Principal::Group("nobody-has-this-name".to_owned())],
        ..Rpc::default()
    };
    let error = ServerSocket::bind(settings).unwrap_err();
    assert!(matches!(error, ListenError::Access(_)));
    let message = error.to_string();
    assert!(
        message.starts_with("[rpc] admins: there is no group \"nobody-has-this-name\""),
        "{message}"
    );
    assert!(!directory.path().join("s").exists());
}

#[test]
fn one_user_cannot_use_up_all_clients() {
    if !is_root() {
        skip!("needs root, to be other users");
    }
    let (engines, _) = world();
    let server = Server::start_with(status(&engines), |settings| {
        settings.mode = 0o666;
    });
    open_to_all(&server.socket);
    let mut held: Vec<Wire> = as_user(READER, &[], || (0..512).map(|_| server.wire()).collect());
    held.iter_mut()
        .for_each(|wire| drop(wire.result("hello", json!({}))));
    let mut refused = as_user(READER, &[], || server.wire());
    let error = refused.reply()["error"].clone();
    assert_eq!(
        error["data"],
        json!({ "errno": "EAGAIN", "reason": "user_clients" })
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("512 clients of uid"),
        "{error}"
    );
    assert!(refused.at_end());
    let mut other = as_user(STRANGER, &[], || server.wire());
    assert_eq!(other.result("stats", json!({}))["rpc"]["refused"], 1);
    drop(held);
    monitor_tests::until("room again for that user", || {
        let mut wire = as_user(READER, &[], || server.wire());
        let asked = wire
            .stream
            .get_mut()
            .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\"}\n");
        let reply = asked.ok().and_then(|()| wire.line());
        reply.filter(|reply| reply.contains("result")).map(drop)
    });
}

#[test]
fn a_batch_holds_at_most_2048_requests() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    let request = "1";
    let most = vec![request; 2048].join(",");
    wire.send_line(&format!("[{most}]"));
    assert_eq!(wire.reply().as_array().unwrap().len(), 2048);
    wire.send_line(&format!("[{most},{request}]"));
    let error = wire.reply()["error"].clone();
    assert_eq!(error["code"], -32600);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("at most 2048 requests"),
        "{error}"
    );
    wire.result("hello", json!({}));
}
