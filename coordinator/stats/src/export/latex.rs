//! A table as LaTeX for the `booktabs` package, nothing else needed.

use super::text::{Notation, heading, is_numeric};
use crate::table::Table;

/// Stands for a missing value; the reasons follow below the table.
const MISSING: &str = "--";

const NOTATION: Notation = Notation {
    plus_minus: r"$\pm$",
    // On one line the columns of three data sets are wider than a page.
    join_interval: |estimate, interval| {
        format!(r"\shortstack[r]{{{estimate}\\ \scriptsize {interval}}}")
    },
    missing: MISSING,
    escape,
};

/// Writes `table` as a floating `table` environment, its notes below it.
pub fn latex(table: &Table) -> String {
    let alignment: String = (0..table.columns.len())
        .map(|column| {
            if is_numeric(&table.rows, column) {
                'r'
            } else {
                'l'
            }
        })
        .collect();
    let mut lines = vec![
        r"% needs \usepackage{booktabs}".to_owned(),
        r"\begin{table}".to_owned(),
        r"\centering".to_owned(),
        format!(r"\caption{{{}}}", escape(&table.title)),
        format!(r"\begin{{tabular}}{{{alignment}}}"),
        r"\toprule".to_owned(),
    ];
    lines.extend(group_lines(table));
    let headings = table.columns.iter().map(|column| escape(&heading(column)));
    lines.push(row(headings));
    lines.push(r"\midrule".to_owned());
    for cells in &table.rows {
        let cells = cells.iter().zip(&table.columns);
        lines.push(row(cells.map(|(cell, column)| NOTATION.cell(cell, column))));
    }
    lines.push(r"\bottomrule".to_owned());
    lines.push(r"\end{tabular}".to_owned());
    let reasons = table.reasons().join("; ");
    let missing = (!reasons.is_empty()).then(|| format!("{MISSING}: {}", escape(&reasons)));
    let notes = table.notes.iter().map(|note| escape(note)).chain(missing);
    for note in notes {
        lines.push(format!(r"\par\smallskip{{\footnotesize {note}\par}}"));
    }
    lines.push(r"\end{table}".to_owned());
    lines.push(String::new());
    lines.join("\n")
}

/// The line of headings over several columns with its rules; none when no column
/// has a group.
fn group_lines(table: &Table) -> Vec<String> {
    if table.columns.iter().all(|column| column.group.is_none()) {
        return Vec::new();
    }
    let mut cells = Vec::new();
    let mut rules = Vec::new();
    let mut first = 1;
    for span in table.columns.chunk_by(|a, b| a.group == b.group) {
        let last = first + span.len() - 1;
        if let Some(group) = &span[0].group {
            cells.push(format!(
                r"\multicolumn{{{}}}{{c}}{{{}}}",
                span.len(),
                escape(group)
            ));
            rules.push(format!(r"\cmidrule(lr){{{first}-{last}}}"));
        } else {
            cells.extend(span.iter().map(|_| String::new()));
        }
        first = last + 1;
    }
    vec![row(cells.into_iter()), rules.join(" ")]
}

fn row(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!(r"{} \\", cells.join(" & "))
}

/// Makes words plain text for any encoding of fonts.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', character]),
            // House style quotes values in backticks, which LaTeX sets as a quote.
            '`' => escaped.push('\''),
            '~' => escaped.push_str(r"\textasciitilde{}"),
            '^' => escaped.push_str(r"\textasciicircum{}"),
            '\\' => escaped.push_str(r"\textbackslash{}"),
            '<' => escaped.push_str("$<$"),
            '>' => escaped.push_str("$>$"),
            '|' => escaped.push_str("$|$"),
            '±' => escaped.push_str(r"$\pm$"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    // A bracket after `\\` would be read as its optional argument.
    if escaped.starts_with('[') {
        escaped.insert_str(0, "{}");
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::Interval;
    use crate::table::{Cell, Column, Estimate};

    #[test]
    fn groups_span_their_columns_and_words_are_escaped() {
        let mut table = Table::new(
            "50 % of R&D",
            vec![
                Column::new("method"),
                Column::percent("validation").group("cifar10"),
                Column::percent("test").group("cifar10"),
                Column::new("runs"),
            ],
        );
        table.push(vec![
            Cell::text(r"a_b\input{x}"),
            Cell::Estimate(Estimate {
                mean: 91.406,
                std: Some(0.22),
                interval: Some(Interval {
                    low: 91.39,
                    high: 91.42,
                }),
            }),
            Cell::missing("no run"),
            Cell::Count(500),
        ]);
        let expected = r"% needs \usepackage{booktabs}
\begin{table}
\centering
\caption{50 \% of R\&D}
\begin{tabular}{lrlr}
\toprule
 & \multicolumn{2}{c}{cifar10} &  \\
\cmidrule(lr){2-3}
method & validation (\%) & test (\%) & runs \\
\midrule
a\_b\textbackslash{}input\{x\} & \shortstack[r]{91.41 $\pm$ 0.22\\ \scriptsize [91.39, 91.42]} & -- & 500 \\
\bottomrule
\end{tabular}
\par\smallskip{\footnotesize --: no run\par}
\end{table}
";
        assert_eq!(latex(&table), expected);
    }
}
