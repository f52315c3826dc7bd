//! Cost against work as a figure: one panel a kind of work, both axes logarithmic,
//! medians with their range.

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::{Circle, ErrorBar};
use plotters::prelude::{DrawingBackend, IntoLogRange as _, SVGBackend};
use plotters::series::LineSeries;
use plotters::style::{BLACK, Color as _, IntoFont as _, RGBColor, ShapeStyle, WHITE};
use serde::Serialize;

use crate::samples::Samples;

/// What some amounts of work cost.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Panel {
    /// Its heading.
    pub(crate) title: String,
    /// What the work is counted in.
    pub(crate) work: &'static str,
    /// What the cost is.
    pub(crate) cost: &'static str,
    /// Work, and the cost in each repeat; ascending.
    pub(crate) points: Vec<(f64, Samples)>,
}

// In pixels of a canvas twice the size that the figure is meant to be seen at.
const WIDTH: u32 = 900;
const HEIGHT: u32 = 620;
const FONT: u32 = 26;
const LINE: RGBColor = RGBColor(0x00, 0x72, 0xB2);

/// Draws the panels, two a row, as an SVG document.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2).max(1);
    let mut text = String::new();
    {
        let size = (2 * WIDTH, rows as u32 * HEIGHT);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE).expect("a string takes every drawing");
        for (panel, area) in panels.iter().zip(root.split_evenly((rows, 2))) {
            draw(&area, panel).expect("a string takes every drawing");
        }
        root.present().expect("a string takes every drawing");
    }
    text.push('\n');
    text
}

fn draw<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    panel: &Panel,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let style = ("sans-serif", FONT).into_font();
    let widest = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        // Half as much again on either side.
        (low / 1.5, high * 1.5)
    };
    let (left, right) = widest(&mut panel.points.iter().map(|(work, _)| *work));
    let ends = panel.points.iter().map(|(_, cost)| cost.range());
    let (bottom, top) = widest(&mut ends.flat_map(|(low, high)| [low, high]));
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, style.clone())
        .margin(30)
        .x_label_area_size(80)
        .y_label_area_size(130)
        .build_cartesian_2d((left..right).log_scale(), (bottom..top).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.6))
        .label_style(style.clone())
        .axis_desc_style(style)
        .x_desc(panel.work)
        .y_desc(panel.cost)
        .x_label_formatter(&|value| plain(*value))
        .y_label_formatter(&|value| plain(*value))
        .draw()?;
    let solid = ShapeStyle::from(LINE).stroke_width(4);
    let medians = panel
        .points
        .iter()
        .map(|(work, cost)| (*work, cost.median()));
    chart.draw_series(LineSeries::new(medians.clone(), solid))?;
    chart.draw_series(medians.map(|point| Circle::new(point, 7, LINE.filled())))?;
    chart.draw_series(panel.points.iter().map(|(work, cost)| {
        let (low, high) = cost.range();
        ErrorBar::new_vertical(*work, low, cost.median(), high, solid, 16)
    }))?;
    Ok(())
}

/// A label of a logarithmic axis.
fn plain(value: f64) -> String {
    if value >= 1.0 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}
