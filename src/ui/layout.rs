//! Which picture fits which size, and boxes.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{format, line};

/// How much of a rollout is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Panes, with the request rate and a line per pod.
    Wall,
    /// Panes.
    Full,
    /// Lines, the most important ones where not all fit.
    Lines,
}

/// Up to this many rows there is room for lines of text only.
pub const LINES_ONLY: u16 = 4;

/// Smallest columns and rows of each tier, the roomiest first.
const TIERS: &[(u16, u16, Tier)] = &[(160, 44, Tier::Wall), (120, 36, Tier::Full), (0, 0, Tier::Lines)];

/// From this width on, the fleet shows the selected rollout beside it.
pub const BESIDE: u16 = 160;

pub fn tier(area: Rect) -> Tier {
    TIERS.iter().find(|(w, h, _)| area.width >= *w && area.height >= *h).map_or(Tier::Lines, |(_, _, tier)| *tier)
}

/// Takes rows from the top of an area.
pub fn top(area: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    let taken = Rect { height: rows, ..*area };
    area.y += rows;
    area.height -= rows;
    taken
}

/// Takes rows from the bottom of an area.
pub fn bottom(area: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    area.height -= rows;
    Rect { y: area.y + area.height, height: rows, ..*area }
}

/// Takes columns from the left of an area.
pub fn left(area: &mut Rect, columns: u16) -> Rect {
    let columns = columns.min(area.width);
    let taken = Rect { width: columns, ..*area };
    area.x += columns;
    area.width -= columns;
    taken
}

/// The middle of an area, at most this large.
pub fn centre(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

/// A border with a title; the answer is the room inside. `joined` continues a box above.
pub fn framed(buf: &mut Buffer, area: Rect, title: line::Words, style: Style, joined: bool, closed: bool) -> Rect {
    let area = area.intersection(buf.area);
    if area.width < 2 || area.height < 1 {
        return Rect::default();
    }
    let (left, right) = if joined { ("├", "┤") } else { ("┌", "┐") };
    let across = "─".repeat(usize::from(area.width - 2));
    let row = |y: u16, text: String, buf: &mut Buffer| line::draw(buf, Rect { y, height: 1, ..area }, line::words(text, style));
    row(area.y, format!("{left}{across}{right}"), buf);
    let has_floor = closed && area.height > 1;
    if has_floor {
        row(area.bottom() - 1, format!("└{across}┘"), buf);
    }
    let inner = Rect { x: area.x + 1, y: area.y + 1, width: area.width - 2, height: area.height - 1 - u16::from(has_floor) };
    for y in inner.y..inner.bottom() {
        for x in [area.x, area.right() - 1] {
            buf.set_string(x, y, "│", style);
        }
    }
    let room = Rect { x: area.x + 2, y: area.y, width: area.width.saturating_sub(4), height: 1 };
    let title = line::fit(title, usize::from(room.width.saturating_sub(2)));
    // The border's faintness must not shine through.
    clear(buf, Rect { width: room.width.min(title.width() as u16 + 2), ..room });
    line::draw(buf, room, line::Writer::new().put(" ", style).append(title).put(" ", style).line());
    inner
}

/// Empties an area, so that what lies over it can be read.
pub fn clear(buf: &mut Buffer, area: Rect) {
    for position in area.intersection(buf.area).positions() {
        if let Some(cell) = buf.cell_mut(position) {
            cell.reset();
        }
    }
}

/// Text in the middle of an empty area: a title, and what to do about it.
pub fn message(buf: &mut Buffer, area: Rect, title: (&str, Style), body: &[(String, Style)]) {
    let width = usize::from(area.width.saturating_sub(4)).min(76);
    let mut lines = vec![line::words(title.0, title.1)];
    for (text, style) in body.iter().filter(|(t, _)| !t.is_empty()) {
        lines.extend(format::wrap(text, width).into_iter().map(|l| line::words(l, *style)));
    }
    let widest = lines.iter().map(ratatui::text::Line::width).max().unwrap_or(0).min(usize::from(area.width));
    let spot = centre(area, u16::try_from(widest).unwrap_or(u16::MAX), u16::try_from(lines.len()).unwrap_or(u16::MAX));
    line::draw_all(buf, spot, lines);
}
