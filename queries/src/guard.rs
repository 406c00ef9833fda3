//! Which SQL is run at all, decided on its syntax before anything is planned.
//!
//! Planning is not bounded by a query's memory and cannot be interrupted, so what would make it
//! explode has to be refused by looking at the text: nesting, chains of operators, common table
//! expressions that refer to each other twice (each level doubles the plan), grouping sets. What
//! only takes long or much memory once it runs is left to the limits of running.
//!
//! # Invariants
//!
//! * Exactly one statement passes, and it only reads: a query, `EXPLAIN` of a query, `SHOW TABLES`
//!   or `DESCRIBE` of a table.
//! * What is not known here is refused: a new kind of statement or table factor in the parser is
//!   off until somebody looks at it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, ObjectName, Query, Select, SetExpr, Statement as SqlStatement, TableFactor,
    Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::ErrorKind;
use crate::{QueryError, views};

/// The most tokens of a statement: lists of a few thousand ids pass.
const TOKENS_MAX: usize = 16_384;
/// The deepest nesting of brackets: the parser's work may double with each level of some forms.
const BRACKETS_DEEP_MAX: usize = 24;
/// The most `UNION`, `EXCEPT` and `INTERSECT` together.
const SET_OPERATIONS_MAX: usize = 64;
/// The most `CASE`: each nests the parser.
const CASES_MAX: usize = 256;
/// The deepest expression: `a OR b OR c` is two deep; long lists belong in `IN`.
const EXPRESSION_DEEP_MAX: usize = 200;
/// The most selects and table references, with those of common table expressions counted wherever
/// they are referred to, as the planner copies them there.
const WEIGHT_MAX: u64 = 200;
/// The most columns in all `CUBE`s of a query: each doubles the groups.
const CUBE_COLUMNS_MAX: usize = 6;
/// The most sets in `ROLLUP` and `GROUPING SETS` of a query.
const GROUPING_SETS_MAX: usize = 64;
/// How deep the parser itself goes.
const PARSER_DEEP_MAX: usize = 64;

/// A statement that may be run.
#[derive(Debug)]
pub(crate) enum Request {
    /// `SHOW TABLES`.
    ShowTables,
    /// `DESCRIBE name`, `SHOW COLUMNS FROM name`.
    Describe(String),
    /// A query, or `EXPLAIN` of one.
    Query(Box<Statement>),
}

/// Reads `sql` and decides whether it may be run.
///
/// # Errors
///
/// Says what is wrong with it or why it is not run; nothing was planned.
pub(crate) fn admit(sql: &str, sql_bytes_max: usize) -> Result<Request, QueryError> {
    if sql.len() > sql_bytes_max {
        return Err(QueryError::new(
            ErrorKind::TooLarge,
            "sql_too_long",
            format!("the SQL text is longer than {sql_bytes_max} bytes"),
        ));
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|e| QueryError::invalid(e.to_string()))?;
    check_tokens(&tokens)?;
    let mut statements = DFParserBuilder::new(tokens)
        .with_dialect(&dialect)
        .with_recursion_limit(PARSER_DEEP_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())?;
    let Some(statement) = statements.pop_front() else {
        return Err(QueryError::invalid("there is no SQL statement"));
    };
    if !statements.is_empty() {
        return Err(QueryError::refused(
            "sql_not_one",
            "one statement at a time",
        ));
    }
    request(statement)
}

fn too_complex(what: &str) -> QueryError {
    QueryError::refused("sql_too_complex", format!("the query has {what}"))
}

fn only_reads() -> QueryError {
    QueryError::refused(
        "sql_not_a_query",
        "only SELECT, WITH, VALUES, EXPLAIN of these, SHOW TABLES and DESCRIBE are run",
    )
}

/// Bounds the parser's work, and the depth of what it makes, before it starts.
fn check_tokens(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let (mut count, mut deep, mut sets, mut cases) = (0_usize, 0_usize, 0_usize, 0_usize);
    for token in tokens {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all other tokens only count"
        )]
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket | Token::LBrace => deep += 1,
            Token::RParen | Token::RBracket | Token::RBrace => deep = deep.saturating_sub(1),
            Token::Word(word) => match word.keyword {
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => sets += 1,
                Keyword::CASE => cases += 1,
                _ => {}
            },
            _ => {}
        }
        count += 1;
        if deep > BRACKETS_DEEP_MAX {
            return Err(too_complex("brackets nested too deep"));
        }
    }
    if count > TOKENS_MAX {
        return Err(too_complex("too many words"));
    }
    if sets > SET_OPERATIONS_MAX {
        return Err(too_complex("too many set operations"));
    }
    if cases > CASES_MAX {
        return Err(too_complex("too many CASE expressions"));
    }
    Ok(())
}

fn request(statement: Statement) -> Result<Request, QueryError> {
    match &statement {
        Statement::Statement(inner) => plain(inner, &statement),
        Statement::Explain(explain) => {
            if explain.options.analyze {
                return Err(QueryError::refused(
                    "sql_explain_analyze",
                    "EXPLAIN ANALYZE is off; EXPLAIN shows the plan",
                ));
            }
            let Statement::Statement(inner) = explain.statement.as_ref() else {
                return Err(only_reads());
            };
            if !matches!(inner.as_ref(), SqlStatement::Query(_)) {
                return Err(only_reads());
            }
            inspect(inner)?;
            Ok(Request::Query(Box::new(statement)))
        }
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => {
            Err(only_reads())
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever the parser may know besides these is refused"
)]
fn plain(inner: &SqlStatement, whole: &Statement) -> Result<Request, QueryError> {
    match inner {
        SqlStatement::Query(_) => {
            inspect(inner)?;
            Ok(Request::Query(Box::new(whole.clone())))
        }
        SqlStatement::ShowTables { .. } => Ok(Request::ShowTables),
        SqlStatement::ExplainTable { table_name, .. } => Ok(Request::Describe(last(table_name))),
        SqlStatement::ShowColumns { show_options, .. } => {
            let table = show_options.show_in.as_ref();
            let name = table.and_then(|show| show.parent_name.as_ref());
            name.map(|name| Request::Describe(last(name)))
                .ok_or_else(|| QueryError::invalid("SHOW COLUMNS needs FROM and a table"))
        }
        _ => Err(only_reads()),
    }
}

/// The last part of a name, as tables are called.
fn last(name: &ObjectName) -> String {
    let ident = name.0.last().and_then(|part| part.as_ident());
    ident.map_or_else(String::new, |i| i.value.to_lowercase())
}

fn inspect(statement: &SqlStatement) -> Result<(), QueryError> {
    let mut inspector = Inspector::default();
    match statement.visit(&mut inspector) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// A query whose parts are being visited.
#[derive(Debug, Default)]
struct Frame {
    /// Its selects and table references so far.
    weight: u64,
    /// The weights of its common table expressions, by lower-case name.
    named: HashMap<String, u64>,
    /// Its common table expressions that are still to come, by the address of their query.
    pending: HashMap<usize, String>,
}

/// Walks a statement and stops at what is not run.
#[derive(Debug, Default)]
struct Inspector {
    frames: Vec<Frame>,
    statements: usize,
    expressions_deep: usize,
    cube_columns: usize,
    grouping_sets: usize,
}

impl Inspector {
    /// Adds to the innermost query's weight.
    fn weigh(&mut self, weight: u64) -> ControlFlow<QueryError> {
        let Some(frame) = self.frames.last_mut() else {
            return ControlFlow::Continue(());
        };
        frame.weight = frame.weight.saturating_add(weight);
        if frame.weight > WEIGHT_MAX {
            return ControlFlow::Break(too_complex("too many tables and subqueries"));
        }
        ControlFlow::Continue(())
    }

    /// What a reference to `name` adds to the plan.
    fn weight_of(&self, name: &ObjectName) -> u64 {
        let key = last(name);
        let frames = self.frames.iter().rev();
        let found = frames.filter_map(|f| f.named.get(&key)).max();
        let view = || views::view(&key).map(|v| v.weight);
        found
            .copied()
            .or_else(view)
            .map_or(1, |w| w.saturating_add(1))
    }

    fn count_grouping(&mut self, expr: &Expr) -> ControlFlow<QueryError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "only these three multiply groups"
        )]
        match expr {
            Expr::Cube(sets) => self.cube_columns += sets.len(),
            Expr::Rollup(sets) | Expr::GroupingSets(sets) => self.grouping_sets += sets.len(),
            _ => {}
        }
        let many = self.cube_columns > CUBE_COLUMNS_MAX || self.grouping_sets > GROUPING_SETS_MAX;
        if many {
            return ControlFlow::Break(too_complex("too many grouping sets"));
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Inspector {
    type Break = QueryError;

    fn pre_visit_statement(&mut self, statement: &SqlStatement) -> ControlFlow<QueryError> {
        // A statement inside of a query is an INSERT, UPDATE or DELETE in its body.
        self.statements += 1;
        if self.statements > 1 || !matches!(statement, SqlStatement::Query(_)) {
            return ControlFlow::Break(only_reads());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        let mut frame = Frame::default();
        if let Some(with) = &query.with {
            if with.recursive {
                let text = "recursive common table expressions are off";
                return ControlFlow::Break(QueryError::refused("sql_recursive", text));
            }
            for cte in &with.cte_tables {
                let address = std::ptr::from_ref::<Query>(&cte.query).addr();
                let name = cte.alias.name.value.to_lowercase();
                frame.pending.insert(address, name);
            }
        }
        let extras = !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if extras || !body_reads(&query.body) {
            return ControlFlow::Break(only_reads());
        }
        self.frames.push(frame);
        self.weigh(1)
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        let Some(done) = self.frames.pop() else {
            return ControlFlow::Continue(());
        };
        let address = std::ptr::from_ref(query).addr();
        let parent = self.frames.last_mut();
        match parent.and_then(|p| p.pending.remove(&address).map(|name| (p, name))) {
            Some((parent, name)) => {
                let weight = parent.named.entry(name).or_default();
                *weight = done.weight.max(*weight);
                ControlFlow::Continue(())
            }
            None => self.weigh(done.weight),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<QueryError> {
        let odd = select.into.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || select.prewhere.is_some();
        if odd {
            return ControlFlow::Break(only_reads());
        }
        if let GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) =
            &select.group_by
            && !modifiers.is_empty()
        {
            return ControlFlow::Break(too_complex("a GROUP BY modifier; use ROLLUP(...)"));
        }
        self.weigh(1)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<QueryError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "whatever the parser may know besides these is refused"
        )]
        match factor {
            TableFactor::Table {
                name,
                args: None,
                version: None,
                json_path: None,
                // The planner passes these over in silence: the answer would be to another question.
                with_ordinality: false,
                sample: None,
                with_hints,
                partitions,
                index_hints,
                ..
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                let weight = self.weight_of(name);
                self.weigh(weight)
            }
            TableFactor::Derived { sample: None, .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. } => self.weigh(1),
            _ => ControlFlow::Break(QueryError::refused(
                "sql_table_function",
                "only tables, subqueries and UNNEST can stand in FROM",
            )),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<QueryError> {
        self.expressions_deep += 1;
        if self.expressions_deep > EXPRESSION_DEEP_MAX {
            return ControlFlow::Break(too_complex(
                "an expression nested too deep; a long OR is better written as IN (...)",
            ));
        }
        self.count_grouping(expr)
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<QueryError> {
        self.expressions_deep = self.expressions_deep.saturating_sub(1);
        ControlFlow::Continue(())
    }
}

/// Whether a query's body is made of selects and values only.
fn body_reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => true,
        SetExpr::SetOperation { left, right, .. } => body_reads(left) && body_reads(right),
        SetExpr::Insert(_)
        | SetExpr::Update(_)
        | SetExpr::Delete(_)
        | SetExpr::Merge(_)
        | SetExpr::Table(_) => false,
    }
}
