//! Tests of the settings.

use monitor_client::Chain;

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

#[test]
fn the_example_file_shows_the_defaults() {
    let example = include_str!("../relay.toml");
    assert_eq!(parse(example).unwrap(), Config::default());
}

#[test]
fn an_unknown_key_is_named() {
    for (text, key) in [
        ("[metrics]\nlissten = []", "lissten"),
        ("[monitor]\nsock = 'x'", "sock"),
        ("[metric]\n", "metric"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(&format!("`{key}`")), "{error}");
    }
}

#[test]
fn an_error_names_the_line_and_quotes_no_password() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for settings in [
        "[monitor]\n\nurl = 'tls://relay:secret@hub'",
        "[fleet]\n\nurls = 'tls://relay:secret@hub'",
        "[fleet]\n\nurl = ['tls://relay:secret@hub']",
        "[fleet]\n\nurl = 'tls://relay:secret@hub' secret",
    ] {
        std::fs::write(file.path(), settings).unwrap();
        let error = Config::read(file.path()).unwrap_err();
        let text = Chain(&error).to_string();
        assert!(text.contains(":3: "), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn a_misspelt_level_is_named() {
    let error = parse("[log]\nlevel = 'inof'").unwrap_err();
    assert!(
        error.contains("inof") && error.contains("`info`"),
        "{error}"
    );
    assert_eq!(
        parse("[log]\nlevel = 'debug'").unwrap().log.level.name(),
        "debug"
    );
}

#[cfg(feature = "fleet")]
#[test]
fn wrong_settings_of_the_fleet_are_named() {
    for (settings, key) in [
        ("allow = ['ppeek']", "fleet.allow"),
        ("cert = 'c.pem'", "fleet.cert"),
        ("url = 'nats://h'\nhost = 'a.b'", "fleet.host"),
        ("spool_size = 'much'", "fleet.spool_size"),
        ("events = ['opening']", "opening"),
    ] {
        let error = parse(&format!("[fleet]\n{settings}")).unwrap_err();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn listeners_are_loopback_addresses_and_unix_sockets() {
    let listen = |value: &str| {
        Ok::<_, String>(
            parse(&format!("[metrics]\nlisten = {value}"))?
                .metrics
                .listen,
        )
    };
    let tcp = Listen::Tcp("[::1]:9464".parse().unwrap());
    assert_eq!(listen("'[::1]:9464'").unwrap(), std::slice::from_ref(&tcp));
    let unix = Listen::Unix("/run/m.sock".into());
    assert_eq!(
        listen("['[::1]:9464', 'unix:/run/m.sock']").unwrap(),
        [tcp, unix]
    );
    assert!(
        listen("'0.0.0.0:9464'")
            .unwrap_err()
            .contains("other hosts")
    );
    assert!(
        listen("'unix:m.sock'")
            .unwrap_err()
            .contains("start with /")
    );
    assert!(listen("'9464'").unwrap_err().contains("neither"));
}
