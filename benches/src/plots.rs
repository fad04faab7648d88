// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plots, as SVG.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

pub struct Curve {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

pub struct Plot {
    /// Of the file, without its ending.
    pub name: &'static str,
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    /// Whether x is in bytes, and both axes are logarithmic.
    pub by_size: bool,
    pub curves: Vec<Curve>,
}

fn bytes(size: f64) -> String {
    let mut size = size;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return format!("{size:.0} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.0} TiB")
}

fn most(plot: &Plot, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
    plot.curves.iter().flat_map(|curve| &curve.points).map(of).fold(f64::MIN, f64::max)
}

fn least(plot: &Plot, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
    plot.curves.iter().flat_map(|curve| &curve.points).map(of).fold(f64::MAX, f64::min)
}

impl Plot {
    pub fn write(&self, directory: &Path) -> Result<(), Box<dyn Error>> {
        let file = directory.join(self.name).with_extension("svg");
        let area = SVGBackend::new(&file, (900, 540)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(&area);
        builder
            .caption(self.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64);
        let (left, right) = (least(self, |point| point.0), most(self, |point| point.0));
        let top = most(self, |point| point.1);
        if self.by_size {
            let bottom = least(self, |point| point.1).max(1e-3);
            let x = (left..right).log_scale().base(4.0);
            let y = (bottom / 2.0..top * 2.0).log_scale();
            let mut chart = builder.build_cartesian_2d(x, y)?;
            let label = |size: &f64| bytes(*size);
            let mut mesh = chart.configure_mesh();
            mesh.x_desc(self.x).y_desc(self.y).x_labels(16).x_label_formatter(&label).draw()?;
            self.draw(chart)?;
        } else {
            let mut chart = builder.build_cartesian_2d(left..right, 0.0..top * 1.1)?;
            let mut mesh = chart.configure_mesh();
            let label = |count: &f64| format!("{count:.0}");
            let labels = (right - left) as usize + 1;
            mesh.x_desc(self.x).y_desc(self.y).x_labels(labels).x_label_formatter(&label).draw()?;
            self.draw(chart)?;
        }
        area.present()?;
        Ok(())
    }

    fn draw<'a, X, Y>(
        &self,
        mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    ) -> Result<(), Box<dyn Error>>
    where
        X: Ranged<ValueType = f64>,
        Y: Ranged<ValueType = f64>,
    {
        for (number, curve) in self.curves.iter().enumerate() {
            let colour = Palette99::pick(number).to_rgba();
            let line = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2));
            chart
                .draw_series(line.point_size(3))?
                .label(&curve.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour));
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()?;
        Ok(())
    }
}
