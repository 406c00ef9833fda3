//! Rows apart by tenant.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::take::take_record_batch;

/// The rows of each tenant, in their order, under the tenant's name; tenants come in the order of
/// their first rows. Nothing is copied where there is one tenant only.
///
/// # Errors
///
/// Where the rows have no tenants: they are not of a dataset then.
pub(crate) fn by_tenant(rows: &RecordBatch) -> Result<Vec<(String, RecordBatch)>, ArrowError> {
    let missing = || ArrowError::SchemaError("the rows have no tenant_id".to_owned());
    let tenants = rows.column_by_name("tenant_id").ok_or_else(missing)?;
    let tenants = tenants.as_string_opt::<i32>().ok_or_else(missing)?;
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<(&str, Vec<u32>)> = Vec::new();
    for (row, tenant) in (0_u32..).zip(tenants.iter()) {
        let tenant = tenant.ok_or_else(missing)?;
        let at = *places.entry(tenant).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, members)) => members.push(row),
            None => groups.push((tenant, vec![row])),
        }
    }
    if let [(tenant, _)] = groups.as_slice() {
        return Ok(vec![((*tenant).to_owned(), rows.clone())]);
    }
    let apart = groups.into_iter().map(|(tenant, members)| {
        let taken = take_record_batch(rows, &UInt32Array::from(members))?;
        Ok((tenant.to_owned(), taken))
    });
    apart.collect()
}
