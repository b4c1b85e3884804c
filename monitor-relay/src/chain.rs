//! Error with its sources, in one line.

use std::error::Error;
use std::fmt;

/// Displays an error and its sources, separated by colons.
///
/// ```
/// use monitor_relay::chain::Chain;
///
/// let error = std::io::Error::other("no space");
/// assert_eq!(Chain(&error).to_string(), "no space");
/// ```
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
