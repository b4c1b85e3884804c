//! Calls: methods with their parsed parameters, generated from the table of methods.

use monitor_rpc::types::*;
use monitor_rpc::{ErrorObject, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::rpc::protocol::errors;

macro_rules! calls {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident = $name:literal $role:ident $params:ty => $result:ty, [$($reason:ident)*];
    )+) => {
        /// Call of a method.
        #[derive(Debug)]
        pub(crate) enum Call {
            $($variant($params),)+
        }

        impl Call {
            /// Parses the parameters of a method.
            pub(crate) fn parse(name: &str, raw: Option<&RawValue>) -> Result<Self, ErrorObject> {
                let method = Method::from_name(name).ok_or_else(|| errors::method(name))?;
                match method {
                    $(Method::$variant => params(raw).map(Self::$variant),)+
                }
            }
        }
    };
}

monitor_rpc::for_each_method!(calls);

/// Parses a method's parameters. Absent and `null` are the same as `{}`.
fn params<T: DeserializeOwned>(raw: Option<&RawValue>) -> Result<T, ErrorObject> {
    let text = match raw.map(RawValue::get) {
        None | Some("null") => "{}",
        Some(text) if text.starts_with('{') => text,
        Some(_) => {
            return Err(errors::parameters(
                "\"params\" is an object: parameters have names",
            ));
        }
    };
    serde_json::from_str(text).map_err(|error| explain::<T>(text, &error))
}

/// Returns the error for parameters that don't parse. They are parsed again by a slower way, which knows the path of the
/// error and doesn't append a position in the text.
fn explain<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> ErrorObject {
    let found = serde_json::from_str::<Value>(text).map(serde_path_to_error::deserialize::<_, T>);
    let (path, message) = match found {
        Ok(Err(error)) => (error.path().to_string(), error.into_inner().to_string()),
        // Parameters that are given twice, or invalid JSON.
        Ok(Ok(_)) | Err(_) => (".".to_owned(), error.to_string()),
    };
    // Errors of the whole object (missing, unknown, given twice) quote the name.
    let name = match path.as_str() {
        "." => message.split('`').nth(1).unwrap_or_default(),
        path => path,
    };
    errors::parameter(name, format!("parameter `{name}`: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(method: &str, params: &str) -> ErrorObject {
        let raw: Box<RawValue> = serde_json::from_str(params).unwrap();
        Call::parse(method, Some(&raw)).unwrap_err()
    }

    /// Returns the parameter that the error names, in `data` and in its sentence.
    fn named(method: &str, params: &str) -> String {
        let error = refused(method, params);
        assert_eq!(error.code, -32602, "{params}: {error}");
        let name = error.data.as_ref().unwrap().parameter.clone().unwrap();
        assert!(error.message.contains(&format!("`{name}`")), "{error}");
        name
    }

    #[test]
    fn wrong_parameters_are_named() {
        let peek = |more: &str| {
            named(
                "ppeek",
                &format!(r#"{{"sockid":1,"side":"client","off":0,{more}}}"#),
            )
        };
        assert_eq!(peek(r#""len":1,"colour":2"#), "colour");
        assert_eq!(peek(r#""leng":1"#), "leng");
        assert_eq!(peek(r#""encoding":"raw""#), "len");
        assert_eq!(peek(r#""len":1,"len":2"#), "len");
        assert_eq!(peek(r#""len":1,"encoding":"hex""#), "encoding");
        for number in [
            "-1",
            "1.5",
            "1e3",
            "\"1\"",
            "null",
            "[]",
            "9007199254740992",
            "18446744073709551616",
            "true",
        ] {
            assert_eq!(peek(&format!(r#""len":{number}"#)), "len", "{number}");
        }
        for side in ["2", "-1", "\"Client\"", "null", "0.0", "\"both\""] {
            let params = format!(r#"{{"sockid":1,"side":{side},"off":0,"len":1}}"#);
            assert_eq!(named("ppeek", &params), "side", "{side}");
        }
        assert_eq!(named("sockets", r#"{"port":65536}"#), "port");
        assert_eq!(named("sockets", r#"{"port":-1}"#), "port");
        assert_eq!(named("sockets", r#"{"limit":-1}"#), "limit");
        assert_eq!(named("sockets", r#"{"state":"OPEN"}"#), "state");
        assert_eq!(named("stats", r#"{"x":1}"#), "x");
        assert_eq!(
            named("lookup", r#"{"client":"10.0.0.1","server":"10.0.0.1:1"}"#),
            "client"
        );
    }

    #[test]
    fn sentences_are_plain() {
        let error = refused("info", r#"{"sockid":-1}"#);
        let expected = "parameter `sockid`: invalid value: integer `-1`, expected a whole number from 0 to 9007199254740991";
        assert_eq!(error.message, expected);
        let error = refused("info", r#"{"sockid":1,"sid":2}"#);
        assert_eq!(
            error.message,
            "parameter `sid`: unknown field `sid`, expected `sockid` or `worker`"
        );
        let error = refused("peekaboo", "{}");
        assert_eq!(error.code, -32601);
        assert!(
            error.message.contains("\"peekaboo\"") && error.message.contains("ppeek"),
            "{error}"
        );
    }

    #[test]
    fn parameters_have_names() {
        assert_eq!(refused("info", "[1]").code, -32602);
        assert_eq!(refused("info", "7").code, -32602);
        assert!(Call::parse("stats", None).is_ok());
        let null: Box<RawValue> = serde_json::from_str("null").unwrap();
        assert!(Call::parse("sockets", Some(&null)).is_ok());
    }

    #[test]
    fn both_names_of_a_side_and_the_default_encoding() {
        let raw: Box<RawValue> =
            serde_json::from_str(r#"{"sockid":1,"side":1,"off":2,"len":3}"#).unwrap();
        let Call::Ppeek(params) = Call::parse("ppeek", Some(&raw)).unwrap() else {
            panic!("another method")
        };
        assert_eq!(params.side, monitor_rpc::Side::Server);
        assert_eq!(params.encoding, Encoding::Base64);
    }
}
