//! Failures as errno values.

use std::ffi::c_int;
use std::io;

use monitor_client::{Code, Error};

/// Value for `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) c_int);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure(match error {
            // The RPC's codes are errno numbers, except for protocol errors.
            Error::Rpc(error) => match error.known_code() {
                Some(code) if code.is_errno() => {
                    c_int::try_from(code.number()).unwrap_or(libc::EPROTO)
                }
                // A daemon older than this library.
                Some(Code::Method) => libc::ENOSYS,
                _ => libc::EPROTO,
            },
            Error::Connect { source, .. } | Error::Io(source) => number(&source),
            Error::Closed => libc::ECONNRESET,
            // Every descriptor is invalid.
            Error::Restarted => libc::EBADF,
            _ => libc::EPROTO,
        })
    }
}

fn number(error: &io::Error) -> c_int {
    error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::UnexpectedEof => libc::ECONNRESET,
        _ => libc::EIO,
    })
}

/// Converts a result for C: the value, or -1 with errno set. Success doesn't change errno.
pub(crate) fn answer<T: From<i8>>(result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|Failure(number)| {
        errno::set_errno(errno::Errno(number));
        T::from(-1)
    })
}

#[cfg(test)]
mod tests {
    use monitor_client::ErrorObject;

    use super::*;

    fn rpc(code: i64) -> Failure {
        Error::Rpc(ErrorObject {
            code,
            message: String::new(),
            data: None,
        })
        .into()
    }

    #[test]
    fn the_codes_of_the_rpc_are_the_errno_values_of_the_manual_page() {
        let page = [
            libc::EACCES,
            libc::EBADF,
            libc::EINVAL,
            libc::ESOCKTNOSUPPORT,
            libc::ENOTCONN,
            libc::ENODATA,
            libc::EPERM,
        ];
        for number in page {
            assert_eq!(rpc(i64::from(number)), Failure(number));
        }
        assert_eq!(rpc(-32601), Failure(libc::ENOSYS));
        assert_eq!(rpc(-32602), Failure(libc::EPROTO));
        assert_eq!(rpc(1 << 40), Failure(libc::EPROTO));
    }

    #[test]
    fn a_failure_is_minus_one_with_errno() {
        assert_eq!(answer::<isize>(Err(Failure(libc::ENODATA))), -1);
        assert_eq!(errno::errno().0, libc::ENODATA);
        assert_eq!(answer(Ok(7_i32)), 7);
        assert_eq!(errno::errno().0, libc::ENODATA, "success leaves it alone");
    }
}
