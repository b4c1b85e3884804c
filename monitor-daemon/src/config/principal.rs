//! Users and groups in `[rpc] readers`, `[rpc] admins` and `[rpc] attach`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A user, or a group of users. Names are looked up when the daemon starts or reads its settings again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// `"alice"`.
    User(String),
    /// `"1000"` or 1000.
    Uid(u32),
    /// `"@wheel"`.
    Group(String),
    /// `"@10"`.
    Gid(u32),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "{name}"),
            Self::Uid(uid) => write!(f, "{uid}"),
            Self::Group(name) => write!(f, "@{name}"),
            Self::Gid(gid) => write!(f, "@{gid}"),
        }
    }
}

impl Serialize for Principal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Principal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a user, like \"alice\" or 1000, or a group, like \"@wheel\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Principal, E> {
        let name = text.strip_prefix('@').unwrap_or(text);
        if name.is_empty() || name.contains(['@', '\0', ':']) {
            return Err(E::invalid_value(de::Unexpected::Str(text), &self));
        }
        // Tools that create users refuse names of digits only, for this reason.
        Ok(match (text.starts_with('@'), name.parse()) {
            (false, Ok(uid)) => Principal::Uid(uid),
            (false, Err(_)) => Principal::User(name.to_owned()),
            (true, Ok(gid)) => Principal::Gid(gid),
            (true, Err(_)) => Principal::Group(name.to_owned()),
        })
    }

    fn visit_i64<E: de::Error>(self, uid: i64) -> Result<Principal, E> {
        let uid =
            u32::try_from(uid).map_err(|_| E::invalid_value(de::Unexpected::Signed(uid), &self))?;
        Ok(Principal::Uid(uid))
    }

    fn visit_u64<E: de::Error>(self, uid: u64) -> Result<Principal, E> {
        let uid = u32::try_from(uid)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(uid), &self))?;
        Ok(Principal::Uid(uid))
    }
}
