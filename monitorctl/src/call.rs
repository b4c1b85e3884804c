//! The verb `call`.

use std::io::Write;

use monitor_client::Method;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::failure::Failure;

/// Method and parameters.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the method in docs/rpc.md; `monitorctl call hello` lists those of the daemon
    #[arg(value_parser = method)]
    method: Method,
    /// Parameters, NAME=VALUE; a value that isn't JSON is a string
    #[arg(value_name = "NAME=VALUE", value_parser = parameter)]
    params: Vec<(String, Value)>,
}

fn method(name: &str) -> Result<Method, String> {
    Method::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Method::ALL.iter().map(|method| method.name()).collect();
        format!("the methods are {}", names.join(", "))
    })
}

/// Parses NAME=VALUE.
pub fn parameter(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("a parameter is NAME=VALUE, as in port=443")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

pub fn call<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let params: Map<String, Value> = args.params.iter().cloned().collect();
    let result: Value = context.client.call(args.method, &params)?;
    if context.json {
        return context.json(&result);
    }
    serde_json::to_writer_pretty(&mut context.out, &result)?;
    writeln!(context.out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_json_or_strings() {
        assert_eq!(parameter("port=443"), Ok(("port".to_owned(), json!(443))));
        assert_eq!(
            parameter("side=server"),
            Ok(("side".to_owned(), json!("server")))
        );
        assert_eq!(
            parameter("vlan=[1,2]"),
            Ok(("vlan".to_owned(), json!([1, 2])))
        );
        assert_eq!(
            parameter("filter=port = 80"),
            Ok(("filter".to_owned(), json!("port = 80")))
        );
        assert!(parameter("port").is_err());
    }
}
