//! Numbers of parameters: whole ones are below 2^53, so that every JSON reader keeps them exact.

use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// Largest whole number of a parameter.
pub const MAX: u64 = (1 << 53) - 1;

/// Largest port.
const MAX_PORT: u64 = u16::MAX as u64;

/// For `#[serde(skip_serializing_if)]`: returns whether a parameter is absent.
pub(crate) fn none<T>(parameter: &Option<T>) -> bool {
    parameter.is_none()
}

/// For `#[serde(deserialize_with)]`: reads a required parameter.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_u64(Whole { max: MAX })
}

/// For `#[serde(default, deserialize_with)]`: reads an optional parameter; `null` is the same as absent.
pub(crate) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_option(Optional(Whole { max: MAX }))
}

/// For `#[serde(default, deserialize_with)]`: reads an optional time in seconds, with or without a fraction.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    deserializer.deserialize_option(OptionalSeconds)
}

/// For `#[serde(default, deserialize_with)]`: reads an optional TCP port.
pub(crate) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let port = deserializer.deserialize_option(Optional(Whole { max: MAX_PORT }))?;
    Ok(port.map(|port| port as u16))
}

struct Whole {
    max: u64,
}

impl Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 0 to {}", self.max)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        if value <= self.max {
            Ok(value)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(value), &self))
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }
}

struct Optional(Whole);

impl<'de> Visitor<'de> for Optional {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u64>, D::Error> {
        deserializer.deserialize_u64(self.0).map(Some)
    }
}

struct OptionalSeconds;

impl<'de> Visitor<'de> for OptionalSeconds {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Seconds.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<Option<f64>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<f64>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<f64>, D::Error> {
        deserializer.deserialize_f64(Seconds).map(Some)
    }
}

struct Seconds;

impl Visitor<'_> for Seconds {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds, 0 or more")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        let sound = value.is_finite() && value >= 0.0;
        if sound {
            Ok(value)
        } else {
            Err(E::invalid_value(Unexpected::Float(value), &self))
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Err(E::invalid_value(Unexpected::Signed(value), &self))
    }
}
