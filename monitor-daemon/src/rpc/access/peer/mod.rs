//! User, groups and process at the other end of a client's socket.

mod groups;

use std::fmt;
use std::os::fd::AsFd;

/// The process that connected, as the kernel knew it then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// `None`: it lives in a process namespace that we do not see.
    pub(crate) pid: Option<i32>,
    /// `None`: the kernel does not tell, which it always did so far.
    pub(crate) uid: Option<u32>,
    /// Its own group and the supplementary ones.
    pub(crate) gids: Vec<u32>,
}

impl Peer {
    pub(crate) fn of(socket: &impl AsFd) -> Self {
        let Ok(credentials) = rustix::net::sockopt::socket_peercred(socket) else {
            return Self::default();
        };
        let mut gids = groups::of(socket.as_fd()).unwrap_or_else(|error| {
            tracing::debug!(%error, "the groups of a client are not known");
            Vec::new()
        });
        gids.push(credentials.gid.as_raw());
        let pid = credentials.pid.as_raw_nonzero().get();
        Self {
            pid: (pid > 0).then_some(pid),
            uid: Some(credentials.uid.as_raw()),
            gids,
        }
    }
}

/// Names the client in messages.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uid {
            Some(uid) => write!(f, "uid {uid}"),
            None => f.write_str("a user that the kernel does not name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_peer_of_a_pair_is_this_process() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&socket);
        assert_eq!(peer.pid, Some(std::process::id() as i32));
        assert_eq!(peer.uid, Some(rustix::process::geteuid().as_raw()));
        let mut own: Vec<_> = rustix::process::getgroups()
            .unwrap()
            .iter()
            .map(|gid| gid.as_raw())
            .collect();
        own.push(rustix::process::getegid().as_raw());
        assert_eq!(peer.gids, own);
    }
}
