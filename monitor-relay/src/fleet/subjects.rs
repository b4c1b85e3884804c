//! Subjects, headers and names of the fleet.

use std::fmt;
use std::str::FromStr;

use monitor_client::Method;

/// Prefix of all subjects.
pub const PREFIX: &str = "mon.v1";
/// Stream of records.
pub const STREAM: &str = "MON_FLOWS";
/// Key-value bucket of heartbeats.
pub const BUCKET: &str = "mon_hosts";
/// Token that addresses every host. No host has this name.
pub const ALL: &str = "all";
/// Header with the daemon's instance, in hexadecimal digits. In a request: the instance that the sockid is of.
pub const INSTANCE: &str = "Monitor-Instance";
/// Header with the name of the host that replies.
pub const HOST: &str = "Monitor-Host";
/// Header with the number of raw bytes at the end of a reply.
pub const RAW: &str = "Monitor-Raw";
/// Header with the number of connections that a sorted list lacks, since a message doesn't hold them.
pub const LEFT_OUT: &str = "Monitor-Left-Out";

/// Methods of readers, which a relay passes to its daemon.
pub const METHODS: [Method; 11] = [
    Method::Hello,
    Method::Sockets,
    Method::Lookup,
    Method::Info,
    Method::Fragments,
    Method::Ppeek,
    Method::Turns,
    Method::Wait,
    Method::Stats,
    Method::ConfigGet,
    Method::Discover,
];
/// Methods of admins; a relay refuses them unless its settings allow them.
pub const CONTROL: [Method; 3] = [Method::Stop, Method::Configure, Method::ConfigTest];
/// Methods that every host answers.
pub const SCATTERED: [Method; 4] = [
    Method::Sockets,
    Method::Lookup,
    Method::Stats,
    Method::Hello,
];

/// Returns the name of a method as a token of a subject: a dot within it is an underscore there.
#[must_use]
pub fn token(method: &str) -> String {
    method.replace('.', "_")
}

/// Returns the subject of a method.
#[must_use]
pub fn rpc(host: &str, method: &str) -> String {
    format!("{PREFIX}.{host}.rpc.{}", token(method))
}

/// Returns the subject of a kind of event.
#[must_use]
pub fn event(host: &str, kind: &str) -> String {
    format!("{PREFIX}.{host}.event.{kind}")
}

/// Returns the subject of records.
#[must_use]
pub fn flow(host: &str) -> String {
    format!("{PREFIX}.{host}.flow")
}

/// Returns whether a text can be the name of a host: it's one token of a subject.
#[must_use]
pub fn is_host(name: &str) -> bool {
    let allowed = |letter: u8| letter.is_ascii_alphanumeric() || b"-_".contains(&letter);
    (1..=63).contains(&name.len()) && name != ALL && name.bytes().all(allowed)
}

/// Name of a connection in the fleet: `HOST/INSTANCE/SOCKID`, the instance in hexadecimal digits.
///
/// ```
/// use monitor_relay::fleet::subjects::ConnectionName;
///
/// let name: ConnectionName = "web-3/5f2a9c/1073741824".parse()?;
/// assert_eq!((name.host.as_str(), name.instance, name.sockid), ("web-3", 0x5f2a9c, 1 << 30));
/// assert_eq!(name.to_string(), "web-3/5f2a9c/1073741824");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionName {
    /// Name of the host.
    pub host: String,
    /// Instance of its daemon.
    pub instance: u64,
    /// Connection, as the daemon names it.
    pub sockid: u64,
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:x}/{}", self.host, self.instance, self.sockid)
    }
}

impl FromStr for ConnectionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let mut parts = text.split('/');
            let name = Self {
                host: parts.next().filter(|host| is_host(host))?.to_owned(),
                instance: u64::from_str_radix(parts.next()?, 16).ok()?,
                sockid: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(name)
        };
        parse()
            .ok_or_else(|| "a connection is HOST/INSTANCE/SOCKID, as `sockets` lists it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use monitor_client::method::Role;

    use super::*;

    #[test]
    fn each_method_is_passed_on_or_has_a_reason_not_to_be() {
        // A reply is one message without a descriptor, and a subscription needs a connection of its own.
        let local = [
            Method::Attach,
            Method::Follow,
            Method::Subscribe,
            Method::Watch,
            Method::Capture,
            Method::Unsubscribe,
        ];
        for &method in Method::ALL {
            let passed = METHODS.contains(&method);
            let name = method.name();
            match method.role() {
                // The host's administrator changes the file that is read again.
                Role::Admin => {
                    let excepted = method == Method::ConfigReload;
                    assert!(!passed && CONTROL.contains(&method) != excepted, "{name}");
                }
                _ => assert!(passed != local.contains(&method), "{name}"),
            }
        }
        assert!(SCATTERED.iter().all(|method| METHODS.contains(method)));
    }

    #[test]
    fn a_host_is_one_token() {
        for name in ["web-3", "a", "A_1"] {
            assert!(is_host(name), "{name}");
        }
        for name in ["", "all", "a.b", "a b", "*", ">", "ä", &"a".repeat(64)] {
            assert!(!is_host(name), "{name}");
        }
    }

    #[test]
    fn wrong_names_are_refused() {
        for name in ["h", "h/1", "h/1/2/3", "h/x/2", "h/1/x", "a.b/1/2", "/1/2"] {
            assert!(name.parse::<ConnectionName>().is_err(), "{name}");
        }
    }
}
