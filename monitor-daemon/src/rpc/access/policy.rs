//! Access policy: the roles that `[rpc] readers`, `[rpc] admins` and `[rpc] attach` give to users and groups, by number.

use std::sync::Arc;

use monitor_rpc::Role;
use nix::errno::Errno;
use nix::unistd::{Group, User};
use tokio::sync::watch::Receiver;

use super::peer::Peer;
use crate::config::{Principal, Rpc};

/// Roles and limits that apply now.
#[derive(Debug)]
pub(crate) struct AccessPolicy {
    roles: Roles,
    pub(crate) settings: Rpc,
}

/// Rights of one client under the current policy.
#[derive(Debug)]
pub(crate) struct ClientRights {
    policy: Receiver<Arc<AccessPolicy>>,
    role: Role,
}

/// Roles of all users.
#[derive(Debug)]
struct Roles {
    /// `None`: every user.
    readers: Option<Members>,
    admins: Members,
    /// Beside the admins.
    attach: Members,
}

/// Set of users and groups.
#[derive(Debug, Default)]
struct Members {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

/// Error in an entry of the settings.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No user, or no group, has the name.
    #[error(
        "[rpc] {key}: there is no {kind} \"{name}\" on this system; correct the name, or give its number ({example})"
    )]
    Unknown {
        /// `readers`, `admins` or `attach`.
        key: &'static str,
        /// `user` or `group`.
        kind: &'static str,
        /// Name without `@`.
        name: String,
        /// Example of a number.
        example: &'static str,
    },
    /// The system's list of users cannot be read.
    #[error("[rpc] {key}: the {kind} \"{name}\" cannot be looked up; give its number ({example})")]
    Lookup {
        /// `readers`, `admins` or `attach`.
        key: &'static str,
        /// `user` or `group`.
        kind: &'static str,
        /// Name without `@`.
        name: String,
        /// Example of a number.
        example: &'static str,
        /// Error of the system.
        source: Errno,
    },
}

/// Checks that every name in the settings is known.
pub fn check(settings: &Rpc) -> Result<(), AccessError> {
    socket_group(settings)?;
    Roles::new(settings).map(drop)
}

/// Returns the group that the socket file gets; `None`: the daemon's own.
pub(crate) fn socket_group(settings: &Rpc) -> Result<Option<u32>, AccessError> {
    let name = settings.group.trim_start_matches('@');
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(gid) = name.parse() {
        return Ok(Some(gid));
    }
    let found = Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()));
    found_or(found, "group", "group", name, "\"1000\"").map(Some)
}

impl AccessPolicy {
    /// Looks up every name in the settings.
    pub(crate) fn new(settings: Rpc) -> Result<Self, AccessError> {
        Ok(Self {
            roles: Roles::new(&settings)?,
            settings,
        })
    }

    /// Returns the same roles with other limits.
    pub(crate) fn with_settings(self, settings: Rpc) -> Self {
        Self { settings, ..self }
    }

    /// Returns whether a client may attach to the store.
    pub(crate) fn may_attach(&self, peer: &Peer) -> bool {
        self.roles.of(peer) == Role::Admin || self.roles.attach.include(peer)
    }

    /// Returns the role of a client.
    pub(crate) fn role(&self, peer: &Peer) -> Role {
        self.roles.of(peer)
    }
}

impl ClientRights {
    pub(crate) fn new(mut policy: Receiver<Arc<AccessPolicy>>, peer: &Peer) -> Self {
        let role = policy.borrow_and_update().role(peer);
        Self { policy, role }
    }

    /// Completes when the policy has changed since the role was last asked for.
    pub(crate) async fn changed(&self) {
        let mut policy = self.policy.clone();
        if policy.changed().await.is_err() {
            // The server stops, which ends the client by itself.
            std::future::pending::<()>().await;
        }
    }

    /// Returns whether the client may attach to the store now.
    pub(crate) fn may_attach(&self, peer: &Peer) -> bool {
        self.policy.borrow().may_attach(peer)
    }

    /// Returns the client's role now. A new policy applies to connected clients, too.
    pub(crate) fn role(&mut self, peer: &Peer) -> Role {
        // An error means that the server stops.
        if self.policy.has_changed().unwrap_or(false) {
            self.role = self.policy.borrow_and_update().role(peer);
        }
        self.role
    }
}

impl Roles {
    fn new(settings: &Rpc) -> Result<Self, AccessError> {
        let readers = Members::of(&settings.readers, "readers")?;
        let mut admins = Members::of(&settings.admins, "admins")?;
        admins.uids.push(rustix::process::geteuid().as_raw());
        Ok(Self {
            attach: Members::of(&settings.attach, "attach")?,
            readers: (!settings.readers.is_empty()).then_some(readers),
            admins,
        })
    }

    fn of(&self, peer: &Peer) -> Role {
        if self.admins.include(peer) {
            Role::Admin
        } else if self
            .readers
            .as_ref()
            .is_none_or(|readers| readers.include(peer))
        {
            Role::Reader
        } else {
            Role::Anybody
        }
    }
}

impl Members {
    fn of(principals: &[Principal], key: &'static str) -> Result<Self, AccessError> {
        let mut members = Self::default();
        for principal in principals {
            match principal {
                Principal::Uid(uid) => members.uids.push(*uid),
                Principal::Gid(gid) => members.gids.push(*gid),
                // True on every system, with or without a list of users.
                Principal::User(name) if name == "root" => members.uids.push(0),
                Principal::User(name) => {
                    let found =
                        User::from_name(name).map(|user| user.map(|user| user.uid.as_raw()));
                    members
                        .uids
                        .push(found_or(found, key, "user", name, "\"1000\"")?);
                }
                Principal::Group(name) => {
                    let found =
                        Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()));
                    members
                        .gids
                        .push(found_or(found, key, "group", name, "\"@1000\"")?);
                }
            }
        }
        Ok(members)
    }

    fn include(&self, peer: &Peer) -> bool {
        peer.uid.is_some_and(|uid| self.uids.contains(&uid))
            || peer.gids.iter().any(|gid| self.gids.contains(gid))
    }
}

fn found_or(
    found: Result<Option<u32>, Errno>,
    key: &'static str,
    kind: &'static str,
    name: &str,
    example: &'static str,
) -> Result<u32, AccessError> {
    match found {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(AccessError::Unknown {
            key,
            kind,
            name: name.to_owned(),
            example,
        }),
        Err(source) => Err(AccessError::Lookup {
            key,
            kind,
            name: name.to_owned(),
            example,
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(readers: &[Principal], admins: &[Principal]) -> Roles {
        let settings = Rpc {
            readers: readers.to_vec(),
            admins: admins.to_vec(),
            ..Rpc::default()
        };
        Roles::new(&settings).unwrap()
    }

    fn user(uid: u32, gids: &[u32]) -> Peer {
        Peer {
            pid: Some(1),
            uid: Some(uid),
            gids: gids.to_vec(),
        }
    }

    #[test]
    fn without_readers_every_user_may_read_and_the_own_user_is_admin() {
        let roles = roles(&[], &[]);
        assert_eq!(roles.of(&user(4_000_001, &[4_000_001])), Role::Reader);
        assert_eq!(
            roles.of(&user(rustix::process::geteuid().as_raw(), &[])),
            Role::Admin
        );
        assert_eq!(roles.of(&Peer::default()), Role::Reader);
    }

    #[test]
    fn user_and_group_ids_are_distinct() {
        let roles = roles(
            &[Principal::Uid(4_000_001), Principal::Gid(4_000_002)],
            &[
                Principal::Gid(4_000_003),
                Principal::User("root".to_owned()),
            ],
        );
        assert_eq!(roles.of(&user(4_000_001, &[])), Role::Reader);
        assert_eq!(roles.of(&user(4_000_002, &[4_000_001])), Role::Anybody);
        assert_eq!(roles.of(&user(4_000_009, &[7, 4_000_002])), Role::Reader);
        assert_eq!(roles.of(&user(4_000_009, &[7, 4_000_003])), Role::Admin);
        assert_eq!(roles.of(&user(0, &[])), Role::Admin);
        assert_eq!(roles.of(&Peer::default()), Role::Anybody);
    }

    #[test]
    fn an_unknown_name_is_quoted_in_the_error() {
        for (principal, kind) in [
            (Principal::User("no-such-name".to_owned()), "user"),
            (Principal::Group("no-such-name".to_owned()), "group"),
        ] {
            let settings = Rpc {
                readers: vec![principal],
                ..Rpc::default()
            };
            let error = Roles::new(&settings).unwrap_err().to_string();
            let said = format!("[rpc] readers: there is no {kind} \"no-such-name\"");
            assert!(error.starts_with(&said), "{error}");
        }
    }
}
