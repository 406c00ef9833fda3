//! The SQL API, for the statements that are known: everything else is a syntax error.

use std::collections::BTreeMap;
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::auth::ROLE;
use super::http::Request;
use super::tables::{Column, Kind, Table};
use super::{Answer, Refused};

/// Rows that the first partition of an answer holds, and each after it.
const PARTITION_ROWS: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// A name in quotes.
    Name(String),
    /// A text.
    Text(String),
    /// Anything else: in capitals, or a single sign.
    Plain(String),
}

fn words(statement: &str) -> Vec<Word> {
    let mut all = Vec::new();
    let mut chars = statement.chars().peekable();
    while let Some(first) = chars.next() {
        if first == '"' || first == '\'' {
            let mut text = String::new();
            while let Some(next) = chars.next() {
                if next == '\\' && first == '\'' {
                    text.extend(chars.next());
                } else if next != first {
                    text.push(next);
                } else if chars.peek() == Some(&first) {
                    text.extend(chars.next());
                } else {
                    break;
                }
            }
            let named = first == '"';
            all.push(if named {
                Word::Name(text)
            } else {
                Word::Text(text)
            });
        } else if first.is_alphanumeric() || first == '_' {
            let mut text = first.to_string();
            while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                text.push(next);
            }
            all.push(Word::Plain(text.to_uppercase()));
        } else if !first.is_whitespace() {
            all.push(Word::Plain(first.to_string()));
        }
    }
    all
}

/// The words of a statement, eaten from the front.
struct Reader {
    words: Vec<Word>,
    at: usize,
}

fn syntax(what: &str) -> Refused {
    Refused::new(
        422,
        "001003",
        &format!("SQL compilation error: syntax error: {what}"),
    )
}

impl Reader {
    /// Whether these words come next; eats them if so.
    fn eat(&mut self, text: &str) -> bool {
        let wanted = words(text);
        let found = self.words[self.at..].starts_with(&wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn must(&mut self, text: &str) -> Result<(), Refused> {
        let next = self.words.get(self.at).cloned();
        let eaten = self.eat(text);
        eaten
            .then_some(())
            .ok_or_else(|| syntax(&format!("{next:?}, not {text}")))
    }

    fn name(&mut self) -> Result<String, Refused> {
        let next = self.words.get(self.at).cloned();
        self.at += 1;
        match next {
            Some(Word::Name(name)) => Ok(name),
            other => Err(syntax(&format!("{other:?} is no name"))),
        }
    }

    fn path(&mut self, parts: usize) -> Result<Vec<String>, Refused> {
        let mut path = vec![self.name()?];
        for _ in 1..parts {
            self.must(".")?;
            path.push(self.name()?);
        }
        Ok(path)
    }

    fn column(&mut self) -> Result<Column, Refused> {
        let name = self.name()?;
        let Some(Word::Plain(kind)) = self.words.get(self.at).cloned() else {
            return Err(syntax("no type"));
        };
        self.at += 1;
        let mut arguments = Vec::new();
        if self.eat("(") {
            while !self.eat(")") {
                if let Some(Word::Plain(text)) = self.words.get(self.at) {
                    arguments.extend(text.parse::<usize>().ok());
                }
                self.at += 1;
            }
        }
        let kind = Kind::of(&kind, &arguments).ok_or_else(|| syntax(&format!("type {kind}")))?;
        let nullable = !self.eat("NOT NULL");
        if self.eat("COMMENT") {
            self.at += 1;
        }
        Ok(Column {
            name,
            kind,
            nullable,
        })
    }
}

/// A table's place: database, schema, name.
pub(crate) type Place = (String, String, String);

/// The databases of the account, and what statements have made.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) databases: Vec<String>,
    schemas: Vec<(String, String)>,
    pub(crate) policies: Vec<Place>,
    /// Pipes that were made, and the tables that they load.
    pub(crate) pipes: BTreeMap<Place, Place>,
    pub(crate) tables: BTreeMap<Place, Table>,
    /// Whether the account has what the Enterprise edition has.
    pub(crate) enterprise: bool,
    /// Whether the role may only read.
    pub(crate) read_only: bool,
    /// Whether answers come later, by the statement's handle.
    pub(crate) slow: bool,
    /// Whether a policy hides every row.
    pub(crate) hidden: bool,
    /// Rows of the answers that were given late, by handle.
    later: BTreeMap<String, Vec<Vec<Value>>>,
    running: BTreeMap<String, Value>,
    pub(crate) statements: Vec<String>,
}

/// What a statement gives: names of columns and rows.
type Rows = (Vec<&'static str>, Vec<Vec<Value>>);

fn missing(what: &str) -> Refused {
    let text = format!("SQL compilation error: {what} does not exist or not authorized.");
    Refused::new(422, "002003", &text)
}

fn place(path: Vec<String>) -> Place {
    let mut parts = path.into_iter();
    let mut next = || parts.next().unwrap_or_default();
    (next(), next(), next())
}

impl Catalog {
    pub(crate) fn api(&mut self, request: &Request) -> Result<Answer, Refused> {
        if request.header("user-agent").is_none() || request.header("accept").is_none() {
            return Err(Refused::new(
                400,
                "391920",
                "user-agent and accept are mandatory",
            ));
        }
        if request.method == "GET" {
            return self.fetch(request);
        }
        let body: Value = serde_json::from_slice(&request.body)
            .map_err(|_| Refused::new(400, "391902", "the body is not JSON"))?;
        let statement = body["statement"].as_str().unwrap_or_default().to_owned();
        if body["role"].as_str().is_some_and(|role| role != ROLE) {
            return Err(missing(&format!("Role {}", body["role"])));
        }
        let warehouse = body["warehouse"].as_str().is_some();
        let bound = |n: usize| body["bindings"][n.to_string()]["value"].as_str();
        let bound: Vec<String> = (1..).map_while(|n| bound(n).map(str::to_owned)).collect();
        self.statements.push(statement.clone());
        let (columns, rows) = self.run(&statement, &bound, warehouse)?;
        let handle = format!("01b-{}", self.statements.len());
        let parts = rows.len().div_ceil(PARTITION_ROWS).max(1);
        let types: Vec<Value> = columns
            .iter()
            .map(|name| json!({"name": name, "type": "text"}))
            .collect();
        let answer = json!({
            "code": "090001", "statementHandle": handle,
            "resultSetMetaData": {
                "numRows": rows.len(), "format": "jsonv2", "rowType": types,
                "partitionInfo": vec![json!({"rowCount": 0}); parts],
            },
            "data": rows.iter().take(PARTITION_ROWS).collect::<Vec<_>>(),
        });
        self.later.insert(handle.clone(), rows);
        if !self.slow {
            return Ok(Answer::json(200, &answer));
        }
        self.running.insert(handle.clone(), answer);
        let wait = json!({"code": "333334", "message": "Asynchronous execution in progress.",
            "statementHandle": handle});
        Ok(Answer::json(202, &wait))
    }

    fn fetch(&mut self, request: &Request) -> Result<Answer, Refused> {
        let handle = request.parts.get(3).cloned().unwrap_or_default();
        let Some(n) = request.query.get("partition") else {
            let answer = self.running.remove(&handle);
            let answer = answer.ok_or_else(|| Refused::new(404, "000709", "no such statement"))?;
            return Ok(Answer::json(200, &answer));
        };
        let n: usize = n.parse().map_err(|_| syntax("partition"))?;
        let rows = self.later.get(&handle);
        let rows = rows.ok_or_else(|| Refused::new(404, "000709", "no such statement"))?;
        let part: Vec<_> = rows
            .iter()
            .skip(n * PARTITION_ROWS)
            .take(PARTITION_ROWS)
            .collect();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed
            .write_all(json!({ "data": part }).to_string().as_bytes())
            .unwrap();
        let mut answer = Answer::json(200, &Value::Null);
        answer.body = Bytes::from(packed.finish().unwrap());
        Ok(answer)
    }

    fn run(&mut self, text: &str, bound: &[String], warehouse: bool) -> Result<Rows, Refused> {
        let mut reader = Reader {
            words: words(text),
            at: 0,
        };
        let done = |what: &str| Ok((vec!["status"], vec![vec![json!(what)]]));
        if reader.eat("SELECT CURRENT_VERSION()") {
            return Ok((
                vec!["CURRENT_VERSION()"],
                vec![vec![json!("9.34.0 (stand-in)")]],
            ));
        }
        if reader.eat("SHOW DATABASES LIKE") {
            let Some(Word::Text(like)) = reader.words.get(reader.at) else {
                return Err(syntax("LIKE"));
            };
            let head = like.trim_end_matches('%');
            let found = self.databases.iter().filter(|d| d.starts_with(head));
            let rows = found.map(|d| vec![json!("2026-01-01"), json!(d)]).collect();
            return Ok((vec!["created_on", "name"], rows));
        }
        if reader.eat("DESCRIBE TABLE") {
            let at = place(reader.path(3)?);
            let table = self.table(&at)?;
            let row = |c: &Column| vec![json!(c.name), json!(format!("{:?}", c.kind))];
            return Ok((
                vec!["name", "type"],
                table.columns.iter().map(row).collect(),
            ));
        }
        if reader.eat("SELECT") {
            if !warehouse {
                let text = "No active warehouse selected in the current session.";
                return Err(Refused::new(422, "000606", text));
            }
            return self.select(&mut reader, bound);
        }
        if self.read_only {
            let text = "SQL access control error: Insufficient privileges to operate on schema";
            return Err(Refused::new(422, "003001", text));
        }
        self.make(&mut reader)?;
        done("Statement executed successfully.")
    }

    fn select(&self, reader: &mut Reader, bound: &[String]) -> Result<Rows, Refused> {
        let count = reader.eat("COUNT(*)");
        if !count {
            reader.must("\"_BATCH\", \"_ROW\"")?;
        }
        reader.must("FROM")?;
        let table = self.table(&place(reader.path(3)?))?;
        reader.must("WHERE \"_NODE\" = ?")?;
        let range = reader.eat("AND \"_BATCH\" BETWEEN ? AND ?");
        if reader.at != reader.words.len() {
            return Err(syntax("after the end"));
        }
        let number = |n: usize| bound.get(n).and_then(|t| t.parse::<i64>().ok());
        let (from, to) = (number(1), number(2));
        let node = bound.first().ok_or_else(|| syntax("no binding"))?;
        let text = |row: &serde_json::Map<String, Value>, name: &str| {
            let value = row.get(name).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let found = table.rows.iter().filter(|row| {
            let batch = text(row, "_BATCH").parse::<i64>().ok();
            let within = !range || (from <= batch && batch <= to);
            !self.hidden && text(row, "_NODE") == *node && within
        });
        if count {
            let rows = found.count().to_string();
            return Ok((vec!["COUNT(*)"], vec![vec![json!(rows)]]));
        }
        let rows = found.map(|row| vec![json!(text(row, "_BATCH")), json!(text(row, "_ROW"))]);
        Ok((vec!["_BATCH", "_ROW"], rows.collect()))
    }

    fn table(&self, at: &Place) -> Result<&Table, Refused> {
        let table = self.tables.get(at);
        table.ok_or_else(|| missing(&format!("Table '{}.{}.{}'", at.0, at.1, at.2)))
    }

    fn make(&mut self, reader: &mut Reader) -> Result<(), Refused> {
        if reader.eat("CREATE SCHEMA IF NOT EXISTS") {
            let path = reader.path(2)?;
            if !self.databases.contains(&path[0]) {
                return Err(missing(&format!("Database '{}'", path[0])));
            }
            self.schemas.push((path[0].clone(), path[1].clone()));
            return Ok(());
        }
        if reader.eat("CREATE TABLE IF NOT EXISTS") {
            return self.create(reader);
        }
        if reader.eat("CREATE ROW ACCESS POLICY IF NOT EXISTS") {
            if !self.enterprise {
                return Err(Refused::new(
                    422,
                    "000002",
                    "Unsupported feature 'ROW ACCESS POLICY'.",
                ));
            }
            let at = self.within(reader)?;
            reader.must("AS (tenant VARCHAR) RETURNS BOOLEAN ->")?;
            self.policies.push(at);
            return Ok(());
        }
        if reader.eat("CREATE PIPE IF NOT EXISTS") {
            let at = self.within(reader)?;
            reader.must("AS COPY INTO")?;
            let table = place(reader.path(3)?);
            self.table(&table)?;
            reader.must("FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))")?;
            reader.must("MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE")?;
            self.pipes.insert(at, table);
            return Ok(());
        }
        reader.must("ALTER TABLE")?;
        let at = place(reader.path(3)?);
        self.table(&at)?;
        reader.must("ADD COLUMN IF NOT EXISTS")?;
        let column = reader.column()?;
        let table = self.tables.entry(at).or_default();
        if table.columns.iter().all(|c| c.name != column.name) {
            table.columns.push(column);
        }
        Ok(())
    }

    /// A path in a schema that is there.
    fn within(&self, reader: &mut Reader) -> Result<Place, Refused> {
        let at = place(reader.path(3)?);
        let schema = (at.0.clone(), at.1.clone());
        if !self.schemas.contains(&schema) {
            return Err(missing(&format!("Schema '{}.{}'", at.0, at.1)));
        }
        Ok(at)
    }

    fn create(&mut self, reader: &mut Reader) -> Result<(), Refused> {
        let at = self.within(reader)?;
        reader.must("(")?;
        let mut columns = vec![reader.column()?];
        while reader.eat(",") {
            columns.push(reader.column()?);
        }
        reader.must(")")?;
        if reader.eat("COMMENT =") {
            reader.at += 1;
        }
        if reader.eat("CLUSTER BY (") {
            let key = [reader.name()?, {
                reader.must(",")?;
                reader.name()?
            }];
            reader.must(")")?;
            if !key.iter().all(|k| columns.iter().any(|c| c.name == *k)) {
                return Err(missing(&format!("{key:?}")));
            }
        }
        if reader.eat("WITH ROW ACCESS POLICY") {
            let policy = place(reader.path(3)?);
            if !self.policies.contains(&policy) {
                return Err(missing("the policy"));
            }
            reader.must("ON (\"TENANT_ID\")")?;
        }
        if reader.at != reader.words.len() {
            return Err(syntax("after the end"));
        }
        self.tables.entry(at).or_insert(Table {
            columns,
            ..Table::default()
        });
        Ok(())
    }
}
