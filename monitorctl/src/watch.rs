//! The verb `watch`.

use std::io::Write;

use monitor_client::types::{PatternForm, PatternId, WatchParams, WatchPattern, Watching};
use monitor_client::{EventBody, Method, Side};

use crate::context::Context;
use crate::ends::EndsCache;
use crate::failure::Failure;
use crate::show::event;
use crate::show::format::Format;

/// Patterns and streams.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Regular expressions over bytes, in the syntax of the Rust crate regex
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Patterns are bytes in hex, two digits each
    #[arg(long, conflicts_with = "text")]
    hex: bool,
    /// Patterns are plain text
    #[arg(long)]
    text: bool,
    /// Ignore case
    #[arg(long, short = 'i')]
    nocase: bool,
    /// Only connections that match this filter, in the language of tcpdump
    #[arg(long, value_name = "FILTER", conflicts_with = "sockid")]
    filter: Option<String>,
    /// Only this connection
    #[arg(long, value_name = "SOCKID")]
    sockid: Option<u64>,
    /// Only bytes that this side received
    #[arg(long)]
    side: Option<Side>,
    /// Show the match, and this number of bytes before and after it
    #[arg(long, short = 'C', value_name = "BYTES")]
    context: Option<u64>,
    /// Exit after this number of events
    #[arg(long, short = 'n', value_name = "COUNT")]
    count: Option<u64>,
}

pub fn watch<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let params = WatchParams {
        patterns: Some(
            args.patterns
                .iter()
                .map(|pattern| form(args, pattern))
                .collect(),
        ),
        side: args.side,
        filter: args.filter.clone(),
        sockid: args.sockid,
        context: args.context,
        ..WatchParams::default()
    };
    let _: Watching = context.client.call(Method::Watch, &params)?;
    let mut ends = EndsCache::default();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let received = context.event()?;
        left -= 1;
        if context.json {
            context.json(&received)?;
            continue;
        }
        let ends = ends.get(&mut context.client, &received);
        let line = event::line(&received, ends, context.palette);
        let EventBody::Match {
            pattern,
            context: around,
            ..
        } = &received.body
        else {
            writeln!(context.out, "{line}")?;
            continue;
        };
        match pattern {
            PatternId::Text(pattern) => writeln!(context.out, "{line}  {pattern}")?,
            PatternId::Number(number) => writeln!(context.out, "{line}  {number}")?,
        }
        if let Some(around) = around {
            Format::Hex.print(&mut context.out, around.off, &around.data.0)?;
        }
    }
    Ok(())
}

/// Returns a pattern with its own text as `id`, for the output.
fn form(args: &Args, pattern: &str) -> WatchPattern {
    let mut form = PatternForm {
        id: Some(PatternId::Text(pattern.to_owned())),
        nocase: args.nocase,
        ..PatternForm::default()
    };
    let field = match (args.hex, args.text) {
        (true, _) => &mut form.hex,
        (_, true) => &mut form.text,
        _ => &mut form.regex,
    };
    *field = Some(pattern.to_owned());
    WatchPattern::Form(form)
}
