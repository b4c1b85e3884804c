//! `config.get`, `config.test`, `config.reload`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use monitor_rpc::ErrorObject;
use monitor_rpc::types::{
    Applies, Change, ConfigGet, ConfigGetParams, ConfigReload, ConfigReloadParams, ConfigTest,
    ConfigTestParams,
};
use serde_json::value::RawValue;

use super::handler::Serve;
use crate::config::Config;
use crate::rpc::access::peer::Peer;
use crate::rpc::access::policy::{self, AccessPolicy};
use crate::rpc::protocol::errors;
use crate::rpc::session::Session;
use crate::rpc::shared::Shared;
use crate::util::chain::Chain;
use crate::util::systemd;

/// Name of the request's text in error messages.
const TEXT: &str = "text";

impl Serve for ConfigGetParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = get(&session.shared);
        session.result(id, &result);
        Ok(())
    }
}

impl Serve for ConfigTestParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = test(&session.shared, &session.peer, self).await;
        session.reply(id, result);
        Ok(())
    }
}

impl Serve for ConfigReloadParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = reload(&session.shared).await;
        session.reply(id, result);
        Ok(())
    }

    async fn notify(self, session: &mut Session) {
        if let Err(error) = reload(&session.shared).await {
            tracing::warn!(%error, "the settings were not changed");
        }
    }
}

fn get(shared: &Shared) -> ConfigGet {
    let settings = &shared.status.settings;
    let file = settings
        .source()
        .file()
        .map(|path| path.display().to_string());
    ConfigGet {
        config: settings.sections(),
        file,
    }
}

async fn test(
    shared: &Arc<Shared>,
    peer: &Peer,
    params: ConfigTestParams,
) -> Result<ConfigTest, ErrorObject> {
    let own = rustix::process::geteuid().as_raw();
    if params.file.is_some() && !peer.uid.is_some_and(|uid| uid == 0 || uid == own) {
        return Err(errors::not_your_file(peer));
    }
    let changes = aside(shared, move |shared| planned(shared, &params)).await?;
    Ok(ConfigTest {
        valid: true,
        changes,
    })
}

fn planned(shared: &Shared, params: &ConfigTestParams) -> Result<Vec<Change>, ErrorObject> {
    let settings = &shared.status.settings;
    let checked = |config: Result<Config, String>| {
        let config = config?;
        config
            .check_memory()
            .map_err(|error| Chain(&error).to_string())?;
        policy::check(&config.rpc).map_err(|error| Chain(&error).to_string())?;
        Ok(settings.changes(&config))
    };
    match (&params.text, &params.file) {
        (Some(_), Some(_)) => Err(errors::parameter(
            "file",
            "parameter `file` cannot be given together with `text`",
        )),
        (Some(text), None) => {
            let parsed = settings
                .source()
                .parse(text, TEXT)
                .map_err(|error| Chain(&error).to_string());
            checked(parsed).map_err(|why: String| {
                errors::parameter("text", format!("parameter `text` is wrong: {why}"))
            })
        }
        (None, Some(file)) => {
            let parsed = settings
                .source()
                .read_from(Path::new(file))
                .map_err(|error| Chain(&error).to_string());
            checked(parsed).map_err(|why: String| {
                errors::parameter("file", format!("parameter `file` is wrong: {why}"))
            })
        }
        (None, None) => checked(
            settings
                .source()
                .read()
                .map_err(|error| Chain(&error).to_string()),
        )
        .map_err(errors::config),
    }
}

async fn reload(shared: &Arc<Shared>) -> Result<ConfigReload, ErrorObject> {
    let _one_at_a_time = shared.reload.lock().await;
    systemd::reloading();
    let changes = aside(shared, reload_now).await;
    systemd::ready();
    Ok(ConfigReload { changes: changes? })
}

/// Reloads the settings and logs the outcome, which no client waits for.
pub(crate) async fn reload_by_signal(shared: &Arc<Shared>) {
    match reload(shared).await {
        Ok(ConfigReload { changes }) => {
            tracing::info!("the settings were read again: {} changes", changes.len());
        }
        Err(error) => {
            tracing::error!("{}; the old settings stay", error.message);
        }
    }
}

fn reload_now(shared: &Shared) -> Result<Vec<Change>, ErrorObject> {
    let settings = &shared.status.settings;
    let config = settings
        .source()
        .read()
        .map_err(|error| errors::config(Chain(&error)))?;
    config
        .check_memory()
        .map_err(|error| errors::config(Chain(&error)))?;
    // Names are looked up before anything changes.
    let policy =
        AccessPolicy::new(config.rpc.clone()).map_err(|error| errors::config(Chain(&error)))?;
    let (now, changes) = settings.install(&config);
    shared.accounts.resize(now.rpc.memory);
    shared
        .policy
        .send_replace(Arc::new(policy.with_settings(now.rpc)));
    for Change {
        key,
        from,
        to,
        applies,
    } in &changes
    {
        let when = if *applies == Applies::Now {
            "now"
        } else {
            "after a restart"
        };
        tracing::info!("{key} is {to} instead of {from}, {when}");
    }
    Ok(changes)
}

/// Runs work that may wait for a disk, a user database or the workers on a thread of its own.
async fn aside<T: Send + 'static>(
    shared: &Arc<Shared>,
    body: impl FnOnce(&Shared) -> Result<T, ErrorObject> + Send + 'static,
) -> Result<T, ErrorObject> {
    let shared = Arc::clone(shared);
    match tokio::task::spawn_blocking(move || body(&shared)).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "the settings could not be looked at");
            Err(errors::config(
                "the daemon failed to look at its settings; see its log",
            ))
        }
    }
}
