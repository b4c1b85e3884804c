//! Columns of the list: width by content, number by the width of the window.

use ratatui::layout::HorizontalAlignment;
use ratatui::text::Line;

use super::model::Row;
use crate::show::socket::{is_whole, state};
use crate::show::units::{ago, bits, size};

/// Space between columns.
pub const SPACING: u16 = 2;

/// A column.
pub struct Column {
    heading: &'static str,
    alignment: HorizontalAlignment,
    /// Priority; columns of low rank are dropped first.
    rank: u8,
    cells: Vec<String>,
    pub width: u16,
}

impl Column {
    pub fn heading(&self) -> Line<'static> {
        Line::from(self.heading).alignment(self.alignment)
    }

    pub fn cell(&self, index: usize) -> Line<'_> {
        Line::from(self.cells.get(index).map_or("", String::as_str)).alignment(self.alignment)
    }
}

/// Returns the columns for these rows: those of the lowest rank are dropped until the rest fits the width.
pub fn fitting(rows: &[&Row], width: u16) -> Vec<Column> {
    let mut columns = all(rows);
    while needed(&columns) > usize::from(width) && columns.len() > 1 {
        let lowest = columns
            .iter()
            .enumerate()
            .min_by_key(|(_, column)| column.rank);
        let Some(lowest) = lowest.map(|(index, _)| index) else {
            break;
        };
        columns.remove(lowest);
    }
    columns
}

fn needed(columns: &[Column]) -> usize {
    columns
        .iter()
        .map(|column| usize::from(column.width + SPACING))
        .sum::<usize>()
        - usize::from(SPACING)
}

fn all(rows: &[&Row]) -> Vec<Column> {
    use HorizontalAlignment::{Left, Right};
    let both = |row: &Row, value: fn(&monitor_client::types::SideStats) -> u64| {
        value(&row.socket.sides.server) + value(&row.socket.sides.client)
    };
    let column = |heading: &'static str, alignment, rank, cell: &dyn Fn(&Row) -> String| {
        let cells: Vec<String> = rows.iter().map(|row| cell(row)).collect();
        let widest = cells
            .iter()
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0);
        Column {
            heading,
            alignment,
            rank,
            width: widest.max(heading.len()) as u16,
            cells,
        }
    };
    vec![
        match rows.first().and_then(|row| row.name.as_ref()) {
            None => column("SOCKID", Right, 7, &|row| row.socket.sockid.to_string()),
            // All rows are of a fleet, or none.
            Some(_) => column("NAME", Left, 7, &|row| row.name.clone().unwrap_or_default()),
        },
        column("CLIENT", Left, 10, &|row| row.socket.client.to_string()),
        column("SERVER", Left, 9, &|row| row.socket.server.to_string()),
        column("STATE", Left, 4, &|row| state(&row.socket)),
        column("TO SERVER", Right, 8, &|row| bits(row.to_server)),
        column("TO CLIENT", Right, 8, &|row| bits(row.to_client)),
        column("BYTES", Right, 6, &|row| {
            let sides = &row.socket.sides;
            let mark = if is_whole(&sides.server) && is_whole(&sides.client) {
                ""
            } else {
                "*"
            };
            format!("{}{mark}", size(both(row, |side| side.end)))
        }),
        column("MEMORY", Right, 5, &|row| {
            size(both(row, |side| side.retained))
        }),
        column("HOLES", Right, 3, &|row| {
            both(row, |side| side.gaps).to_string()
        }),
        column("OPENED", Right, 1, &|row| ago(row.socket.opened)),
        column("LAST", Right, 2, &|row| ago(row.socket.last)),
    ]
}
