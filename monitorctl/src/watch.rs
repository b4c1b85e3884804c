//! `watch`.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_client::types::{
    Context as Around, EventParams, PatternForm, PatternId, WatchParams, WatchPattern, Watching,
};
use monitor_client::{Method, Side};

use crate::Context;
use crate::ends::Ends;
use crate::failure::Failure;
use crate::show::format::Format;
use crate::show::note;

/// What to search for, and where.
///
/// A line for each match: its time (UTC), the connection, the side, where, and the pattern; with --context the bytes
/// below it. Only what comes from now on is searched. `lost` says what could not be.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Regular expressions about bytes, in the syntax of the Rust crate regex
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,
    /// The patterns are bytes in hex, two digits each
    #[arg(long, conflicts_with = "text")]
    hex: bool,
    /// The patterns are plain text
    #[arg(long)]
    text: bool,
    /// Letters match in either case
    #[arg(long, short = 'i')]
    nocase: bool,
    /// On connections that this filter wants, in the words of tcpdump
    #[arg(long, value_name = "FILTER", conflicts_with = "sockid")]
    filter: Option<String>,
    /// On this connection
    #[arg(long, value_name = "SOCKID")]
    sockid: Option<u64>,
    /// In what this side received
    #[arg(long)]
    side: Option<Side>,
    /// Show the match, and so many bytes before and after it
    #[arg(long, short = 'C', value_name = "BYTES")]
    context: Option<u64>,
    /// End after so many events
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
    let mut ends = Ends::default();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let event = context.event()?;
        left -= 1;
        if context.json {
            writeln!(context.out, "{}", event.params)?;
            continue;
        }
        let told: EventParams = event.read()?;
        let line = note::line(&told, ends.of(&mut context.client, &told), context.palette);
        let pattern = match &told.pattern {
            Some(PatternId::Text(pattern)) => format!("  {pattern}"),
            Some(PatternId::Number(number)) => format!("  {number}"),
            None => String::new(),
        };
        writeln!(context.out, "{line}{pattern}")?;
        if let Some(around) = &told.context {
            dump(&mut context.out, around)?;
        }
    }
    Ok(())
}

/// Named by itself, so that a match says what was found.
fn form(args: &Args, pattern: &str) -> WatchPattern {
    let mut form = PatternForm {
        id: Some(PatternId::Text(pattern.to_owned())),
        nocase: args.nocase,
        ..PatternForm::default()
    };
    let place = match (args.hex, args.text) {
        (true, _) => &mut form.hex,
        (_, true) => &mut form.text,
        _ => &mut form.regex,
    };
    *place = Some(pattern.to_owned());
    WatchPattern::Form(form)
}

fn dump(out: &mut impl Write, around: &Around) -> Result<(), Failure> {
    let bytes = STANDARD.decode(&around.data).unwrap_or_default();
    Ok(Format::Hex.print(out, around.off, &bytes)?)
}
