//! Failures: a message with the remedy, and an exit code for scripts.

use std::error::Error as StdError;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use monitor_client::{Chain, Code, Error, ErrorObject, Reason};
#[cfg(feature = "fleet")]
use monitor_relay::fleet::client::AskError;

/// Exit code of wrong usage, and of every failure without a code of its own.
pub const USAGE: u8 = 1;
const UNREACHABLE: u8 = 2;
const NO_CONNECTION: u8 = 3;
const NO_DATA: u8 = 4;
const PERMISSION: u8 = 5;
const TIMED_OUT: u8 = 6;
const PROBLEMS: u8 = 7;
#[cfg(feature = "fleet")]
const DIFFERENT: u8 = 8;

/// Exit codes with their meaning, for the help and the manual page.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (
        0,
        "success; also when the reader of the output closes it early",
    ),
    (USAGE, "wrong usage, or any other failure"),
    (
        UNREACHABLE,
        "the daemon cannot be reached, or a limit of it is reached",
    ),
    (NO_CONNECTION, "no such connection, or it is gone"),
    (NO_DATA, "no data at that offset"),
    (PERMISSION, "permission denied"),
    (TIMED_OUT, "timeout"),
    (PROBLEMS, "`doctor` found a problem"),
    #[cfg(feature = "fleet")]
    (DIFFERENT, "`compare` found different bytes"),
];

/// Returns the exit codes as text.
pub fn exit_codes() -> String {
    let lines = EXIT_CODES
        .iter()
        .map(|(code, meaning)| format!("\n  {code}  {meaning}"));
    format!("Exit codes:{}", lines.collect::<String>())
}

/// A verb's error. Its text never contains its source; [`Failure::message`] appends the sources.
#[derive(Debug)]
pub enum Failure {
    /// The request failed, or the daemon refused it.
    Client(Error),
    /// Standard output cannot be written.
    Output(io::Error),
    /// The result has no JSON form.
    Json(serde_json::Error),
    /// A file could not be used.
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// No client can be served at this address.
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    /// The process cannot handle signals.
    Signals(io::Error),
    /// `doctor` found this number of problems.
    Problems(usize),
    /// The daemon wasn't ready in time, for this reason.
    NotReady(String),
    /// The options are wrong.
    Arguments(clap::Error),
    /// A request to the fleet failed.
    #[cfg(feature = "fleet")]
    Fleet(AskError),
    /// `compare` found a difference, which it has printed.
    #[cfg(feature = "fleet")]
    Different,
    /// The request cannot be executed; the text names the alternative.
    Usage(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Client(error)
    }
}

#[cfg(feature = "fleet")]
impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Failure::Fleet(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() {
            Failure::Output(error.into())
        } else {
            Failure::Json(error)
        }
    }
}

impl Failure {
    pub fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Failure::File {
            doing,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Returns true if the reader closed the output: `monitorctl ... | head`.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Returns the text with all of its sources, each once, and a hint.
    pub fn message(&self) -> String {
        let mut text = Chain(self).to_string();
        if let Some(hint) = self.hint() {
            text.push_str("; ");
            text.push_str(hint);
        }
        text
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Failure::Client(
                Error::Connect { .. } | Error::Rpc(_) | Error::Io(_) | Error::Closed,
            ) => None,
            Failure::Client(_) => Some("do monitorctl and monitord have the same version?"),
            Failure::File { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                Some("name another file or directory")
            }
            _ => None,
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        let code = match self {
            Failure::Client(Error::Connect { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                PERMISSION
            }
            Failure::Client(Error::Connect { .. } | Error::Io(_) | Error::Closed) => UNREACHABLE,
            Failure::Client(Error::Rpc(error)) => rpc_exit_code(error),
            Failure::NotReady(_) => TIMED_OUT,
            Failure::Problems(_) => PROBLEMS,
            #[cfg(feature = "fleet")]
            Failure::Different => DIFFERENT,
            #[cfg(feature = "fleet")]
            Failure::Fleet(AskError::Denied(_)) => PERMISSION,
            #[cfg(feature = "fleet")]
            Failure::Fleet(AskError::Access(_) | AskError::Silent(_)) => UNREACHABLE,
            #[cfg(feature = "fleet")]
            Failure::Fleet(_) => USAGE,
            Failure::Client(_)
            | Failure::Output(_)
            | Failure::Json(_)
            | Failure::File { .. }
            | Failure::Listen { .. }
            | Failure::Arguments(_)
            | Failure::Signals(_)
            | Failure::Usage(_) => USAGE,
        };
        ExitCode::from(code)
    }
}

fn rpc_exit_code(error: &ErrorObject) -> u8 {
    match error.known_code() {
        Some(Code::BadSocket) => NO_CONNECTION,
        Some(Code::NotConnected) if error.reason() == Some(Reason::NotFound) => NO_CONNECTION,
        Some(Code::NotConnected | Code::NoData) => NO_DATA,
        Some(Code::TimedOut) => TIMED_OUT,
        Some(Code::Perm) => PERMISSION,
        Some(Code::Again) => UNREACHABLE,
        _ => USAGE,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Client(Error::Connect { path, source }) => explain_connect(f, path, source),
            Failure::Client(Error::Closed) => {
                f.write_str("the daemon closed the connection; its log has the reason")
            }
            Failure::Client(error) => error.fmt(f),
            Failure::Output(_) => f.write_str("cannot write the output"),
            Failure::Json(_) => f.write_str("cannot write the result as JSON"),
            Failure::File { doing, path, .. } => write!(f, "cannot {doing} {}", path.display()),
            Failure::Listen { address, .. } => write!(f, "cannot listen on {address}"),
            Failure::Signals(_) => f.write_str("cannot handle signals"),
            Failure::Problems(count) => write!(f, "{count} problems found"),
            Failure::NotReady(reason) => write!(f, "not ready in time: {reason}"),
            Failure::Arguments(error) => error.fmt(f),
            Failure::Usage(text) => f.write_str(text),
            #[cfg(feature = "fleet")]
            Failure::Fleet(error) => error.fmt(f),
            #[cfg(feature = "fleet")]
            Failure::Different => f.write_str("the captures differ"),
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // These kinds are explained in the text.
            Failure::Client(Error::Connect { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                None
            }
            Failure::Client(error) => error.source(),
            #[cfg(feature = "fleet")]
            Failure::Fleet(error) => error.source(),
            #[cfg(feature = "fleet")]
            Failure::Different => None,
            Failure::Output(source)
            | Failure::File { source, .. }
            | Failure::Listen { source, .. }
            | Failure::Signals(source) => Some(source),
            Failure::Json(source) => Some(source),
            Failure::NotReady(_)
            | Failure::Problems(_)
            | Failure::Arguments(_)
            | Failure::Usage(_) => None,
        }
    }
}

fn explain_connect(f: &mut fmt::Formatter<'_>, path: &Path, error: &io::Error) -> fmt::Result {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            write!(
                f,
                "no daemon listens on {shown}: start it (`sudo monitord`), or name its socket with --socket"
            )
        }
        io::ErrorKind::ConnectionRefused => {
            write!(
                f,
                "the daemon of {shown} has exited: start it again (`sudo monitord`)"
            )
        }
        io::ErrorKind::PermissionDenied => {
            write!(f, "permission denied on {shown}")?;
            match fs::metadata(path) {
                Ok(metadata) => {
                    let (mode, group) = (
                        metadata.permissions().mode() & 0o7777,
                        group_name(metadata.gid()),
                    );
                    write!(
                        f,
                        ": it has mode {mode:04o} and belongs to uid {} and group {group}; ",
                        metadata.uid()
                    )?;
                    write!(f, "run this as root, join that group, or change [rpc] mode")
                }
                Err(_) => write!(f, ": its directory is not accessible; run this as root"),
            }
        }
        _ => write!(f, "cannot connect to {shown}"),
    }
}

/// Returns the group's name, or its number if /etc/group doesn't list it.
fn group_name(gid: u32) -> String {
    let number = gid.to_string();
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let names = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id == number).then(|| name.to_owned())
    });
    names.take(1).next().unwrap_or(number)
}
