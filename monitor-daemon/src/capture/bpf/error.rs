//! Errors of loading, attaching and configuring the BPF programs.

use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::programs::tc::TcError;
use aya::sys::SyscallError;
use libc::{E2BIG, EBUSY, EEXIST, EINVAL, ENODEV, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM, ERANGE};
use monitor_common::abi::{MAX_NETWORKS, MAX_SHUNTS, MAX_WORKERS, names};
use thiserror::Error;

/// Error of a BPF program or map.
#[derive(Debug, Error)]
pub enum BpfError {
    /// The daemon was built without the object.
    #[error(
        "built without the BPF object; run `cargo xtask build-ebpf`, then build monitord again"
    )]
    NoObject,
    /// The object lacks a map or a program.
    #[error(
        "the BPF object has no `{name}`; run `cargo xtask build-ebpf`, then build monitord again"
    )]
    Missing {
        /// The map or program.
        name: &'static str,
    },
    /// A privilege is missing.
    #[error(
        "no permission to load BPF programs; run as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON and CAP_IPC_LOCK"
    )]
    Permission(#[source] io::Error),
    /// The object could not be loaded.
    #[error("cannot load the BPF object")]
    Load(#[source] EbpfError),
    /// The verifier, or the kernel for another reason, refused a program.
    #[error("the kernel refused the BPF program `{program}`: {}", brief(cause))]
    Program {
        /// Its name.
        program: &'static str,
        /// With the log of the verifier. Not a source: the log has hundreds of lines.
        cause: ProgramError,
    },
    /// The kernel returned no information about a loaded program.
    #[error("cannot read the kernel's information about a BPF program")]
    Info {
        /// Error of the kernel.
        source: ProgramError,
    },
    /// The interface does not exist.
    #[error("interface `{interface}`: there is no such interface")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// Another XDP program is attached.
    #[error(
        "interface `{interface}`: another XDP program is attached; remove it with `ip link set dev {interface} xdp off`; \
         if it is attached by a link, end the program that holds it, or run `bpftool link` and `bpftool link detach id ID`"
    )]
    Busy {
        /// Its name.
        interface: String,
    },
    /// The driver cannot run the program in this mode.
    #[error(
        "interface `{interface}`: the driver does not run this XDP program in {mode} mode: {}",
        reason(cause)
    )]
    Unsupported {
        /// Its name.
        interface: String,
        /// `native` or `generic`.
        mode: &'static str,
        /// Error of the kernel, which the text shows without aya's part.
        cause: ProgramError,
    },
    /// A program could not be attached for any other reason.
    #[error(
        "interface `{interface}`: cannot attach the BPF program `{program}`: {}",
        reason(cause)
    )]
    Attach {
        /// Its name.
        interface: String,
        /// Name of the program.
        program: &'static str,
        /// Error of the kernel, which the text shows without aya's part.
        cause: ProgramError,
    },
    /// A map could not be read or written.
    #[error("cannot access a BPF map")]
    Map(#[from] MapError),
    /// The log of the programs could not be opened.
    #[error("cannot open the log of the BPF programs")]
    Log(#[from] aya_log::Error),
    /// More workers than the socket map has entries for.
    #[error("{given} workers: must be 1 to {MAX_WORKERS}")]
    Workers {
        /// Number asked for.
        given: u32,
    },
    /// A queue or worker outside of the [`SteerSettings`](super::SteerSettings).
    #[error("no entry for a socket of queue {queue} and worker {worker}")]
    NoPlace {
        /// The queue.
        queue: u32,
        /// The worker.
        worker: u32,
    },
    /// The table of shunted flows is full.
    #[error("{MAX_SHUNTS} flows of this interface are shunted already, which is the maximum")]
    TooManyShunts,
    /// More prefixes than the filter holds.
    #[error("{given} networks: the filter takes at most {MAX_NETWORKS}")]
    TooManyNetworks {
        /// Number given.
        given: usize,
    },
}

impl BpfError {
    /// Returns whether another mode may work.
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
            cause => {
                tracing::debug!("{cause}");
                Self::Program { program, cause }
            }
        }
    }

    pub(super) fn attach(interface: &str, program: &'static str, cause: ProgramError) -> Self {
        let interface = interface.to_owned();
        match os_error(&cause) {
            Some(ENODEV) => Self::NoInterface { interface },
            _ if matches!(cause, ProgramError::UnknownInterface { .. }) => {
                Self::NoInterface { interface }
            }
            _ => Self::Attach {
                interface,
                program,
                cause,
            },
        }
    }

    pub(super) fn attach_xdp(interface: &str, mode: &'static str, cause: ProgramError) -> Self {
        match os_error(&cause) {
            Some(EBUSY | EEXIST) => Self::Busy {
                interface: interface.to_owned(),
            },
            // Drivers return these without XDP or multi-buffer, or when MTU, rings or offloads do not permit it.
            // ENOSPC: a veth with a peer that sends on more queues than this end receives on.
            Some(EOPNOTSUPP | EINVAL | ERANGE | E2BIG | ENOMEM | ENOSPC) => Self::Unsupported {
                interface: interface.to_owned(),
                mode,
                cause,
            },
            _ => Self::attach(interface, names::STEER, cause),
        }
    }
}

/// Returns the kernel's error number out of aya's error.
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

/// Returns a refusal in one line: the last one of the verifier's log.
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

/// Returns the kernel's error if there is one; aya's own texts name the system call only.
fn reason(error: &ProgramError) -> String {
    os_error(error).map_or_else(
        || error.to_string(),
        |number| io::Error::from_raw_os_error(number).to_string(),
    )
}
