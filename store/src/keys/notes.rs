//! Notes: what administrators of tenants have set, in memory as keys are.

use weir_model::TenantId;

use super::Keys;
use crate::{Note, NoteKind, StoreError};

impl Keys {
    /// Keeps a note; it counts at once, and elsewhere within 5 s.
    ///
    /// # Errors
    ///
    /// As [`State::put_note`](crate::State::put_note).
    pub fn put_note(
        &self,
        kind: NoteKind,
        tenant: &TenantId,
        (id, body): (String, String),
    ) -> Result<(), StoreError> {
        self.state.put_note(&Note {
            kind,
            tenant: tenant.clone(),
            id,
            body,
            at_us: self.clock.now_us(),
        })?;
        self.refresh()
    }

    /// Drops a note; it ceases to count at once, and elsewhere within 5 s. `false` where there is
    /// none.
    ///
    /// # Errors
    ///
    /// Where that could not be stored; it still counts then.
    pub fn drop_note(
        &self,
        kind: NoteKind,
        tenant: &TenantId,
        id: &str,
    ) -> Result<bool, StoreError> {
        let dropped = self.state.drop_note(kind, tenant, id)?;
        self.refresh()?;
        Ok(dropped)
    }

    /// The notes of that kind: those of one tenant, or of all.
    pub fn notes(&self, kind: NoteKind, tenant: Option<&TenantId>) -> Vec<Note> {
        let known = self.known.read();
        let wanted = |n: &&Note| n.kind == kind && tenant.is_none_or(|t| n.tenant == *t);
        known.notes.iter().filter(wanted).cloned().collect()
    }

    /// A number that is another one whenever something in memory has changed.
    pub fn version(&self) -> i64 {
        self.known.read().version
    }
}
