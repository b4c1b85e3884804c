//! Check of values against the schemas of `rpc.discover`: the part of JSON Schema that our types use. It is stricter in
//! one point: members that are not described are errors.

use monitor_rpc::OpenRpc;
use schemars::Schema;
use serde_json::Value;

/// Says where `value` is something else than `schema`.
pub fn conforms(document: &OpenRpc, schema: &Schema, value: &Value) -> Result<(), String> {
    check(document, document.resolve(schema).as_value(), value)
}

fn check(document: &OpenRpc, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
        let name = pointer.rsplit('/').next().unwrap();
        let target = document
            .components
            .schemas
            .get(name)
            .ok_or(format!("{pointer} points nowhere"))?;
        return check(document, target.as_value(), value);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(options) = schema.get(choice).and_then(Value::as_array) {
            let fits = options
                .iter()
                .any(|option| check(document, option, value).is_ok());
            return if fits {
                Ok(())
            } else {
                Err(format!("{value} is none of {schema}"))
            };
        }
    }
    for part in schema
        .get("allOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        check(document, part, value)?;
    }
    let listed = schema
        .get("enum")
        .and_then(Value::as_array)
        .is_none_or(|listed| listed.contains(value));
    let constant = schema.get("const").is_none_or(|constant| constant == value);
    if !listed || !constant || !has_type(schema, value) {
        return Err(format!("{value} is not {schema}"));
    }
    match value {
        Value::Object(_) => members(document, schema, value),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            let form = schema
                .get("items")
                .map(|form| form.get(index).unwrap_or(form));
            form.map_or(Ok(()), |form| {
                check(document, form, item).map_err(|fault| format!("[{index}]: {fault}"))
            })
        }),
        _ => Ok(()),
    }
}

fn members(document: &OpenRpc, schema: &Value, value: &Value) -> Result<(), String> {
    let object = value.as_object().unwrap();
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if !object.contains_key(name.as_str().unwrap()) {
            return Err(format!("{name} is missing in {value}"));
        }
    }
    for (name, member) in object {
        let own = schema
            .get("properties")
            .and_then(|properties| properties.get(name));
        let Some(form) = own.or(schema.get("additionalProperties")) else {
            // An object of which nothing is said may hold anything.
            if schema.get("properties").is_none() {
                continue;
            }
            return Err(format!("{name} is not described"));
        };
        check(document, form, member).map_err(|fault| format!("{name}: {fault}"))?;
    }
    Ok(())
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        _ => false,
    };
    match schema.get("type") {
        None => true,
        Some(Value::String(name)) => is(name),
        Some(names) => names
            .as_array()
            .unwrap()
            .iter()
            .any(|name| is(name.as_str().unwrap())),
    }
}
