//! The verb `extcap install`.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Name by which Wireshark starts the program.
pub const NAME: &str = "monitor-extcap";

/// Directories.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For all users: in the directories of the Wireshark that is installed (root)
    #[arg(long, conflicts_with = "dir")]
    system: bool,
    /// Only in this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn install(out: &mut impl Write, args: &Args) -> Result<(), Failure> {
    let program = env::current_exe().map_err(|source| {
        Failure::file("find this program at", Path::new("/proc/self/exe"), source)
    })?;
    let directories = match &args.dir {
        Some(dir) => vec![dir.clone()],
        None if args.system => system_directories(),
        None => user_directories(env::var_os("HOME"), env::var_os("XDG_CONFIG_HOME"))?,
    };
    if directories.is_empty() {
        return Err(Failure::Usage(
            "no extcap directory of Wireshark was found in /usr: install Wireshark, or name the directory with --dir",
        ));
    }
    for directory in &directories {
        let link = link(directory, &program)?;
        writeln!(out, "{} -> {}", link.display(), program.display())?;
    }
    Ok(())
}

/// Returns this user's directories: of Wireshark before and after its version 4.6.
fn user_directories(
    home: Option<std::ffi::OsString>,
    config: Option<std::ffi::OsString>,
) -> Result<Vec<PathBuf>, Failure> {
    let Some(home) = home.filter(|home| !home.is_empty()).map(PathBuf::from) else {
        return Err(Failure::Usage(
            "HOME is not set: name the directory with --dir",
        ));
    };
    let config = config
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| home.join(".config"));
    Ok([config, home.join(".local/lib")]
        .map(|path| path.join("wireshark/extcap"))
        .into())
}

/// Returns the directories of installed versions.
fn system_directories() -> Vec<PathBuf> {
    let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let fixed = ["/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/local/lib"];
    let candidates = fixed
        .iter()
        .map(PathBuf::from)
        .chain(multiarch.map(|entry| entry.path()))
        .map(|path| path.join("wireshark/extcap"));
    let mut found: Vec<_> = candidates.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// Creates the link, in place of an older one. Another file of that name stays.
fn link(directory: &Path, program: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(directory)
        .map_err(|source| Failure::file("create the directory", directory, source))?;
    let path = directory.join(NAME);
    if path.is_symlink() {
        fs::remove_file(&path).map_err(|source| Failure::file("replace", &path, source))?;
    }
    match symlink(program, &path) {
        Ok(()) => Ok(path),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Err(Failure::Usage(
            "a file monitor-extcap that is not a link is in the way: remove it",
        )),
        Err(source) => Err(Failure::file("create the link", &path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("new/extcap");
        let path = link(&directory, Path::new("/one")).unwrap();
        link(&directory, Path::new("/two")).unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("/two"));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(link(&directory, Path::new("/three")).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn both_directories_of_a_user_are_known() {
        let directories = |config: Option<&str>| {
            user_directories(Some("/home/a".into()), config.map(Into::into)).unwrap()
        };
        let local = PathBuf::from("/home/a/.local/lib/wireshark/extcap");
        assert_eq!(
            directories(None),
            ["/home/a/.config/wireshark/extcap".into(), local.clone()]
        );
        assert_eq!(
            directories(Some("/c")),
            ["/c/wireshark/extcap".into(), local]
        );
        assert!(user_directories(None, None).is_err());
    }
}
