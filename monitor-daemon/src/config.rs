//! config.toml: settings with their defaults and their checks.
