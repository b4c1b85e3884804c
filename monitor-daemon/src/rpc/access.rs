//! Who may do what: the users and groups of `[rpc] readers` and `[rpc] admins`, by number.

use monitor_rpc::Role;
use nix::errno::Errno;
use nix::unistd::{Group, User};

use super::peer::Peer;
use crate::config::{Principal, Rpc};

/// The roles of all users.
#[derive(Debug)]
pub(super) struct Access {
    /// `None`: everybody.
    readers: Option<Members>,
    admins: Members,
}

/// Some users.
#[derive(Debug, Default)]
struct Members {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

/// An entry of the settings that names nobody.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The system knows no user, or no group, of that name.
    #[error(
        "[rpc] {key}: there is no {kind} \"{name}\" on this system; correct the name, or give its number ({example})"
    )]
    Unknown {
        /// `readers` or `admins`.
        key: &'static str,
        /// `user` or `group`.
        kind: &'static str,
        /// As it was given, without `@`.
        name: String,
        /// What a number looks like.
        example: &'static str,
    },
    /// The system could not be asked.
    #[error(
        "[rpc] {key}: the {kind} \"{name}\" cannot be looked up: {source}; give its number ({example})"
    )]
    Lookup {
        /// `readers` or `admins`.
        key: &'static str,
        /// `user` or `group`.
        kind: &'static str,
        /// As it was given, without `@`.
        name: String,
        /// What a number looks like.
        example: &'static str,
        /// What the system said.
        source: Errno,
    },
}

impl Access {
    /// Looks up every name.
    pub(super) fn new(settings: &Rpc) -> Result<Self, AccessError> {
        let readers = Members::of(&settings.readers, "readers")?;
        let mut admins = Members::of(&settings.admins, "admins")?;
        admins.uids.push(rustix::process::geteuid().as_raw());
        Ok(Self {
            readers: (!settings.readers.is_empty()).then_some(readers),
            admins,
        })
    }

    /// The most that a client may do.
    pub(super) fn role(&self, peer: &Peer) -> Role {
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
                // So it is on every system, with or without a list of users.
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

    fn access(readers: &[Principal], admins: &[Principal]) -> Access {
        let settings = Rpc {
            readers: readers.to_vec(),
            admins: admins.to_vec(),
            ..Rpc::default()
        };
        Access::new(&settings).unwrap()
    }

    fn user(uid: u32, gids: &[u32]) -> Peer {
        Peer {
            pid: Some(1),
            uid: Some(uid),
            gids: gids.to_vec(),
        }
    }

    #[test]
    fn without_readers_everybody_reads_and_the_own_user_is_admin() {
        let access = access(&[], &[]);
        assert_eq!(access.role(&user(4_000_001, &[4_000_001])), Role::Reader);
        assert_eq!(
            access.role(&user(rustix::process::geteuid().as_raw(), &[])),
            Role::Admin
        );
        assert_eq!(access.role(&Peer::default()), Role::Reader);
    }

    #[test]
    fn users_and_groups_are_told_apart() {
        let access = access(
            &[Principal::Uid(4_000_001), Principal::Gid(4_000_002)],
            &[
                Principal::Gid(4_000_003),
                Principal::User("root".to_owned()),
            ],
        );
        assert_eq!(access.role(&user(4_000_001, &[])), Role::Reader);
        assert_eq!(access.role(&user(4_000_002, &[4_000_001])), Role::Anybody);
        assert_eq!(access.role(&user(4_000_009, &[7, 4_000_002])), Role::Reader);
        assert_eq!(access.role(&user(4_000_009, &[7, 4_000_003])), Role::Admin);
        assert_eq!(access.role(&user(0, &[])), Role::Admin);
        assert_eq!(access.role(&Peer::default()), Role::Anybody);
    }

    #[test]
    fn a_name_that_nobody_has_is_named() {
        for (principal, kind) in [
            (Principal::User("nobody-has-this-name".to_owned()), "user"),
            (Principal::Group("nobody-has-this-name".to_owned()), "group"),
        ] {
            let settings = Rpc {
                readers: vec![principal],
                ..Rpc::default()
            };
            let error = Access::new(&settings).unwrap_err().to_string();
            let said = format!("[rpc] readers: there is no {kind} \"nobody-has-this-name\"");
            assert!(error.starts_with(&said), "{error}");
        }
    }
}
