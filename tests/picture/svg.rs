//! A terminal's screen as SVG.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// Pixels of one cell.
const CELL: (f64, f64) = (8.4, 17.0);
const MARGIN: f64 = 12.0;
const BACK: &str = "#14161b";
const FRONT: &str = "#d7dae0";

/// The sixteen colours, as a calm dark theme has them.
const PALETTE: [&str; 16] = [
    "#14161b", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf", "#5c6370", "#ff7b86", "#b5e890", "#ffd68a",
    "#82c7ff", "#dd9bf0", "#7fd7e3", "#ffffff",
];

#[derive(Clone, PartialEq)]
struct Style {
    front: String,
    back: String,
    bold: bool,
    underline: bool,
}

/// The whole screen.
pub fn of(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let (wide, high) = (f64::from(columns.get()) * CELL.0 + 2.0 * MARGIN, f64::from(rows.get()) * CELL.1 + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide:.0} {high:.0}\" font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACK}\"/>\n"
    );
    (0..rows.get()).for_each(|row| line(screen, row, columns.get(), &mut svg));
    svg + "</svg>\n"
}

fn line(screen: &Screen, row: u16, columns: u16, svg: &mut String) {
    let mut column = 0;
    while column < columns {
        let start = column;
        let style = screen.cell(row, column).map(style);
        let mut text = String::new();
        while column < columns && screen.cell(row, column).map(self::style) == style {
            match screen.cell(row, column) {
                Some(cell) if cell.is_wide_continuation() => (),
                Some(cell) if !cell.contents().is_empty() => text.push_str(cell.contents()),
                _ => text.push(' '),
            }
            column += 1;
        }
        if let Some(style) = style {
            run(&style, &text, row, start, column, svg);
        }
    }
}

/// Neighbouring cells of one style. Its width is stated, so that columns stay aligned in any font.
fn run(style: &Style, text: &str, row: u16, start: u16, end: u16, svg: &mut String) {
    let (x, y) = (MARGIN + f64::from(start) * CELL.0, MARGIN + f64::from(row) * CELL.1);
    let width = f64::from(end - start) * CELL.0;
    if style.back != BACK {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{}\" shape-rendering=\"crispEdges\"/>",
            CELL.1, style.back
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
    let line = if style.underline { " text-decoration=\"underline\"" } else { "" };
    let baseline = y + CELL.1 * 0.75;
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{baseline:.1}\" textLength=\"{width:.1}\" xml:space=\"preserve\" fill=\"{}\"{weight}{line}>{}</text>",
        style.front,
        escaped(text)
    );
}

fn style(cell: &Cell) -> Style {
    let (mut front, mut back) = (colour(cell.fgcolor(), FRONT), colour(cell.bgcolor(), BACK));
    if cell.inverse() {
        (front, back) = (back, front);
    }
    if cell.dim() {
        front = PALETTE[8].into();
    }
    Style { front, back, bold: cell.bold(), underline: cell.underline() }
}

fn colour(colour: Color, default: &str) -> String {
    match colour {
        Color::Default => default.into(),
        Color::Idx(index) => indexed(index),
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

/// xterm's 256 colours.
fn indexed(index: u8) -> String {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match index {
        0..=15 => PALETTE[usize::from(index)].into(),
        16..=231 => {
            let level = |by: u8| LEVELS[usize::from((index - 16) / by % 6)];
            format!("#{:02x}{:02x}{:02x}", level(36), level(6), level(1))
        }
        grey => {
            let level = 8 + 10 * (grey - 232);
            format!("#{level:02x}{level:02x}{level:02x}")
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
