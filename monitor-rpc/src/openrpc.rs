//! What `rpc.discover` answers: the RPC in the words of OpenRPC (<https://spec.open-rpc.org>), made from the types and
//! the table of methods, so that it cannot say anything else than they do.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, RestrictFormats};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::number::MAX;
use crate::{Code, Method, Reason, VERSION};

/// The version of OpenRPC that the document follows; its schemas are JSON Schema, draft 7.
const OPENRPC: &str = "1.3.2";

/// An OpenRPC document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenRpc {
    /// The version of OpenRPC that it follows.
    pub openrpc: String,
    /// What is described.
    pub info: Info,
    /// Every method.
    pub methods: Vec<MethodObject>,
    /// What the methods share.
    pub components: Components,
}

/// What a document describes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    /// The name of the RPC.
    pub title: String,
    /// Its version: that of `hello`.
    pub version: String,
}

/// A method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MethodObject {
    /// Its name on the wire.
    pub name: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// Who may call it: `anybody`, `reader` or `admin`.
    #[serde(rename = "x-role")]
    pub role: String,
    /// How parameters are given: `by-name`.
    pub param_structure: String,
    /// The parameters.
    pub params: Vec<ContentDescriptor>,
    /// The result.
    pub result: ContentDescriptor,
    /// The errors that it may be answered with, beside those of the protocol.
    pub errors: Vec<ErrorDescriptor>,
}

/// A parameter or a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContentDescriptor {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it must be given; a result always is.
    pub required: bool,
    /// Its form.
    pub schema: Schema,
}

/// An error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDescriptor {
    /// The number on the wire.
    pub code: i64,
    /// Its name.
    pub message: String,
    /// What tells its cases apart.
    pub data: ErrorCases,
}

/// The cases of an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorCases {
    /// What `error.data.reason` may be.
    pub reasons: Vec<String>,
}

/// What methods share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Components {
    /// Objects by name.
    pub schemas: BTreeMap<String, Schema>,
}

impl OpenRpc {
    /// The document of this version.
    #[must_use]
    pub fn document() -> Self {
        let mut generators = Generators::new();
        let methods = Method::ALL
            .iter()
            .map(|method| describe(*method, &mut generators))
            .collect();
        Self {
            openrpc: OPENRPC.to_owned(),
            info: Info {
                title: "monitord".to_owned(),
                version: VERSION.to_string(),
            },
            methods,
            components: Components {
                schemas: generators.shared(),
            },
        }
    }

    /// A method of it.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<&MethodObject> {
        self.methods.iter().find(|method| method.name == name)
    }

    /// What a schema says, itself or where it points to.
    #[must_use]
    pub fn resolve<'a>(&'a self, schema: &'a Schema) -> &'a Schema {
        let name = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| path.rsplit('/').next());
        name.and_then(|name| self.components.schemas.get(name))
            .unwrap_or(schema)
    }
}

/// What clients may leave out is not what the server leaves out: parameters are described as they are read, results as
/// they are written.
pub(crate) struct Generators {
    pub(crate) params: SchemaGenerator,
    pub(crate) results: SchemaGenerator,
}

impl Generators {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft07()
                .with(|settings| settings.definitions_path = "/components/schemas".into())
                .with_transform(RestrictFormats::default())
                .with_transform(RecursiveTransform(whole_numbers))
        };
        Self {
            params: settings().for_deserialize().into_generator(),
            results: settings().for_serialize().into_generator(),
        }
    }

    fn shared(mut self) -> BTreeMap<String, Schema> {
        let both =
            [&mut self.params, &mut self.results].map(|generator| generator.take_definitions(true));
        let schema = |(name, value)| Some((name, Schema::try_from(value).ok()?));
        both.into_iter().flatten().filter_map(schema).collect()
    }
}

/// See [`crate::number`]: what JSON cannot hold exactly is not sent.
fn whole_numbers(schema: &mut Schema) {
    let is_u64 = schema.get("format").and_then(Value::as_str) == Some("uint64");
    if is_u64 {
        schema.remove("format");
        schema.insert("maximum".to_owned(), MAX.into());
    }
}

fn describe(method: Method, generators: &mut Generators) -> MethodObject {
    let (params, result) = method.schemas(generators);
    MethodObject {
        name: method.name().to_owned(),
        summary: method.summary().to_owned(),
        role: method.role().name().to_owned(),
        param_structure: "by-name".to_owned(),
        params: parameters(&params),
        result: ContentDescriptor {
            name: "result".to_owned(),
            description: None,
            required: true,
            schema: result,
        },
        errors: method
            .codes()
            .into_iter()
            .map(|code| error(method, code))
            .collect(),
    }
}

/// The members of the object of parameters.
fn parameters(object: &Schema) -> Vec<ContentDescriptor> {
    let required = |name: &str| {
        let names = object.get("required").and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|required| required == name))
    };
    let members = object
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let described = members.filter_map(|(name, schema)| {
        let schema = Schema::try_from(schema.clone()).ok()?;
        let description = schema
            .get("description")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Some(ContentDescriptor {
            name: name.clone(),
            description,
            required: required(name),
            schema,
        })
    });
    described.collect()
}

fn error(method: Method, code: Code) -> ErrorDescriptor {
    let own = method
        .reasons()
        .iter()
        .filter(|reason| reason.code() == code);
    let denied = (code == Code::Perm).then_some(&Reason::Permission);
    let reasons = own
        .chain(denied)
        .map(|reason| reason.name().to_owned())
        .collect();
    ErrorDescriptor {
        code: code.number(),
        message: code.name().to_owned(),
        data: ErrorCases { reasons },
    }
}
