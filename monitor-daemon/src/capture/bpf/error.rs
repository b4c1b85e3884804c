use std::io;
use std::net::IpAddr;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::programs::tc::TcError;
use aya::sys::SyscallError;
use libc::{E2BIG, EBUSY, EEXIST, EINVAL, ENODEV, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM, ERANGE};
use monitor_common::abi::{MAX_NETWORKS, MAX_SHUNTS, MAX_WORKERS, names};
use thiserror::Error;

/// Why a BPF program is not at work.
#[derive(Debug, Error)]
pub enum BpfError {
    /// The object was not there when the daemon was built.
    #[error(
        "built without the BPF object; run `cargo xtask build-ebpf`, then build monitord again"
    )]
    NoObject,
    /// The object is there, but lacks a part.
    #[error(
        "the BPF object has no `{name}`; run `cargo xtask build-ebpf`, then build monitord again"
    )]
    Missing {
        /// The map or program.
        name: &'static str,
    },
    /// The kernel refused the call for want of a privilege.
    #[error(
        "no permission to load BPF programs; run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW"
    )]
    Permission(#[source] io::Error),
    /// The object could not be loaded.
    #[error("cannot load the BPF object: {0}")]
    Load(#[source] EbpfError),
    /// The verifier, or the kernel for another reason, refused a program.
    #[error("the kernel refused the BPF program `{program}`: {}", brief(source))]
    Program {
        /// Which.
        program: &'static str,
        /// With what the verifier said.
        source: ProgramError,
    },
    /// The kernel does not tell about a program that it has loaded.
    #[error("cannot ask the kernel about a BPF program: {source}")]
    Info {
        /// What it said.
        source: ProgramError,
    },
    /// There is no such interface, or it is gone.
    #[error("interface `{interface}`: there is no such interface")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// Another XDP program is attached.
    #[error(
        "interface `{interface}`: another XDP program is attached; remove it with `ip link set dev {interface} xdp off`"
    )]
    Busy {
        /// Its name.
        interface: String,
    },
    /// The driver cannot run the program in this mode.
    #[error(
        "interface `{interface}`: the driver does not run this XDP program in {mode} mode: {}",
        reason(source)
    )]
    Unsupported {
        /// Its name.
        interface: String,
        /// `native` or `generic`.
        mode: &'static str,
        /// What the kernel said.
        source: ProgramError,
    },
    /// A program could not be attached for any other reason.
    #[error(
        "interface `{interface}`: cannot attach the BPF program `{program}`: {}",
        reason(source)
    )]
    Attach {
        /// Its name.
        interface: String,
        /// Which.
        program: &'static str,
        /// What the kernel said.
        source: ProgramError,
    },
    /// A map could not be read or written.
    #[error("BPF map: {0}")]
    Map(#[from] MapError),
    /// The object's log could not be opened.
    #[error("the BPF log: {0}")]
    Log(#[from] aya_log::Error),
    /// More workers than the socket map has places for.
    #[error("{given} workers: must be 1 to {MAX_WORKERS}")]
    Workers {
        /// How many were asked for.
        given: u32,
    },
    /// A queue or worker outside of what [`SteerSettings`](super::SteerSettings) said.
    #[error("no place for a socket of queue {queue} and worker {worker}")]
    NoPlace {
        /// The queue.
        queue: u32,
        /// The worker.
        worker: u32,
    },
    /// As many flows are shunted as the map has room for.
    #[error("{MAX_SHUNTS} flows of this interface are shunted already: there is no room for more")]
    TooManyShunts,
    /// A prefix that is longer than its address.
    #[error("network {network}/{len}: the length must be at most {most}")]
    PrefixLength {
        /// The address.
        network: IpAddr,
        /// The length that was given.
        len: u8,
        /// The longest of its kind.
        most: u8,
    },
    /// More prefixes than the filter has room for.
    #[error("{given} networks: the filter takes at most {MAX_NETWORKS}")]
    TooManyNetworks {
        /// How many were given.
        given: usize,
    },
}

impl BpfError {
    /// Whether another mode of the ladder may do better.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }

    pub(super) fn load(error: EbpfError) -> Self {
        match error {
            EbpfError::MapError(MapError::CreateError { io_error, .. })
                if io_error.kind() == io::ErrorKind::PermissionDenied =>
            {
                Self::Permission(io_error)
            }
            other => Self::Load(other),
        }
    }

    pub(super) fn program(program: &'static str, source: ProgramError) -> Self {
        match source {
            ProgramError::LoadError {
                io_error,
                verifier_log,
            } if io_error.raw_os_error() == Some(EPERM) && verifier_log.to_string().is_empty() => {
                Self::Permission(io_error)
            }
            source => {
                // Hundreds of lines, for whoever changes the program.
                tracing::debug!("{source}");
                Self::Program { program, source }
            }
        }
    }

    pub(super) fn attach(interface: &str, program: &'static str, source: ProgramError) -> Self {
        let interface = interface.to_owned();
        match os_error(&source) {
            Some(ENODEV) => Self::NoInterface { interface },
            _ if matches!(source, ProgramError::UnknownInterface { .. }) => {
                Self::NoInterface { interface }
            }
            _ => Self::Attach {
                interface,
                program,
                source,
            },
        }
    }

    pub(super) fn attach_xdp(interface: &str, mode: &'static str, source: ProgramError) -> Self {
        match os_error(&source) {
            Some(EBUSY | EEXIST) => Self::Busy {
                interface: interface.to_owned(),
            },
            // What drivers say when they lack XDP, multi-buffer, or cannot with the present MTU, rings or offloads;
            // ENOSPC: a veth whose other end sends on more queues than this one receives on.
            Some(EOPNOTSUPP | EINVAL | ERANGE | E2BIG | ENOMEM | ENOSPC) => Self::Unsupported {
                interface: interface.to_owned(),
                mode,
                source,
            },
            _ => Self::attach(interface, names::STEER, source),
        }
    }
}

/// The kernel's error number in what aya says, wherever it stands.
fn os_error(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(SyscallError { io_error, .. })
        | ProgramError::IOError(io_error)
        | ProgramError::TcError(TcError::IoError(io_error)) => io_error.raw_os_error(),
        other => {
            let mut source = std::error::Error::source(other);
            while let Some(error) = source {
                if let Some(io_error) = error.downcast_ref::<io::Error>() {
                    return io_error.raw_os_error();
                }
                source = error.source();
            }
            None
        }
    }
}

/// A refusal in one line: what the verifier said last.
fn brief(error: &ProgramError) -> String {
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return error.to_string();
    };
    let log = verifier_log.to_string();
    let lines = log
        .lines()
        .take_while(|line| !line.starts_with("verification time"));
    match lines.filter(|line| !line.trim().is_empty()).last() {
        Some(verdict) => format!(
            "{} ({io_error}; RUST_LOG=debug shows the verifier's log)",
            verdict.trim()
        ),
        None => io_error.to_string(),
    }
}

/// What the kernel said, if it is in there; aya's own sentences name the call only.
fn reason(error: &ProgramError) -> String {
    os_error(error).map_or_else(
        || error.to_string(),
        |number| io::Error::from_raw_os_error(number).to_string(),
    )
}
