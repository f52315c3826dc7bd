//! Cost against work as a figure: one panel a kind of work, both axes logarithmic,
//! medians with their range.

use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::{Circle, ErrorBar, PathElement, Text};
use plotters::prelude::{DrawingBackend, IntoLogRange as _, SVGBackend};
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color as _, IntoFont as _, RGBColor, ShapeStyle, TextStyle, WHITE};
use serde::{Deserialize, Serialize};

use crate::samples::Samples;

/// What some amounts of work cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Panel {
    /// Its heading.
    pub(crate) title: String,
    /// What the work is counted in.
    pub(crate) work: String,
    /// What the cost is.
    pub(crate) cost: String,
    /// Work, and the cost in each repeat; ascending. None where it was not measured.
    pub(crate) points: Vec<(f64, Samples)>,
    /// What the same work costs otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) baseline: Option<Curve>,
}

/// Costs that something else is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Curve {
    /// Its name in the legend.
    pub(crate) label: String,
    /// Work and cost; ascending.
    pub(crate) points: Vec<(f64, f64)>,
}

// In pixels of a canvas twice the size that the figure is meant to be seen at.
const WIDTH: u32 = 900;
const HEIGHT: u32 = 620;
const FONT: u32 = 26;
const LINE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
const OTHER_LINE: RGBColor = RGBColor(0xD5, 0x5E, 0x00);

/// An axis that ends below this and grows less than this has powers of two as labels.
const FEW: f64 = 200.0;
/// An axis grows at least by this: a smaller one would have too few labels, and noise
/// would look like a trend.
const GROWTH: f64 = 10.0;
/// Share of a panel's height that a legend gets.
const LEGEND: f64 = 0.3;

/// Draws the panels, two a row, as an SVG document.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2).max(1);
    let mut text = String::new();
    {
        let size = (2 * WIDTH, rows as u32 * HEIGHT);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE).expect("a string takes every drawing");
        for (panel, area) in panels.iter().zip(root.split_evenly((rows, 2))) {
            let drawn = if panel.points.is_empty() {
                draw_absent(&area, panel)
            } else {
                draw(&area, panel)
            };
            drawn.expect("a string takes every drawing");
        }
        root.present().expect("a string takes every drawing");
    }
    text.push('\n');
    text
}

/// The heading of a panel, and that there is nothing under it.
fn draw_absent<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    panel: &Panel,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let style = TextStyle::from(("sans-serif", FONT).into_font());
    let area = area
        .margin(30, 30, 30, 30)
        .titled(&panel.title, style.clone())?;
    let (width, height) = area.dim_in_pixel();
    let middle = (width as i32 / 2, height as i32 / 2);
    let grey = BLACK.mix(0.6);
    let style = style.pos(Pos::new(HPos::Center, VPos::Center)).color(&grey);
    area.draw(&Text::new("not measured on this machine", middle, style))
}

fn draw<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    panel: &Panel,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let style = ("sans-serif", FONT).into_font();
    let (left, right) = widest(panel.points.iter().map(|(work, _)| *work));
    let ends = panel.points.iter().map(|(_, cost)| cost.range());
    let others = panel.baseline.iter().flat_map(|curve| &curve.points);
    let (bottom, mut top) = widest(
        ends.flat_map(|(low, high)| [low, high])
            .chain(others.map(|(_, cost)| *cost)),
    );
    if panel.baseline.is_some() {
        top *= (top / bottom).powf(LEGEND);
    }
    let base = |low: f64, high: f64| {
        if high.max(high / low) < FEW {
            2.0
        } else {
            10.0
        }
    };
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, style.clone())
        .margin(30)
        .x_label_area_size(80)
        .y_label_area_size(130)
        .build_cartesian_2d(
            (left..right).log_scale().base(base(left, right)),
            (bottom..top).log_scale().base(base(bottom, top)),
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.6))
        .label_style(style.clone())
        .axis_desc_style(style.clone())
        .x_desc(&panel.work)
        .y_desc(&panel.cost)
        .x_label_formatter(&|value| plain(*value))
        .y_label_formatter(&|value| plain(*value))
        .draw()?;
    let solid = ShapeStyle::from(LINE).stroke_width(4);
    let medians = panel
        .points
        .iter()
        .map(|(work, cost)| (*work, cost.median()));
    let ours = chart.draw_series(LineSeries::new(medians.clone(), solid))?;
    if let Some(curve) = &panel.baseline {
        ours.label("Reprise")
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 40, y)], solid));
        let dashed = ShapeStyle::from(OTHER_LINE).stroke_width(4);
        let points = curve.points.iter().copied();
        chart
            .draw_series(DashedLineSeries::new(points, 12, 8, dashed))?
            .label(&curve.label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 40, y)], dashed));
    }
    chart.draw_series(medians.map(|point| Circle::new(point, 7, LINE.filled())))?;
    chart.draw_series(panel.points.iter().map(|(work, cost)| {
        let (low, high) = cost.range();
        ErrorBar::new_vertical(*work, low, cost.median(), high, solid, 16)
    }))?;
    if panel.baseline.is_some() {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .legend_area_size(55)
            .margin(20)
            .label_font(style)
            .background_style(WHITE.mix(0.8))
            .draw()?;
    }
    Ok(())
}

/// The range of an axis: half as much again on either side, or more.
fn widest(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let missing = (GROWTH / (2.25 * high / low)).max(1.0).sqrt();
    (low / (1.5 * missing), high * 1.5 * missing)
}

/// A label of a logarithmic axis.
fn plain(value: f64) -> String {
    if value >= 1.0 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}
