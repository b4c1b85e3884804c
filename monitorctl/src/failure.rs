//! Failures: a sentence that says what to do, and an exit code for scripts.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use monitor_client::{Code, Error, ErrorObject, Reason};

/// Wrong usage, or anything that has no code of its own.
pub const USAGE: u8 = 1;
const UNREACHABLE: u8 = 2;
const NO_CONNECTION: u8 = 3;
const NO_DATA: u8 = 4;
const PERMISSION: u8 = 5;
const TIMED_OUT: u8 = 6;

/// What scripts can tell apart, for the help and the manual page.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done; also when whoever reads the output has enough"),
    (USAGE, "wrong usage, or any other failure"),
    (UNREACHABLE, "the daemon cannot be reached, or has no room"),
    (NO_CONNECTION, "no such connection, or it is gone"),
    (NO_DATA, "no data at that offset"),
    (PERMISSION, "permission denied"),
    (TIMED_OUT, "it did not happen in time"),
];

/// The same as text.
pub fn exit_codes() -> String {
    let lines = EXIT_CODES
        .iter()
        .map(|(code, meaning)| format!("\n  {code}  {meaning}"));
    format!("Exit codes:{}", lines.collect::<String>())
}

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The daemon could not be asked, or refused.
    Client(Error),
    /// What was to be printed could not be.
    Output(io::Error),
    /// The result has no JSON form.
    Json(serde_json::Error),
    /// A file could not be used.
    File {
        /// What was to be done with it.
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// What was asked cannot be done; the sentence says what can.
    Usage(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Client(error)
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

    /// Whoever read our output has enough: `monitorctl ... | head`.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
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
            Failure::Client(_)
            | Failure::Output(_)
            | Failure::Json(_)
            | Failure::File { .. }
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
            Failure::Client(Error::Rpc(error)) => error.fmt(f),
            Failure::Client(Error::Io(source)) => {
                write!(f, "the connection to the daemon broke: {source}")
            }
            Failure::Client(Error::Closed) => {
                write!(
                    f,
                    "the daemon closed the connection; its log says why (is it stopping?)"
                )
            }
            Failure::Client(error) => write!(
                f,
                "{error}; do monitorctl and monitord have the same version?"
            ),
            Failure::Output(error) => write!(f, "cannot write the output: {error}"),
            Failure::Json(error) => write!(f, "cannot write the result as JSON: {error}"),
            Failure::File {
                doing,
                path,
                source,
            } if source.kind() == io::ErrorKind::AlreadyExists => {
                write!(
                    f,
                    "cannot {doing} {}: it is there already; name another directory",
                    path.display()
                )
            }
            Failure::File {
                doing,
                path,
                source,
            } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Failure::Usage(sentence) => f.write_str(sentence),
        }
    }
}

fn explain_connect(f: &mut fmt::Formatter<'_>, path: &Path, error: &io::Error) -> fmt::Result {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            write!(
                f,
                "no daemon serves on {shown}: start it (`sudo monitord`), or name its socket with --socket"
            )
        }
        io::ErrorKind::ConnectionRefused => {
            write!(
                f,
                "the daemon that made {shown} is gone: start it again (`sudo monitord`)"
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
                Err(_) => write!(f, ": its directory is closed to you; run this as root"),
            }
        }
        _ => write!(f, "cannot connect to {shown}: {error}"),
    }
}

/// The group's name, or its number if /etc/group does not have it.
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
