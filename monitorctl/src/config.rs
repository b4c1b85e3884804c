//! The verb `config`: the daemon's settings.

use std::fs;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use monitor_client::types::{Applies, Change, ConfigTestParams};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::table::{Align, Table};

/// Action on the settings.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the current settings, in the form of the file
    Get {
        /// A section or a setting: store, store.window
        key: Option<String>,
    },
    /// Check settings, and show the changes that they would make (admins)
    Test {
        /// A local file, `-` for standard input; by default the daemon's own file
        file: Option<PathBuf>,
    },
    /// Make the daemon read its file again, and show the changes (admins)
    Reload,
}

pub fn config<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Get { key } => get(context, key.as_deref()),
        Action::Test { file } => {
            let text = file.as_deref().map(text).transpose()?;
            let tested = context
                .client
                .config_test(&ConfigTestParams { text, file: None })?;
            if context.json {
                context.json(&tested)
            } else {
                changes(&mut context.out, &tested.changes)
            }
        }
        Action::Reload => {
            let reloaded = context.client.config_reload()?;
            if context.json {
                context.json(&reloaded)
            } else {
                changes(&mut context.out, &reloaded.changes)
            }
        }
    }
}

/// Reads the settings on the client's side: the daemon may not be able to read the file.
fn text(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        return read
            .map(|_| text)
            .map_err(|source| Failure::file("read", path, source));
    }
    fs::read_to_string(path).map_err(|source| Failure::file("read", path, source))
}

fn get<W: Write>(context: &mut Context<W>, key: Option<&str>) -> Result<(), Failure> {
    let got = context.client.config_get()?;
    let Some(key) = key else {
        if context.json {
            return context.json(&got);
        }
        if let Some(file) = &got.file {
            writeln!(context.out, "# {file}")?;
        }
        return print(&mut context.out, &Value::Object(got.config));
    };
    let value = find(&got.config, key).ok_or(Failure::Usage(
        "no such setting; `config get` lists all of them",
    ))?;
    if context.json {
        context.json(value)
    } else {
        print(&mut context.out, value)
    }
}

fn find<'a>(config: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let first = config.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// Prints tables in the form of the file, and a single value without its quotes for scripts.
fn print(out: &mut impl Write, value: &Value) -> Result<(), Failure> {
    match value {
        Value::Object(_) => match toml::to_string(value) {
            Ok(text) => write!(out, "{text}")?,
            // TOML has no null.
            Err(_) => writeln!(out, "{value:#}")?,
        },
        Value::String(text) => writeln!(out, "{text}")?,
        other => writeln!(out, "{other}")?,
    }
    Ok(())
}

fn changes(out: &mut impl Write, changes: &[Change]) -> Result<(), Failure> {
    if changes.is_empty() {
        writeln!(out, "nothing changes")?;
        return Ok(());
    }
    let columns = ["SETTING", "FROM", "TO", "APPLIES"].map(|heading| (heading, Align::Left));
    let mut table = Table::new(columns);
    for change in changes {
        let applies = match change.applies {
            Applies::Now => "now",
            Applies::Restart => "after a restart",
        };
        table.row([
            change.key.clone(),
            change.from.to_string(),
            change.to.to_string(),
            applies.to_owned(),
        ]);
    }
    table.print(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_print_as_toml_and_single_values_plain() {
        let config = json!({"store": {"window": "1MiB"}, "filter": {"ports": [80]}});
        let printed = |value: &Value| {
            let mut out = Vec::new();
            print(&mut out, value).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(printed(&config).contains("[store]\n"));
        let map = config.as_object().unwrap();
        assert_eq!(printed(find(map, "store.window").unwrap()), "1MiB\n");
        assert_eq!(printed(find(map, "filter.ports").unwrap()), "[80]\n");
        assert_eq!(find(map, "store.nothing"), None);
    }
}
