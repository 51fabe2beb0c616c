//! Lines of styled words, and putting them where they fit.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use super::{format, glyphs};

pub type Words = Line<'static>;

/// A line that grows word by word.
#[derive(Debug, Default, Clone)]
pub struct Writer(Vec<Span<'static>>);

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(mut self, text: impl Into<String>, style: Style) -> Self {
        self.push(text, style);
        self
    }

    pub fn push(&mut self, text: impl Into<String>, style: Style) {
        let text = text.into();
        if !text.is_empty() {
            self.0.push(Span::styled(text, style));
        }
    }

    pub fn append(mut self, line: Words) -> Self {
        self.0.extend(line.spans);
        self
    }

    /// Spaces up to this column.
    pub fn pad(mut self, column: usize) -> Self {
        let used = self.width();
        self.push(" ".repeat(column.saturating_sub(used)), Style::new());
        self
    }

    pub fn width(&self) -> usize {
        self.0.iter().map(Span::width).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn line(self) -> Words {
        Line::from(self.0)
    }
}

/// One styled line.
pub fn words(text: impl Into<String>, style: Style) -> Words {
    Writer::new().put(text, style).line()
}

/// Cuts a line to a width, with an ellipsis where something is missing.
pub fn fit(line: Words, width: usize) -> Words {
    if line.width() <= width {
        return line;
    }
    let mut left = width;
    let mut kept: Vec<Span<'static>> = Vec::new();
    for span in line.spans {
        let wide = span.width();
        // One column stays for the ellipsis: the whole line is known not to fit.
        if wide < left {
            left -= wide;
            kept.push(span);
            continue;
        }
        let text = match wide == left {
            true => format::end(&format!("{}..", span.content), left),
            false => format::end(&span.content, left),
        };
        kept.push(Span::styled(text, span.style));
        break;
    }
    Line::from(kept)
}

/// Breaks a line at spaces into lines of at most this many columns; each word keeps its style.
pub fn wrap(line: Words, width: usize) -> Vec<Words> {
    if line.width() <= width {
        return vec![line];
    }
    let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
    let mut styled = line.spans.iter().flat_map(|span| span.content.chars().map(|c| (c, span.style)));
    let mut style_of = |c: char| styled.find(|(own, _)| *own == c).map(|(_, style)| style).unwrap_or_default();
    let again = |words: String| {
        let mut spans: Vec<Span<'static>> = Vec::new();
        for c in words.chars() {
            let style = style_of(c);
            match spans.last_mut().filter(|last| last.style == style) {
                Some(last) => last.content.to_mut().push(c),
                None => spans.push(Span::styled(c.to_string(), style)),
            }
        }
        Line::from(spans)
    };
    format::wrap(&text, width).into_iter().map(again).collect()
}

/// Ends a line with an ellipsis, as what follows it is not shown.
pub fn broken_off(line: Words, width: usize) -> Words {
    let style = line.spans.last().map(|s| s.style).unwrap_or_default();
    fit(Writer::new().append(line).put(glyphs::ELLIPSIS, style).line(), width)
}

/// Draws one line at the top of an area.
pub fn draw(buf: &mut Buffer, area: Rect, line: Words) {
    let area = area.intersection(buf.area);
    if area.height > 0 && area.width > 0 {
        buf.set_line(area.x, area.y, &fit(line, usize::from(area.width)), area.width);
    }
}

/// Draws lines from the top of an area down, as many as fit.
pub fn draw_all(buf: &mut Buffer, area: Rect, lines: Vec<Words>) {
    for (line, row) in lines.into_iter().zip(area.rows()) {
        draw(buf, row, line);
    }
}

/// Left and right text in one line; the right one gives way.
pub fn both(left: Words, right: Words, width: usize) -> Words {
    let (l, r) = (left.width(), right.width());
    if l + r + 1 > width {
        return fit(left, width);
    }
    Writer::new().append(left).pad(width - r).append(right).line()
}

/// A share as a bar. Unknown is no bar at all, which no share looks like.
pub fn bar(share: Option<f64>, width: usize, full: Style, empty: Style) -> Words {
    let Some(share) = share.filter(|s| s.is_finite()) else {
        return words(glyphs::RULE.repeat(width), empty);
    };
    let share = share.clamp(0.0, 1.0);
    // Any traffic at all shows, and only all of it fills the bar.
    let cells = match share {
        0.0 => 0,
        1.0 => width,
        _ => ((share * width as f64).round() as usize).clamp(1, width.saturating_sub(1).max(1)),
    }
    .min(width);
    Writer::new().put(glyphs::FULL.repeat(cells), full).put(glyphs::EMPTY.repeat(width - cells), empty).line()
}

/// A history as one line of small columns; a gap stays a blank.
pub fn spark(values: &[Option<f64>], top: f64, style: Style) -> Words {
    let text: String = values.iter().map(|v| v.filter(|v| v.is_finite()).map_or(" ", |v| level(v, top))).collect();
    words(text, style)
}

fn level(value: f64, top: f64) -> &'static str {
    let part = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
    glyphs::SPARK[((part * 7.0).round() as usize).min(7)]
}

/// Marks a line as the selected one: reverse video alone, as a patchwork of colours cannot be read.
pub fn select(buf: &mut Buffer, row: Rect) {
    for position in row.intersection(buf.area).positions() {
        if let Some(cell) = buf.cell_mut(position) {
            let weight = cell.modifier & Modifier::BOLD;
            cell.set_style(Style::reset());
            cell.modifier = weight | Modifier::REVERSED;
        }
    }
}

/// Adds a modifier to a whole line.
pub fn all(mut line: Words, modifier: Modifier) -> Words {
    for span in &mut line.spans {
        span.style = span.style.add_modifier(modifier);
    }
    line
}

/// Width of a text in columns.
pub fn columns(text: &str) -> usize {
    text.width()
}
