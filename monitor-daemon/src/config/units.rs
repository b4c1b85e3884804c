//! Values with units, in the notation of the file.

/// A number of bytes: `"512MiB"`, `"1GB"` or an integer.
pub(super) mod size {
    use std::fmt;

    use bytesize::ByteSize;
    use serde::{Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &u64, to: S) -> Result<S::Ok, S::Error> {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match UNITS
            .iter()
            .find(|(unit, _)| *bytes > 0 && bytes.is_multiple_of(*unit))
        {
            Some((unit, name)) => to.collect_str(&format_args!("{}{name}", bytes / unit)),
            None => to.serialize_u64(*bytes),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        from.deserialize_any(Visitor)
    }

    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of bytes, like \"512MiB\" or 536870912")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            let size: Result<ByteSize, _> = text.parse();
            size.map(|size| size.as_u64())
                .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
        }

        fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
            Ok(bytes)
        }

        fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
            u64::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
        }
    }
}

/// A time with its unit, or `"off"`.
pub(super) mod duration {
    use std::fmt;
    use std::time::Duration;

    use serde::{Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => to.collect_str(&humantime::format_duration(*duration)),
            None => to.serialize_str("off"),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        from.deserialize_any(Visitor)
    }

    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = Option<Duration>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time with its unit, like \"10m\", \"60s\" or \"250ms\", or \"off\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            if text == "off" {
                return Ok(None);
            }
            let duration = humantime::parse_duration(text);
            duration
                .map(Some)
                .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
}

/// Permission bits in octal: `"0660"`.
pub(super) mod mode {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(mode: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{mode:04o}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        let text = String::deserialize(from)?;
        let octal = u32::from_str_radix(&text, 8)
            .ok()
            .filter(|mode| *mode <= 0o777);
        octal.ok_or_else(|| {
            de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"permission bits in octal, like \"0660\"",
            )
        })
    }
}

/// Address prefixes; a bare address is a prefix of its full length.
pub(super) mod prefixes {
    use std::net::IpAddr;

    use ipnet::IpNet;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(prefixes: &[IpNet], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(prefixes.iter().map(ToString::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
        Vec::<String>::deserialize(from)?
            .iter()
            .map(|text| parse(text))
            .collect()
    }

    fn parse<E: de::Error>(text: &str) -> Result<IpNet, E> {
        let prefix = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        prefix.map_err(|_| {
            E::invalid_value(
                de::Unexpected::Str(text),
                &"a prefix, like \"10.0.0.0/8\" or \"2001:db8::/32\"",
            )
        })
    }
}

/// Kinds of tunnels: a list of their names, or true for all and false for none.
pub(super) mod tunnels {
    use std::fmt;

    use monitor_engine::{TunnelKind, TunnelKinds};
    use serde::{Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(kinds: &TunnelKinds, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(kinds.iter().map(TunnelKind::name))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TunnelKinds, D::Error> {
        from.deserialize_any(Visitor)
    }

    struct Visitor;

    impl<'de> de::Visitor<'de> for Visitor {
        type Value = TunnelKinds;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(
                "true, false, or a list of \"gre\", \"ipip\", \"vxlan\", \"geneve\", \"erspan\"",
            )
        }

        fn visit_bool<E: de::Error>(self, all: bool) -> Result<TunnelKinds, E> {
            Ok(if all {
                TunnelKinds::ALL
            } else {
                TunnelKinds::default()
            })
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<TunnelKinds, A::Error> {
            let mut kinds = TunnelKinds::default();
            while let Some(name) = list.next_element::<String>()? {
                let kind = TunnelKind::ALL.into_iter().find(|kind| kind.name() == name);
                let unknown = || de::Error::invalid_value(de::Unexpected::Str(&name), &self);
                kinds = kinds.with(kind.ok_or_else(unknown)?);
            }
            Ok(kinds)
        }
    }
}
