//! Printer of an error together with its sources.

use std::error::Error;
use std::fmt;

/// Displays an error and the chain of its sources: `cannot open a.pcap: No such file or directory`.
///
/// The texts of this project's errors never contain their source. Those of some libraries do: a source that the text before
/// it ends with is left out.
///
/// ```
/// use monitor_rpc::Chain;
///
/// let error = std::io::Error::other("no space");
/// assert_eq!(Chain(&error).to_string(), "no space");
/// ```
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        f.write_str(&text)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let next = error.to_string();
            if !text.ends_with(&next) {
                write!(f, ": {next}")?;
            }
            text = next;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot open the file")]
        Plain(#[source] io::Error),
        #[error("cannot open the file: {0}")]
        Repeats(#[source] io::Error),
    }

    #[test]
    fn each_source_is_printed_once() {
        let not_found = || io::Error::other("not found");
        for error in [Outer::Plain(not_found()), Outer::Repeats(not_found())] {
            assert_eq!(Chain(&error).to_string(), "cannot open the file: not found");
        }
    }
}
