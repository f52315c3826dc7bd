//! Curves as a figure: a row of two panels for each data set, one against queries
//! and one against simulated seconds; a mean line and a quartile band for each
//! method, the legend above all panels.
//!
//! Text is left to the reader's fonts, so that the bytes do not depend on those
//! of the machine that draws.

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{PathElement, Polygon, Rectangle, Text};
use plotters::prelude::{DrawingBackend, SVGBackend};
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, FontFamily, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE};

use crate::curve::{Axis, Curve, Panel};
use crate::format::fixed;

/// Okabe and Ito's palette for all kinds of colour vision, without its yellow,
/// which is too light for a line on white.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x00, 0x00, 0x00),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
];

// Lengths are in pixels of a canvas twice the size that the figure is meant to be
// seen at, since the drawing library rounds to whole pixels.
const PANEL_WIDTH: u32 = 900;
const PANEL_HEIGHT: u32 = 620;
const FONT: i32 = 26;
const LEGEND_ROW: u32 = 44;
const MARGIN: u32 = 24;
const SWATCH: i32 = 60;

/// Characters of a label that the legend shows.
const LABEL_LENGTH: usize = 40;

/// Part of the horizontal axis, from its start, that does not decide where the
/// vertical axis starts: the first random architectures of a search are far below
/// everything that a reader wants to compare.
const RUN_IN: f64 = 0.1;

/// Opacity of a band: several lie over each other.
const BAND: f64 = 0.12;

type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// Draws `panels` as a complete SVG document. Without any point it says so.
pub fn svg(panels: &[Panel]) -> String {
    let legend = Legend::of(panels);
    let rows = panels.len().div_ceil(2).max(1) as u32;
    let size = (
        2 * PANEL_WIDTH,
        legend.height() + rows * PANEL_HEIGHT + MARGIN,
    );
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(&root, panels, &legend).expect("a string takes every drawing");
    }
    text.push('\n');
    text
}

fn draw<DB: DrawingBackend>(
    root: &DrawingArea<DB, Shift>,
    panels: &[Panel],
    legend: &Legend,
) -> Drawn<DB> {
    root.fill(&WHITE)?;
    if panels.is_empty() {
        return draw_message(root, "no runs");
    }
    let (top, rest) = root.split_vertically(legend.height());
    legend.draw(&top)?;
    let (rows, _) = rest.split_vertically(panels.len().div_ceil(2) as u32 * PANEL_HEIGHT);
    let areas = rows.split_evenly((panels.len().div_ceil(2), 2));
    for (panel, area) in panels.iter().zip(&areas) {
        let row = panels.iter().filter(|other| other.dataset == panel.dataset);
        draw_panel(area, panel, Range::of(panel, row), legend)?;
    }
    root.present()
}

fn draw_panel<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    panel: &Panel,
    range: Option<Range>,
    legend: &Legend,
) -> Drawn<DB> {
    let Some(range) = range else {
        return draw_message(area, &format!("{}: no run has a query yet", panel.dataset));
    };
    let scale = TimeScale::of(panel.axis, range.right);
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{} against {}", panel.dataset, panel.axis.as_str()),
            font(FONT + 4),
        )
        .margin(MARGIN)
        .margin_right(2 * MARGIN)
        .x_label_area_size(84)
        .y_label_area_size(120)
        .build_cartesian_2d(0.0..range.right, range.bottom..range.top)?;
    let decimals = range.decimals();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.6))
        .label_style(font(FONT))
        .axis_desc_style(font(FONT))
        .x_labels(6)
        .y_labels(7)
        .x_desc(scale.description(panel.axis))
        .y_desc("test accuracy of the incumbent (%)")
        .x_label_formatter(&|x| fixed(x / scale.divisor, scale.decimals).unwrap_or_default())
        .y_label_formatter(&|y| fixed(*y, decimals).unwrap_or_default())
        .draw()?;
    // All bands lie below all lines.
    for curve in &panel.curves {
        let (color, _) = legend.style(&curve.label);
        for outline in bands(curve, range.bottom) {
            chart.draw_series([Polygon::new(outline, color.mix(BAND))])?;
        }
    }
    for curve in &panel.curves {
        let (color, dashed) = legend.style(&curve.label);
        let means = curve.points.iter().map(|point| (point.x, point.mean));
        for line in above(&means.collect::<Vec<_>>(), range.bottom) {
            let stroke = color.stroke_width(4);
            if dashed {
                chart.draw_series(DashedLineSeries::new(line, 16, 10, stroke))?;
            } else {
                chart.draw_series(LineSeries::new(line, stroke))?;
            }
        }
    }
    Ok(())
}

fn draw_message<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, message: &str) -> Drawn<DB> {
    let (width, height) = area.dim_in_pixel();
    let centre = (width as i32 / 2, height as i32 / 2);
    let style = font(FONT).pos(Pos::new(HPos::Center, VPos::Center));
    area.draw(&Text::new(message.to_owned(), centre, style))
}

fn font(size: i32) -> TextStyle<'static> {
    (FontFamily::SansSerif, size).into_font().color(&BLACK)
}

/// The ends of both axes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    right: f64,
    bottom: f64,
    top: f64,
}

impl Range {
    /// The horizontal end from `panel`, the vertical ones from its whole `row`, so
    /// that neighbours can be compared; absent when there are no points.
    fn of<'a>(panel: &Panel, row: impl Iterator<Item = &'a Panel>) -> Option<Self> {
        let right = right_end(panel)?;
        let (mut lowest, mut highest) = (f64::INFINITY, f64::NEG_INFINITY);
        for panel in row {
            let run_in = RUN_IN * right_end(panel).unwrap_or(0.0);
            for point in panel.curves.iter().flat_map(|curve| &curve.points) {
                highest = highest.max(point.q3).max(point.mean);
                if point.x >= run_in {
                    lowest = lowest.min(point.q1).min(point.mean);
                }
            }
        }
        let pad = (0.05 * (highest - lowest)).max(0.01);
        Some(Self {
            right: if right > 0.0 { right } else { 1.0 },
            bottom: lowest - pad,
            top: highest + pad,
        })
    }

    /// Decimals that tell neighbouring labels of the vertical axis apart.
    fn decimals(&self) -> usize {
        let step = (self.top - self.bottom) / 7.0;
        (1.0 - step.log10().ceil()).clamp(0.0, 6.0) as usize
    }
}

/// The last position of any curve.
fn right_end(panel: &Panel) -> Option<f64> {
    let points = panel.curves.iter().flat_map(|curve| &curve.points);
    points.map(|point| point.x).reduce(f64::max)
}

/// Thousands of seconds when there are many, so that labels stay short.
#[derive(Debug, Clone, Copy, PartialEq)]
struct TimeScale {
    divisor: f64,
    decimals: usize,
}

impl TimeScale {
    fn of(axis: Axis, end: f64) -> Self {
        let divisor = match axis {
            Axis::SimulatedSeconds if end >= 10_000.0 => 1_000.0,
            _ => 1.0,
        };
        let decimals = usize::from(end / divisor < 10.0);
        Self { divisor, decimals }
    }

    fn description(self, axis: Axis) -> &'static str {
        match axis {
            Axis::Queries => "queries",
            Axis::SimulatedSeconds if self.divisor > 1.0 => "simulated time (1000 s)",
            Axis::SimulatedSeconds => "simulated time (s)",
        }
    }
}

/// The parts of a line that lie above `floor`, cut where they cross it.
fn above(line: &[(f64, f64)], floor: f64) -> Vec<Vec<(f64, f64)>> {
    let mut parts: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut part: Vec<(f64, f64)> = Vec::new();
    for (index, &point) in line.iter().enumerate() {
        let inside = point.1 >= floor;
        if let Some(&before) = index.checked_sub(1).and_then(|index| line.get(index))
            && (before.1 >= floor) != inside
        {
            let share = (floor - before.1) / (point.1 - before.1);
            part.push((before.0 + share * (point.0 - before.0), floor));
        }
        if inside {
            part.push(point);
        } else if !part.is_empty() {
            parts.push(std::mem::take(&mut part));
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// Outlines of a curve's quartile band, above `floor` only.
fn bands(curve: &Curve, floor: f64) -> Vec<Vec<(f64, f64)>> {
    curve
        .points
        .chunk_by(|a, b| (a.q3 > floor) == (b.q3 > floor))
        .filter(|points| points.len() > 1 && points[0].q3 > floor)
        .map(|points| {
            let upper = points.iter().map(|point| (point.x, point.q3));
            let lower = points.iter().rev();
            upper
                .chain(lower.map(|point| (point.x, point.q1.max(floor))))
                .collect()
        })
        .collect()
}

/// The labels of all panels, each with the style of its lines.
struct Legend {
    labels: Vec<String>,
}

impl Legend {
    fn of(panels: &[Panel]) -> Self {
        let mut labels: Vec<String> = Vec::new();
        for curve in panels.iter().flat_map(|panel| &panel.curves) {
            if !labels.contains(&curve.label) {
                labels.push(curve.label.clone());
            }
        }
        Self { labels }
    }

    /// Colour, and whether the line is dashed: the palette twice over.
    fn style(&self, label: &str) -> (RGBColor, bool) {
        let position = self.labels.iter().position(|known| known == label);
        let position = position.unwrap_or_default();
        let dashed = (position / PALETTE.len()) % 2 == 1;
        (PALETTE[position % PALETTE.len()], dashed)
    }

    /// What the legend shows of a label: no control characters, which XML forbids.
    fn shown(label: &str) -> String {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let mut shown: String = label.chars().take(LABEL_LENGTH).map(plain).collect();
        if label.chars().nth(LABEL_LENGTH).is_some() {
            shown.push('…');
        }
        shown
    }

    /// Where every entry starts, row after row, as many in a row as fit.
    fn positions(&self) -> Vec<(i32, i32)> {
        let (mut x, mut y) = (MARGIN as i32, MARGIN as i32);
        self.labels
            .iter()
            .map(|label| {
                // Generous for common sans-serif fonts, whose letters are about
                // half as wide as high.
                let letters = Self::shown(label).chars().count() as i32;
                let width = SWATCH + 16 + letters * FONT * 11 / 20 + 40;
                if x > MARGIN as i32 && x + width > 2 * PANEL_WIDTH as i32 {
                    x = MARGIN as i32;
                    y += LEGEND_ROW as i32;
                }
                let position = (x, y);
                x += width;
                position
            })
            .collect()
    }

    /// Height of the strip: the entries and one row that explains the band.
    fn height(&self) -> u32 {
        let last = self
            .positions()
            .last()
            .map_or(0, |position| position.1 as u32);
        last + 2 * LEGEND_ROW + MARGIN / 2
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Drawn<DB> {
        let left = |size| font(size).pos(Pos::new(HPos::Left, VPos::Center));
        for (label, (x, y)) in self.labels.iter().zip(self.positions()) {
            let (color, dashed) = self.style(label);
            let stroke: ShapeStyle = color.stroke_width(4);
            let middle = y + FONT / 2;
            let band = [(x, middle - 12), (x + SWATCH, middle + 12)];
            area.draw(&Rectangle::new(band, color.mix(BAND).filled()))?;
            let dashes = if dashed { 3 } else { 1 };
            let step = SWATCH / dashes;
            for dash in 0..dashes {
                let start = x + dash * step;
                let end = start + step - if dashed { 8 } else { 0 };
                area.draw(&PathElement::new([(start, middle), (end, middle)], stroke))?;
            }
            let at = (x + SWATCH + 16, middle);
            area.draw(&Text::new(Self::shown(label), at, left(FONT)))?;
        }
        let below = self.height() as i32 - LEGEND_ROW as i32 + FONT / 2;
        let explanation = "line: mean over runs; band: first to third quartile; \
                           incumbent chosen by validation accuracy";
        area.draw(&Text::new(
            explanation,
            (MARGIN as i32, below),
            left(FONT - 4),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::panels;
    use crate::testing::{run, run_set};

    #[test]
    fn lines_are_cut_where_they_cross_the_floor() {
        let line = [(0.0, 0.0), (1.0, 2.0), (2.0, 2.0), (3.0, 0.0), (4.0, 0.0)];
        assert_eq!(
            above(&line, 1.0),
            [vec![(0.5, 1.0), (1.0, 2.0), (2.0, 2.0), (2.5, 1.0)]]
        );
        assert_eq!(above(&line, -1.0), [line.to_vec()]);
        assert!(above(&line, 5.0).is_empty());
    }

    #[test]
    fn labels_are_told_apart_by_color_then_by_dashes() {
        let legend = Legend {
            labels: (0..14).map(|index| index.to_string()).collect(),
        };
        let mut styles: Vec<_> = legend
            .labels
            .iter()
            .map(|label| {
                let (color, dashed) = legend.style(label);
                (color.0, color.1, color.2, dashed)
            })
            .collect();
        styles.sort_unstable();
        styles.dedup();
        assert_eq!(styles.len(), 14);
    }

    #[test]
    fn a_hostile_label_stays_text() {
        let label = format!("</text><script>\u{7}{}", "x".repeat(10_000));
        let set = run_set(
            &label,
            vec![run(1, &[(91.0, 94.0, 2.5), (92.0, 95.0, 2.5)])],
        );
        let text = svg(&panels(&[set]));
        assert!(!text.contains("<script>") && !text.contains('\u{7}'));
        assert!(text.contains("&lt;script&gt;"));
        assert!(text.len() < 50_000);
    }

    #[test]
    fn nothing_to_draw_is_said() {
        assert!(svg(&[]).contains("no runs"));
        let empty = run_set("random", vec![run(1, &[])]);
        assert!(svg(&panels(&[empty])).contains("no run has a query yet"));
    }
}
