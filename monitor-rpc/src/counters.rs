//! Counters by name, in the server's order.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// Group of counters in `stats`: names and values, in the server's order. A JSON object on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(pub Vec<(Cow<'static, str>, u64)>);

impl Counters {
    /// Returns the value of a counter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|&(_, value)| value)
    }

    /// Adds `value` to a counter; a new one is appended.
    pub fn add(&mut self, name: &'static str, value: u64) {
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, sum)) => *sum = sum.saturating_add(value),
            None => self.0.push((Cow::Borrowed(name), value)),
        }
    }
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Counters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CountersVisitor)
    }
}

struct CountersVisitor;

impl<'de> Visitor<'de> for CountersVisitor {
    type Value = Counters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of counters")
    }

    /// Skips members that are not whole numbers, which are unknown to this version.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counters, A::Error> {
        let mut counters = Counters::default();
        while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
            if let Some(value) = value.as_u64() {
                counters.0.push((Cow::Owned(name), value));
            }
        }
        Ok(counters)
    }
}

impl JsonSchema for Counters {
    fn schema_name() -> Cow<'static, str> {
        "Counters".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Counters by name.",
            "type": "object",
            "additionalProperties": u64::json_schema(generator),
        })
    }
}
