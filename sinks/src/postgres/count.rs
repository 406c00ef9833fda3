//! Counting under row-level security: each tenant's rows, one tenant after another.

use weir_model::{Dataset, NodeId};

use super::encode::Value;
use super::error::PostgresError;
use super::layout::Ddl;
use super::prepare::{Asker, Ready, get};
use super::session::Statement;
use super::write::AS_TENANT;

impl Asker<'_> {
    /// How many rows of `node` a reader finds, of all tenants.
    ///
    /// # Errors
    ///
    /// Where they cannot be counted.
    pub(super) async fn count(
        self,
        ready: &Ready,
        dataset: Dataset,
        node: &NodeId,
    ) -> Result<u64, PostgresError> {
        let ddl = Ddl {
            config: self.config,
            decided: &ready.decided,
        };
        let (schema, table) = (&self.config.schema, ddl.table(dataset));
        let tenants = format!("SELECT tenant_id FROM {schema}._weir_tenants WHERE dataset = $1");
        let tenants = Statement::new(tenants, vec![Value::text(dataset.name())]);
        let begin = self.session.begin();
        self.session.script(&begin).await?;
        let counted = format!("SELECT count(*) FROM {table} WHERE _node = $1 AND tenant_id = $2");
        let mut all: u64 = 0;
        for row in &self.session.ask(&tenants).await? {
            let tenant: String = get(self.place, row, 0)?;
            let set = Statement::new(AS_TENANT, vec![Value::text(&tenant)]);
            let values = vec![Value::text(node.as_str()), Value::text(&tenant)];
            let count = Statement::new(counted.as_str(), values);
            let (set, count) = futures::join!(self.session.ask(&set), self.session.ask(&count));
            set?;
            for row in &count? {
                let rows: i64 = get(self.place, row, 0)?;
                all += rows.unsigned_abs();
            }
        }
        self.session.script("COMMIT").await?;
        Ok(all)
    }
}
