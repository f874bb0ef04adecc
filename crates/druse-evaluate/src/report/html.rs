//! Pages for a browser: one file, nothing loaded from elsewhere.

use druse_metrics::{METRICS, label};

use super::comparison::Comparison;
use super::crystals;
use super::style::CSS;
use super::svg;
use super::text::{basis, column, escape, interval, number, value};
use crate::{
    Chart, ClosestReference, Evaluation, RowReason, SetSummary, Sets, StabilityReport, StabilityRow, Task,
};

/// Rows of the list of invalid structures that a page shows.
const LISTED: usize = 100;

pub(super) fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{CSS}</style></head>\n<body><main>\n{body}</main></body></html>\n"
    )
}

fn set(role: &str, s: &SetSummary) -> String {
    let (name, path) = (escape(&s.name), escape(&s.path.display().to_string()));
    let left =
        if s.structures < s.rows { format!(", {} of them structures", s.structures) } else { String::new() };
    format!("<dt>{role}</dt><dd>{name}: {} rows{left} <small>{path}</small></dd>\n", s.rows)
}

/// The report of an evaluation.
pub fn page(e: &Evaluation) -> String {
    filled(e, (String::new(), String::new()))
}

/// The report of an evaluation of these sets, with their crystals: the best, the worst, some that are invalid and some drawn at
/// random.
pub fn page_with_crystals(e: &Evaluation, sets: Sets<'_>) -> String {
    filled(e, crystals::parts(&crystals::of_evaluation(e, sets)))
}

/// The report with a part that shows crystals, and what draws them.
fn filled(e: &Evaluation, (crystals, assets): (String, String)) -> String {
    let title = format!("{} against {}", e.generated.name, e.reference.name);
    let mut body = format!(
        "<h1>{}</h1>\n<p class=\"soft\">Evaluation of {}, protocol {}, druse {}</p>\n",
        escape(&title),
        e.task,
        escape(&e.protocol.name),
        escape(&e.druse)
    );
    body += "<dl>\n";
    body += &set("Generated", &e.generated);
    body += &set("Reference", &e.reference);
    if let Some(train) = &e.train {
        body += &set("Training", train);
    }
    body += "</dl>\n<div class=\"tiles\">";
    for metric in METRICS.iter().filter(|m| m.headline).filter_map(|m| e.metric(m.key)) {
        let spread = interval(metric);
        body += &format!(
            "<div class=\"tile\"><span class=\"soft\">{}</span><b>{}</b><small>{}</small></div>",
            escape(&label(&metric.key)),
            value(metric),
            if spread.is_empty() { format!("of {}", metric.of) } else { spread },
        );
    }
    body += "</div>\n<h2>Metrics</h2>\n";
    body += &metrics(e);
    body += &bullets("Remarks", &e.remarks);
    if let Some(stability) = &e.stability {
        body += &stability_section(stability);
    }
    body += &crystals;
    if !e.charts.is_empty() {
        body += "<h2>Distributions</h2>\n<div class=\"legend\"><span><i class=\"g\"></i>generated</span><span><i class=\"r\"></i>reference</span></div>\n<div class=\"charts\">\n";
        for chart in &e.charts {
            body += &histogram(chart);
        }
        body += "</div>\n";
    }
    let (by, unit) = match e.task {
        Task::Generation | Task::Stability => ("fingerprint", "Distance of fingerprints"),
        Task::Reconstruction | Task::Prediction => ("RMS distance", "RMS distance"),
    };
    body += &neighbors(&format!("Closest to the reference, by {by}"), unit, &e.best);
    body += &neighbors(&format!("Farthest from the reference, by {by}"), unit, &e.worst);
    body += &reasons("Invalid generated structures", &e.invalid, e.generated.rows);
    body += &reasons("Reference rows that take no part", &e.left_out, e.reference.rows);
    body += &assets;
    document(&title, &body)
}

fn metrics(e: &Evaluation) -> String {
    let mut html = "<div class=\"scroll\"><table><thead><tr><th>Metric</th><th class=\"n\">Value</th><th>Interval</th><th>Measured on</th></tr></thead><tbody>\n".to_owned();
    for m in &e.metrics {
        let problem = m
            .problem
            .as_ref()
            .map(|p| format!(" <span class=\"bad\">{}</span>", escape(p)))
            .unwrap_or_default();
        html += &format!(
            "<tr><td>{} <small>{}</small></td><td class=\"n\">{}</td><td class=\"i\">{}</td><td class=\"basis\">{}{problem}</td></tr>\n",
            escape(&label(&m.key)),
            escape(&m.key),
            value(m),
            interval(m),
            escape(&basis(m))
        );
    }
    html + "</tbody></table></div>\n"
}

/// A list under a heading; nothing where there is nothing.
pub(super) fn bullets(title: &str, all: &[String]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let items: String = all.iter().map(|text| format!("<li>{}</li>", escape(text))).collect();
    format!("<h2>{title}</h2>\n<ul>{items}</ul>\n")
}

/// A table of texts; `numbers` are the columns of numbers.
pub(super) fn table(heads: &[String], rows: &[Vec<String>], numbers: &[usize]) -> String {
    let class = |k: usize| if numbers.contains(&k) { " class=\"n\"" } else { "" };
    let mut html = "<div class=\"scroll\"><table><thead><tr>".to_owned();
    for (k, head) in heads.iter().enumerate() {
        html += &format!("<th{}>{}</th>", class(k), escape(head));
    }
    html += "</tr></thead><tbody>\n";
    for row in rows {
        html += "<tr>";
        for (k, cell) in row.iter().enumerate() {
            html += &format!("<td{}>{}</td>", class(k), escape(cell));
        }
        html += "</tr>\n";
    }
    html + "</tbody></table></div>\n"
}

/// The hulls, and the structures of lowest energy above them.
fn stability_section(s: &StabilityReport) -> String {
    let mut html = "<h2>Stability</h2>\n<dl>\n".to_owned();
    let definition = &s.definition;
    html += &format!("<dt>Definition</dt><dd>{}</dd>\n", escape(&definition.name));
    for hull in &s.hulls {
        html += &format!("<dt>Hull</dt><dd>{}</dd>\n", escape(hull));
    }
    let count = |of: &dyn Fn(&StabilityRow) -> bool| s.rows.iter().filter(|row| of(row)).count();
    html += &format!(
        "<dt>Submitted</dt><dd>{}</dd>\n<dt>With an energy above hull</dt><dd>{}</dd>\n<dt>Stable</dt><dd>{}</dd>\n<dt>Metastable</dt><dd>{}</dd>\n<dt>Stable, unique, novel</dt><dd>{}</dd>\n</dl>\n",
        s.submitted,
        count(&|row| row.e_above_hull.is_some()),
        count(&|row| row.stable),
        count(&|row| row.metastable),
        count(&|row| row.sun == Some(true)),
    );
    let mut rows: Vec<(f64, &StabilityRow)> =
        s.rows.iter().filter_map(|row| Some((row.e_above_hull?, row))).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let cells = |(above, row): &(f64, &StabilityRow)| {
        let stable = match (row.stable, row.metastable) {
            (true, _) => "stable",
            (_, true) => "metastable",
            _ => "no",
        };
        vec![
            row.formula.clone(),
            row.id.clone(),
            format!("{above:.4}"),
            stable.to_owned(),
            yes(row.unique),
            row.novel.map(yes).unwrap_or_default(),
            yes(row.valid),
        ]
    };
    let heads = ["Formula", "Identifier", "Above hull (eV/atom)", "Stable", "Unique", "Novel", "Valid"];
    let best: Vec<Vec<String>> = rows.iter().take(LISTED).map(cells).collect();
    html += &format!("<h2>The lowest {} of {}</h2>\n", best.len(), rows.len());
    html + &table(&heads.map(str::to_owned), &best, &[2])
}

pub(super) fn histogram(chart: &Chart) -> String {
    let wide = if svg::is_wide(chart) { " class=\"wide\"" } else { "" };
    let outside = match chart.outside {
        [0, 0] => String::new(),
        [g, r] => format!("; outside {g}, {r}"),
    };
    let [generated, reference] = svg::shares(chart);
    let mut rows = String::new();
    for k in 0..generated.len() {
        let name = match chart.labels.get(k) {
            Some(label) => escape(label),
            None => format!("{:.3} – {:.3}", chart.edges[k], chart.edges[k + 1]),
        };
        rows += &format!(
            "<tr><td>{name}</td><td class=\"n\">{} ({:.1} %)</td><td class=\"n\">{} ({:.1} %)</td></tr>",
            chart.generated[k], generated[k], chart.reference[k], reference[k]
        );
    }
    format!(
        "<figure{wide}><figcaption><b>{}</b><br>{} generated, {} reference{outside}</figcaption>{}<details><summary>Numbers</summary><table><thead><tr><th></th><th class=\"n\">generated</th><th class=\"n\">reference</th></tr></thead><tbody>{rows}</tbody></table></details></figure>\n",
        escape(&chart.title),
        chart.totals[0],
        chart.totals[1],
        svg::chart(chart)
    )
}

fn neighbors(title: &str, unit: &str, all: &[ClosestReference]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<h2>{}</h2>\n<div class=\"scroll\"><table><thead><tr><th>Generated</th><th>Closest reference</th><th class=\"n\">{unit}</th><th>Invalid because</th></tr></thead><tbody>\n",
        escape(title)
    );
    for n in all {
        html += &format!(
            "<tr><td>{} <small>{}</small></td><td>{} <small>{}</small></td><td class=\"n\">{}</td><td>{}</td></tr>\n",
            escape(&n.formula),
            escape(&n.id),
            escape(&n.reference_formula),
            escape(&n.reference),
            number(n.distance),
            escape(n.invalid.as_deref().unwrap_or(""))
        );
    }
    html + "</tbody></table></div>\n"
}

fn reasons(title: &str, rows: &[RowReason], of: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<h2>{title}: {} of {of}</h2>\n<div class=\"scroll\"><table><thead><tr><th>Structure</th><th>Reason</th></tr></thead><tbody>\n",
        rows.len()
    );
    for row in rows.iter().take(LISTED) {
        html += &format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(&row.id), escape(&row.reason));
    }
    html += "</tbody></table></div>\n";
    if rows.len() > LISTED {
        html += &format!(
            "<p class=\"soft\">… and {} more, which the JSON file lists.</p>\n",
            rows.len() - LISTED
        );
    }
    html
}

/// Several evaluations side by side.
pub fn comparison_page(c: &Comparison) -> String {
    let mut body = "<h1>Comparison</h1>\n<dl>\n".to_owned();
    for (k, (name, basis)) in c.names.iter().zip(&c.bases).enumerate() {
        body +=
            &format!("<dt>{}</dt><dd>{} <small>{}</small></dd>\n", column(k), escape(name), escape(basis));
    }
    body += "</dl>\n<div class=\"scroll\"><table><thead><tr><th>Metric</th>";
    for k in 0..c.names.len() {
        body += &format!("<th class=\"n\">{}</th>", column(k));
    }
    body += "<th></th></tr></thead><tbody>\n";
    for row in &c.rows {
        body += &format!("<tr><td>{} <small>{}</small></td>", escape(&row.label), escape(&row.key));
        for (k, metric) in row.metrics.iter().enumerate() {
            let class = if row.best.contains(&k) { "n best" } else { "n" };
            let text = metric.as_ref().map(value).unwrap_or_default();
            let title = metric.as_ref().map(basis).unwrap_or_default();
            body += &format!("<td class=\"{class}\" title=\"{}\">{text}</td>", escape(&title));
        }
        body += &format!("<td class=\"basis\">{}</td></tr>\n", escape(&row.note()));
    }
    body += "</tbody></table></div>\n<p class=\"soft\">The best value of a row is marked. Values that are measured under different protocols or against different references are not ranked.</p>\n";
    document("Comparison", &body)
}
