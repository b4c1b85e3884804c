//! TLS key log (SSLKEYLOGFILE), of which only the lines of exported sessions leave.
//!
//! A whole key log opens sessions that have nothing to do with the export. The file is read as it grows, since a client
//! writes a session's secrets during its handshake.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::client_hello::{ClientRandom, client_randoms};
use crate::failure::Failure;

/// Key log that is read.
pub struct KeyLog {
    file: File,
    path: PathBuf,
    /// Start of a line whose end is not written yet.
    partial: Vec<u8>,
    /// Lines that were not returned, by session.
    lines: HashMap<ClientRandom, Vec<u8>>,
    /// Exported sessions.
    wanted: HashSet<ClientRandom>,
}

impl KeyLog {
    /// Opens a key log.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file =
            File::open(path).map_err(|source| Failure::file("read the key log", path, source))?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            partial: Vec::new(),
            lines: HashMap::new(),
            wanted: HashSet::new(),
        })
    }

    /// Notes the sessions that start in these bytes of an exported stream.
    pub fn search(&mut self, bytes: &[u8]) {
        self.wanted.extend(client_randoms(bytes));
    }

    /// Returns the lines of exported sessions that were not returned before; none: empty.
    pub fn take(&mut self) -> Result<Vec<u8>, Failure> {
        let mut text = std::mem::take(&mut self.partial);
        self.file
            .read_to_end(&mut text)
            .map_err(|source| Failure::file("read the key log", &self.path, source))?;
        let complete = text.iter().rposition(|byte| *byte == b'\n');
        self.partial = text.split_off(complete.map_or(0, |end| end + 1));
        for line in text.split(|byte| *byte == b'\n') {
            if let Some(random) = session(line) {
                let lines = self.lines.entry(random).or_default();
                lines.extend(line.trim_ascii());
                lines.push(b'\n');
            }
        }
        let wanted = &self.wanted;
        let taken = self
            .lines
            .extract_if(|random, _| wanted.contains(random))
            .flat_map(|(_, lines)| lines);
        Ok(taken.collect())
    }
}

/// Returns the session of a line: LABEL, client random, secret.
fn session(line: &[u8]) -> Option<ClientRandom> {
    let mut fields = line
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty());
    let (label, random, secret) = (fields.next()?, fields.next()?, fields.next()?);
    let is_label = label
        .iter()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    let is_line = is_label && fields.next().is_none() && is_hex(secret) && is_hex(random);
    if !is_line || random.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(random.as_chunks::<2>().0) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn is_hex(field: &[u8]) -> bool {
    field.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;

    fn line(label: &str, random: u8) -> String {
        format!("{label} {} 00ff\n", format!("{random:02x}").repeat(32))
    }

    #[test]
    fn only_lines_of_exported_sessions_are_returned_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let (own, late, other) = (
            line("CLIENT_RANDOM", 7),
            line("EXPORTER_SECRET", 7),
            line("CLIENT_RANDOM", 8),
        );
        std::fs::write(&path, format!("# comment\n{other}{own}{}", &late[..20])).unwrap();
        let mut log = KeyLog::open(&path).unwrap();
        assert!(log.take().unwrap().is_empty());
        let mut hello = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
        hello.extend([7; 32]);
        log.search(&hello);
        assert_eq!(log.take().unwrap(), own.as_bytes());
        assert!(log.take().unwrap().is_empty());
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&late.as_bytes()[20..]).unwrap();
        assert_eq!(log.take().unwrap(), late.as_bytes());
    }

    #[test]
    fn lines_of_another_form_belong_to_no_session() {
        let good = line("SERVER_TRAFFIC_SECRET_0", 3);
        assert_eq!(session(good.trim_end().as_bytes()), Some([3; 32]));
        for bad in [
            "",
            "# x",
            "CLIENT_RANDOM 00 00",
            "RSA 0011223344556677 00",
            "CLIENT_RANDOM",
        ] {
            assert_eq!(session(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(
            session(format!("{} more", good.trim_end()).as_bytes()),
            None
        );
    }
}
