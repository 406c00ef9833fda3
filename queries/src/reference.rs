//! The reference of what can be asked: made from the tables, views and functions themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion::config::Dialect;
use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::Documentation;
use datafusion::prelude::SessionContext;
use weir_model::Dataset;

use crate::rollup::TABLES;
use crate::views::{self, SUMS, VIEWS, View};
use crate::{QueryError, format, functions};

/// What is said before the lists.
const INTRO: &str = include_str!("reference/intro.md");

/// The page `docs/sql.md`: how to ask, and every public table, view, column and function.
///
/// # Errors
///
/// Where a view cannot be planned, which would be a fault of ours.
pub fn reference() -> Result<String, QueryError> {
    let mut page = INTRO.to_owned();
    page.push_str("\n## Tables\n");
    for dataset in Dataset::ALL {
        let name = dataset.name();
        let docs = |column: &str| {
            let found = dataset.columns().iter().find(|c| c.name == column);
            found.map(|c| c.doc)
        };
        push_table(
            &mut page,
            name,
            views::doc(dataset),
            &dataset.schema(),
            docs,
        );
    }
    page.push_str("\n## Views\n");
    for view in VIEWS {
        push_view(&mut page, view)?;
    }
    push_functions(&mut page);
    Ok(page)
}

fn push_view(page: &mut String, view: &View) -> Result<(), QueryError> {
    let schema = schema_of(view)?;
    let same = view
        .reads
        .iter()
        .find(|d| d.schema().fields() == schema.fields());
    match same {
        Some(dataset) => {
            // Writing to a text cannot fail.
            let _ = write!(
                page,
                "\n### `{}`\n\n{}. Its columns are those of `{}`.\n",
                view.name,
                view.doc,
                dataset.name()
            );
        }
        None => push_table(page, view.name, view.doc, &schema, |c| view.column_doc(c)),
    }
    Ok(())
}

/// The columns of a view, planned over empty tables.
fn schema_of(view: &View) -> Result<SchemaRef, QueryError> {
    let state = functions::register(SessionStateBuilder::new()).build();
    let context = SessionContext::new_with_state(state);
    for dataset in view.reads {
        let table = EmptyTable::new(dataset.schema());
        context.register_table(dataset.name(), Arc::new(table))?;
    }
    let plan_sql = |sql: &str| {
        let state = context.state();
        let statement = state.sql_to_statement(sql, &Dialect::Generic)?;
        // Planning over tables in memory waits for nothing.
        futures::executor::block_on(state.statement_to_plan(statement))
    };
    let plan = |view: &View| plan_sql(&view.sql());
    for table in TABLES.iter().filter(|_| view.reads == SUMS) {
        let sums = ViewTable::new(plan_sql(&table.sql(std::iter::empty()))?, None);
        context.register_table(table.name, Arc::new(sums))?;
    }
    if let Some(below) = view.over.and_then(views::view) {
        let table = ViewTable::new(plan(below)?, None);
        context.register_table(below.name, Arc::new(table))?;
    }
    Ok(Arc::clone(plan(view)?.schema().inner()))
}

fn push_table<'a>(
    page: &mut String,
    name: &str,
    doc: &str,
    schema: &SchemaRef,
    docs: impl Fn(&str) -> Option<&'a str>,
) {
    let _ = write!(
        page,
        "\n### `{name}`\n\n{doc}.\n\n| column | type | NULL | what |\n|---|---|---|---|\n"
    );
    for field in schema.fields() {
        let null = if field.is_nullable() { "yes" } else { "" };
        let _ = writeln!(
            page,
            "| `{}` | {} | {null} | {} |",
            field.name(),
            cell(&format::type_name(field.data_type())),
            cell(docs(field.name()).unwrap_or_default()),
        );
    }
}

/// The functions of one kind by their section, each with a sentence.
type Sections = BTreeMap<String, BTreeMap<String, String>>;

fn push_functions(page: &mut String) {
    let mut scalar = Sections::new();
    for function in functions::scalar() {
        add(
            &mut scalar,
            function.name(),
            function.aliases(),
            function.documentation(),
        );
    }
    let mut aggregate = Sections::new();
    for function in functions::aggregate() {
        add(
            &mut aggregate,
            function.name(),
            function.aliases(),
            function.documentation(),
        );
    }
    let mut window = Sections::new();
    for function in SessionStateDefaults::default_window_functions() {
        add(
            &mut window,
            function.name(),
            function.aliases(),
            function.documentation(),
        );
    }
    page.push_str(
        "\n## Functions\n\nThose of DataFusion, whose documentation has examples, but for the ones \
         below that are off. Calls that would make very long values out of short ones are refused.\n",
    );
    for (kind, sections) in [
        ("Scalar", scalar),
        ("Aggregate", aggregate),
        ("Window", window),
    ] {
        for (section, functions) in sections {
            let _ = write!(
                page,
                "\n### {kind}: {section}\n\n| function | what |\n|---|---|\n"
            );
            for (name, what) in functions {
                let _ = writeln!(page, "| {name} | {what} |");
            }
        }
    }
    page.push_str("\n### Off\n\n");
    let off: Vec<String> = functions::OFF
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    let _ = writeln!(page, "{}.", off.join(", "));
}

fn add(sections: &mut Sections, name: &str, aliases: &[String], doc: Option<&Documentation>) {
    let section = doc.map_or("other", |d| d.doc_section.label);
    let section = section.trim_end_matches(" Functions").to_lowercase();
    let mut names = format!("`{name}`");
    let mut aliases: Vec<&String> = aliases.iter().filter(|alias| *alias != name).collect();
    aliases.sort_unstable();
    for alias in aliases {
        let _ = write!(names, ", `{alias}`");
    }
    let what = doc.map_or("", |d| first_sentence(&d.description));
    let functions = sections.entry(section).or_default();
    functions.insert(names, cell(what));
}

fn first_sentence(text: &str) -> &str {
    let text = text.trim();
    let end = [text.find(".\n"), text.find(". "), text.find("\n\n")];
    let end = end.into_iter().flatten().min();
    let sentence = end.and_then(|end| text.get(..end)).unwrap_or(text);
    sentence.trim_end_matches('.')
}

/// The text in one line, and without what would end a table's cell.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}
