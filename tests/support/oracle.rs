//! The outside judge: it numbers every row before it is sent, notes which requests were
//! acknowledged, and compares that with what the server returns.
//!
//! ```text
//! claimed, acknowledged      must be there, once, unaltered
//! claimed, no answer         may be there, whole or not at all, once, unaltered
//! never claimed              must not be there
//! ```
//!
//! A request that got no answer is never sent again under its numbers, so that a second copy can
//! only be the server's own doing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use super::server::Weir;
use super::traffic::{Kind, TABLES, Table, id_of, number_of, text_of};

/// Rows that one question asks for, well below the server's cap.
const PAGE: u64 = 50_000;

/// A request that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) kind: Kind,
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) acknowledged: bool,
}

/// All requests so far, in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    claims: Mutex<Vec<Claim>>,
}

/// What differs from the obligations; each count is of rows, but for `torn`, which is of requests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) owed: u64,
    pub(crate) found: u64,
    pub(crate) missing: u64,
    pub(crate) doubled: u64,
    pub(crate) foreign: u64,
    pub(crate) altered: u64,
    pub(crate) torn: u64,
    examples: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owed,
            found,
            missing,
            doubled,
            foreign,
            altered,
            torn,
            examples,
        } = self;
        write!(
            f,
            "{owed} rows owed, {found} found: {missing} missing, {doubled} doubled, \
             {foreign} foreign, {altered} altered, {torn} requests torn"
        )?;
        for example in examples {
            write!(f, "\n  {example}")?;
        }
        Ok(())
    }
}

impl Verdict {
    pub(crate) fn is_clean(&self) -> bool {
        self.missing + self.doubled + self.foreign + self.altered + self.torn == 0
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < 10 {
            self.examples.push(text);
        }
    }
}

impl Oracle {
    /// Numbers the rows of a request that is about to be sent; answers its place and first number.
    pub(crate) fn claim(&self, kind: Kind, count: u64) -> (usize, u64) {
        let mut claims = self.claims.lock().unwrap();
        let first = claims.last().map_or(0, |last| last.first + last.count);
        claims.push(Claim {
            kind,
            first,
            count,
            acknowledged: false,
        });
        (claims.len() - 1, first)
    }

    /// Notes that the request at `place` was answered with a 2xx.
    pub(crate) fn acknowledge(&self, place: usize) {
        self.claims.lock().unwrap()[place].acknowledged = true;
    }

    /// All requests as they stand now.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        self.claims.lock().unwrap().clone()
    }

    /// Compares everything that was ever claimed with what `server` returns.
    pub(crate) fn judge(&self, server: &Weir) -> Verdict {
        judge(&self.claims(), server)
    }

    /// What was owed at an earlier moment, `then`, against all numbers claimed until now: a disk
    /// copied between the two owes the former and may hold the latter.
    pub(crate) fn owed_at(&self, then: &[Claim]) -> Vec<Claim> {
        let mut claims = self.claims();
        for (place, claim) in claims.iter_mut().enumerate() {
            claim.acknowledged = then.get(place).is_some_and(|claim| claim.acknowledged);
        }
        claims
    }
}

/// Compares `claims` with what `server` returns.
pub(crate) fn judge(claims: &[Claim], server: &Weir) -> Verdict {
    let mut verdict = Verdict::default();
    let mut copies: HashMap<u64, u32> = HashMap::new();
    let end = claims.last().map_or(0, |last| last.first + last.count);
    for table in TABLES {
        let mut seen = 0;
        for low in (0..end).step_by(usize::try_from(PAGE).unwrap()) {
            for row in page(server, table, low) {
                seen += 1;
                check_row(claims, table, &row, &mut copies, &mut verdict);
            }
        }
        let all = server.number(&format!("SELECT count(*) FROM {}", table.name));
        if all != seen {
            verdict.foreign += all.abs_diff(seen);
            verdict.example(format!("{}: {all} rows, {seen} with known ids", table.name));
        }
    }
    for claim in claims {
        check_claim(claim, &copies, &mut verdict);
    }
    verdict
}

fn page(server: &Weir, table: Table, low: u64) -> Vec<Vec<String>> {
    let Table { name, id, text } = table;
    let (from, to) = (id_of(low), id_of(low + PAGE));
    server.query(&format!(
        "SELECT {id}, {text} FROM {name} WHERE {id} >= '{from}' AND {id} < '{to}'"
    ))
}

fn check_row(
    claims: &[Claim],
    table: Table,
    row: &[String],
    copies: &mut HashMap<u64, u32>,
    verdict: &mut Verdict,
) {
    verdict.found += 1;
    let [id, text] = row else {
        panic!("{}: {row:?} has not two columns", table.name);
    };
    let claim = number_of(id).and_then(|number| {
        let place = claims.partition_point(|claim| claim.first + claim.count <= number);
        claims.get(place).map(|claim| (number, claim))
    });
    let Some((number, _)) = claim.filter(|(_, claim)| claim.kind.table() == table) else {
        verdict.foreign += 1;
        verdict.example(format!("{}: {id} was never sent there", table.name));
        return;
    };
    let count = copies.entry(number).or_default();
    *count += 1;
    if *count == 2 {
        verdict.doubled += 1;
        verdict.example(format!("{}: row {number} twice", table.name));
    }
    if *text != text_of(number) {
        verdict.altered += 1;
        verdict.example(format!("{}: row {number} holds {text:?}", table.name));
    }
}

fn check_claim(claim: &Claim, copies: &HashMap<u64, u32>, verdict: &mut Verdict) {
    let numbers = claim.first..claim.first + claim.count;
    let present = numbers.filter(|number| copies.contains_key(number)).count();
    let missing = claim.count - u64::try_from(present).unwrap();
    if claim.acknowledged {
        verdict.owed += claim.count;
        verdict.missing += missing;
        if missing > 0 {
            verdict.example(format!("acknowledged, {missing} rows missing: {claim:?}"));
        }
    }
    if missing > 0 && missing < claim.count {
        verdict.torn += 1;
        verdict.example(format!("in part, {present} rows: {claim:?}"));
    }
}
