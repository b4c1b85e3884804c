//! Tables with aligned columns.

use std::io::{self, Write};

/// Alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Rows below headings. A column is as wide as its widest cell up to now.
pub struct Table<const N: usize> {
    headings: Option<[&'static str; N]>,
    align: [Align; N],
    widths: [usize; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub fn new(columns: [(&'static str, Align); N]) -> Self {
        let headings = columns.map(|(heading, _)| heading);
        let widths = headings.map(str::len);
        Self {
            headings: Some(headings),
            align: columns.map(|(_, align)| align),
            widths,
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: [String; N]) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
    }

    /// Prints the rows added since the last call; the first call prints the headings as well.
    pub fn print(&mut self, out: &mut impl Write) -> io::Result<()> {
        if let Some(headings) = self.headings.take() {
            self.line(out, &headings)?;
        }
        for row in std::mem::take(&mut self.rows) {
            self.line(out, &row)?;
        }
        Ok(())
    }

    fn line(&self, out: &mut impl Write, cells: &[impl AsRef<str>; N]) -> io::Result<()> {
        let mut line = String::new();
        for ((cell, &width), align) in cells.iter().zip(&self.widths).zip(self.align) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let cell = cell.as_ref();
            match align {
                Align::Left => line.push_str(&format!("{cell:<width$}")),
                Align::Right => line.push_str(&format!("{cell:>width$}")),
            }
        }
        writeln!(out, "{}", line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new([("NAME", Align::Left), ("COUNT", Align::Right)]);
        table.row(["a".into(), "1".into()]);
        table.row(["longer".into(), "1000000".into()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME      COUNT\na             1\nlonger  1000000\n"
        );
    }
}
