//! Drawing of a model and a view. The most important parts stay visible at every window size.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row as Cells, Table};

use super::columns;
use super::model::{Load, Model};
use super::view::View;
use crate::show::units::{bits, frequency, size};

const KEYS: &str = "q quit  sort: r rate  b bytes  m memory  h holes  o opened  l last  i invert  \
                    space pause  +- interval";
/// Below this height, the list takes all lines except one.
const LOW: u16 = 10;
/// Width of a bar in characters.
const BAR: usize = 20;

pub fn draw(frame: &mut Frame<'_>, model: &Model, view: &mut View) {
    let area = frame.area();
    let summary = summary(model, view);
    let workers: Vec<Line<'_>> = model.workers.iter().map(worker).collect();
    // At most a third of the screen, with any number of cores.
    let (summary, workers) = if area.height < LOW {
        (summary[..1].to_vec(), Vec::new())
    } else {
        let most = usize::from(area.height / 3).saturating_sub(summary.len());
        (summary, some(workers, most))
    };
    let keys = u16::from(area.height >= 3);
    let [top, middle, list, bottom] = Layout::vertical([
        Constraint::Length(summary.len() as u16),
        Constraint::Length(workers.len() as u16),
        Constraint::Fill(1),
        Constraint::Length(keys),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(summary), top);
    frame.render_widget(Paragraph::new(workers), middle);
    connections(frame, list, model, view);
    frame.render_widget(last_line(view), bottom);
}

/// Returns at most `most` lines; the last one has the number of hidden workers.
fn some(mut lines: Vec<Line<'_>>, most: usize) -> Vec<Line<'_>> {
    if lines.len() > most {
        let shown = most.saturating_sub(1);
        let more = lines.len() - shown;
        lines.truncate(shown);
        if most > 0 {
            lines.push(Line::from(format!("and {more} more workers")).dim());
        }
    }
    lines
}

fn summary<'a>(model: &Model, view: &View) -> Vec<Line<'a>> {
    let finished = if model.finished { ", finished" } else { "" };
    let paused = if view.paused {
        "  paused".yellow()
    } else {
        Span::raw("")
    };
    let order = if view.reverse { ", inverted" } else { "" };
    let every = humantime::format_duration(Duration::from_millis(view.interval.as_millis() as u64));
    let places = if model.hosts.is_empty() {
        &model.interfaces
    } else {
        &model.hosts
    };
    let mut first = vec![
        Span::raw(format!(
            "monitord {} {}{finished}",
            model.mode,
            places.join(" ")
        ))
        .bold(),
        Span::raw(format!(
            "  {}  {} packets",
            bits(model.bytes),
            frequency(model.packets)
        )),
        Span::raw(format!("  by {}{order}, every {every}", view.sort.name())).dim(),
        paused,
    ];
    for (text, hosts) in [
        ("no answer", &model.silent),
        ("other version", &model.invalid),
    ] {
        if !hosts.is_empty() {
            first.push(alarm(format!("  {text}: {}", hosts.join(" ")), true));
        }
    }
    let connections = Line::from(format!(
        "connections {} open, {} closed, {} new   memory {} of {}, {}/s evicted",
        model.active,
        model.lingering,
        frequency(model.opened),
        size(model.used),
        size(model.budget),
        size(model.evicted as u64),
    ));
    let lost = Line::from(vec![
        Span::raw("lost "),
        alarm(
            format!("{} packets ({})", model.lost, frequency(model.lost_rate)),
            model.lost > 0,
        ),
        Span::raw("   missing "),
        alarm(size(model.gap_bytes), model.gap_bytes > 0),
        Span::raw("   unstored "),
        alarm(size(model.unstored_bytes), model.unstored_bytes > 0),
    ]);
    vec![Line::from(first), connections, lost]
}

fn alarm<'a>(text: String, is_bad: bool) -> Span<'a> {
    if is_bad {
        text.red().bold()
    } else {
        text.green()
    }
}

fn worker<'a>(load: &Load) -> Line<'a> {
    let (bar, cpu) = match load.cpu {
        Some(cpu) => (bar(cpu), format!("{:>3.0}%", cpu * 100.0)),
        None => (" ".repeat(BAR), "  - ".to_owned()),
    };
    let memory = if load.budget == 0 {
        0.0
    } else {
        load.used as f64 / load.budget as f64
    };
    let name = match &load.host {
        Some(host) => format!("{host}/{}", load.worker),
        None => format!("worker {:<2}", load.worker),
    };
    Line::from(vec![
        Span::raw(format!("{name:<9} [")),
        bar.cyan(),
        Span::raw(format!(
            "] {cpu}  {:>11}  {:>8} packets  {} connections  memory {:.0}%",
            bits(load.bytes),
            frequency(load.packets),
            load.active,
            memory * 100.0
        )),
    ])
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("{}{}", "|".repeat(full), " ".repeat(BAR - full))
}

fn connections(frame: &mut Frame<'_>, area: Rect, model: &Model, view: &mut View) {
    view.page = usize::from(area.height.saturating_sub(1)).max(1);
    view.clamp(model.rows.len());
    let rows: Vec<_> = model.rows.iter().skip(view.first).take(view.page).collect();
    let columns = columns::fitting(&rows, area.width);
    let headings = Cells::new(columns.iter().map(columns::Column::heading))
        .style(Style::new().add_modifier(Modifier::REVERSED));
    let widths = columns
        .iter()
        .map(|column| Constraint::Length(column.width));
    let lines = (0..rows.len()).map(|index| {
        let line = Cells::new(columns.iter().map(|column| column.cell(index)));
        if rows[index].socket.closed.is_some() {
            line.dim()
        } else {
            line
        }
    });
    frame.render_widget(
        Table::new(lines, widths)
            .header(headings)
            .column_spacing(columns::SPACING),
        area,
    );
}

fn last_line<'a>(view: &View) -> Paragraph<'a> {
    match &view.failure {
        Some(failure) => Paragraph::new(failure.clone()).style(Style::new().fg(Color::Red)),
        None => Paragraph::new(KEYS).style(Style::new().add_modifier(Modifier::DIM)),
    }
}

#[cfg(test)]
mod tests;
