//! OpenRPC document (<https://spec.open-rpc.org>) of `rpc.discover`, generated from the types and the method table.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, RestrictFormats};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::number::{MAX, none};
use crate::types::*;
use crate::{Code, Method, Reason, VERSION};

/// Version of OpenRPC that the document follows; its schemas are JSON Schema, draft 7.
const OPENRPC: &str = "1.3.2";

/// OpenRPC document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenRpc {
    /// Version of OpenRPC that it follows.
    pub openrpc: String,
    /// Title and version.
    pub info: Info,
    /// Methods.
    pub methods: Vec<MethodObject>,
    /// Schemas that the methods share.
    pub components: Components,
}

/// Title and version of a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    /// Name of the RPC.
    pub title: String,
    /// Version of the RPC, as in `hello`.
    pub version: String,
}

/// Method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MethodObject {
    /// Name on the wire.
    pub name: String,
    /// Description in a sentence.
    pub summary: String,
    /// Role that it requires: `anybody`, `reader` or `admin`.
    #[serde(rename = "x-role")]
    pub role: String,
    /// Always `by-name`.
    pub param_structure: String,
    /// Parameters.
    pub params: Vec<ContentDescriptor>,
    /// Result.
    pub result: ContentDescriptor,
    /// Errors, beside those of the protocol.
    pub errors: Vec<ErrorDescriptor>,
}

/// Parameter or result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContentDescriptor {
    /// Name.
    pub name: String,
    /// Description.
    #[serde(default, skip_serializing_if = "none")]
    pub description: Option<String>,
    /// True if it must be present, as a result always is.
    pub required: bool,
    /// Schema.
    pub schema: Schema,
}

/// Error of a method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDescriptor {
    /// Number on the wire.
    pub code: i64,
    /// Name.
    pub message: String,
    /// Reasons.
    pub data: ErrorCases,
}

/// Reasons of an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorCases {
    /// Values of `error.data.reason`.
    pub reasons: Vec<String>,
}

/// Schemas that methods share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Components {
    /// Schemas by name.
    pub schemas: BTreeMap<String, Schema>,
}

impl OpenRpc {
    /// Returns the document of this version.
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

    /// Returns a method by its name.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<&MethodObject> {
        self.methods.iter().find(|method| method.name == name)
    }

    /// Returns the schema itself, or the one that its `$ref` names.
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

/// Generators of schemas. Parameters are described as they are read, results as they are written, since optional members
/// differ.
struct Generators {
    params: SchemaGenerator,
    results: SchemaGenerator,
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

/// Limits whole numbers to those of [`crate::number`].
fn whole_numbers(schema: &mut Schema) {
    let is_u64 = schema.get("format").and_then(Value::as_str) == Some("uint64");
    if is_u64 {
        schema.remove("format");
        schema.insert("maximum".to_owned(), MAX.into());
    }
}

macro_rules! schemas {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident = $name:literal $role:ident $params:ty => $result:ty, [$($reason:ident)*];
    )+) => {
        /// Returns the schemas of a method's parameters and of its result. Shared schemas go into the generators.
        fn schemas(method: Method, Generators { params, results }: &mut Generators) -> (Schema, Schema) {
            match method {
                $(Method::$variant => {
                    (<$params>::json_schema(params), results.subschema_for::<$result>())
                })+
            }
        }
    };
}

crate::for_each_method!(schemas);

fn describe(method: Method, generators: &mut Generators) -> MethodObject {
    let (params, result) = schemas(method, generators);
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

/// Describes the members of an object of parameters.
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
