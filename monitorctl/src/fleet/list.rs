//! The commands `hosts` and `sockets`.

use monitor_client::Error;
use monitor_client::types::{Socket, Sockets, SocketsParams};
use monitor_records::community_id;
use monitor_relay::fleet::client::AskError;
use monitor_relay::fleet::subjects::ConnectionName;
use serde_json::{Value, json};

use super::session::{Session, report_host, report_silent, result};
use crate::context::report;
use crate::failure::Failure;
use crate::show::socket::{length, state};
use crate::show::table::{Align, Table};
use crate::show::units::ago;
use crate::sockets;

/// Connections in a page unless the request gives a limit.
const PAGE: u64 = 1000;

/// Connection with its name.
pub(super) struct Named {
    pub(super) name: ConnectionName,
    pub(super) socket: Socket,
}

pub(super) async fn hosts(session: &mut Session<'_>) -> Result<(), Failure> {
    let hosts = session.fleet.hosts().await?;
    if session.json {
        return hosts.iter().try_for_each(|host| session.json(host));
    }
    let mut table = Table::new([
        ("HOST", Align::Left),
        ("INSTANCE", Align::Left),
        ("DAEMON", Align::Left),
        ("MODE", Align::Left),
        ("WORKERS", Align::Right),
        ("INTERFACES", Align::Left),
        ("ADDRESSES", Align::Left),
    ]);
    for host in hosts {
        let addresses: Vec<_> = host.addresses.iter().map(ToString::to_string).collect();
        table.row([
            host.host,
            host.instance.unwrap_or_else(|| "down".to_owned()),
            host.server,
            host.mode,
            host.workers.to_string(),
            host.interfaces.join(","),
            addresses.join(","),
        ]);
    }
    table.print(&mut session.out)?;
    Ok(())
}

pub(super) async fn sockets(
    session: &mut Session<'_>,
    args: &sockets::Args,
) -> Result<(), Failure> {
    let params = SocketsParams {
        // The table has no column for it.
        tls: session.json,
        ..args.params()
    };
    let listed = all(session, params, args.limit()).await?;
    if session.json {
        for Named { name, socket } in &listed {
            let mut value = serde_json::to_value(socket)?;
            value["host"] = json!(name.host);
            value["name"] = json!(name.to_string());
            value["community_id"] = Value::from(community_id(0, socket.client, socket.server));
            session.json(&value)?;
        }
        return Ok(());
    }
    let mut table = Table::new([
        ("HOST", Align::Left),
        ("NAME", Align::Left),
        ("CLIENT", Align::Left),
        ("SERVER", Align::Left),
        ("STATE", Align::Left),
        ("TO SERVER", Align::Right),
        ("TO CLIENT", Align::Right),
        ("LAST", Align::Right),
        ("COMMUNITY ID", Align::Left),
    ]);
    for Named { name, socket } in listed {
        table.row([
            name.host.clone(),
            name.to_string(),
            socket.client.to_string(),
            socket.server.to_string(),
            state(&socket),
            length(&socket.sides.server),
            length(&socket.sides.client),
            ago(socket.last),
            community_id(0, socket.client, socket.server),
        ]);
    }
    table.print(&mut session.out)?;
    Ok(())
}

/// Lists the connections of all hosts, at most `limit` of each, and names the hosts that didn't answer.
async fn all(
    session: &mut Session<'_>,
    mut params: SocketsParams,
    limit: u64,
) -> Result<Vec<Named>, Failure> {
    let mut listed = Vec::new();
    params.limit = (limit < PAGE).then_some(limit);
    let request = serde_json::to_value(&params)?;
    let gathered = session.fleet.gather("sockets", &request).await?;
    for answer in gathered.answers {
        if answer.left_out > 0 {
            report(&format_args!(
                "{}: a message of the server does not hold the last {} connections of its list; lower --limit",
                answer.host, answer.left_out
            ));
        }
        let host = (answer.host, answer.instance);
        let added = async {
            let page = answer.result.map_err(Error::Rpc)?;
            let page = serde_json::from_value(page)?;
            pages(session, &host, page, &params, limit, &mut listed).await
        };
        if let Err(failure) = added.await {
            report_host(&host.0, failure)?;
        }
    }
    report_silent(&gathered.silent);
    for host in gathered.invalid {
        report(&AskError::Reply(host));
    }
    Ok(listed)
}

/// Lists all connections of each host in turn, however slow it is.
pub(super) async fn each(session: &mut Session<'_>) -> Result<Vec<Named>, Failure> {
    let mut listed = Vec::new();
    let params = SocketsParams::default();
    for host in session.fleet.hosts().await? {
        let added = async {
            let first = json!({});
            let asked = session.fleet.call(&host.host, None, "sockets", &first);
            let answer = asked.await?;
            let owner = (host.host.clone(), answer.instance);
            let (page, _) = result(std::future::ready(Ok(answer))).await?;
            pages(session, &owner, page, &params, u64::MAX, &mut listed).await
        };
        if let Err(failure) = added.await {
            report_host(&host.host, failure)?;
        }
    }
    Ok(listed)
}

/// Adds the connections of a host (name and instance) from a first page on.
async fn pages(
    session: &Session<'_>,
    (host, instance): &(String, u64),
    mut page: Sockets,
    params: &SocketsParams,
    limit: u64,
    listed: &mut Vec<Named>,
) -> Result<(), Failure> {
    let mut left = limit;
    loop {
        left -= (page.sockets.len() as u64).min(left);
        listed.extend(page.sockets.into_iter().map(|socket| Named {
            name: ConnectionName {
                host: host.clone(),
                instance: *instance,
                sockid: socket.sockid,
            },
            socket,
        }));
        let Some(next) = page.next.filter(|_| left > 0 && params.sort.is_none()) else {
            return Ok(());
        };
        let further = SocketsParams {
            after: Some(next),
            limit: (left < PAGE).then_some(left),
            ..params.clone()
        };
        let further = serde_json::to_value(&further)?;
        let asked = session
            .fleet
            .call(host, Some(*instance), "sockets", &further);
        page = result(asked).await?.0;
    }
}
