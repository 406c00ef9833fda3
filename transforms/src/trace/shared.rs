//! Equal texts and contexts, kept once: large traces name few agents, models and skills.

use std::collections::HashSet;
use std::sync::Arc;

use super::fact::Context;

/// How many texts or contexts are shared; then sharing starts anew.
const SHARED_MAX: usize = 65_536;

/// Equal texts and contexts, kept once.
#[derive(Debug, Default)]
pub struct Shared {
    texts: HashSet<Arc<str>>,
    contexts: HashSet<Arc<Context>>,
}

impl Shared {
    /// `text`, as it is kept already if it is.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= SHARED_MAX {
            self.texts.clear();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    /// `context`, as it is kept already if it is; `None` where it says nothing.
    pub fn context(&mut self, context: Context) -> Option<Arc<Context>> {
        if context.is_empty() {
            return None;
        }
        if let Some(known) = self.contexts.get(&context) {
            return Some(Arc::clone(known));
        }
        if self.contexts.len() >= SHARED_MAX {
            self.contexts.clear();
        }
        let context = Arc::new(context);
        self.contexts.insert(Arc::clone(&context));
        Some(context)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fact::Inherited;
    use super::*;

    #[test]
    fn equal_texts_and_contexts_are_kept_once() {
        let mut shared = Shared::default();
        let (a, b) = (shared.text("agent"), shared.text("agent"));
        assert!(Arc::ptr_eq(&a, &b));
        let mut context = Context::default();
        assert_eq!(shared.context(context.clone()), None);
        context.set(Inherited::UserId, Some(a));
        let (a, b) = (shared.context(context.clone()), shared.context(context));
        assert!(Arc::ptr_eq(&a.expect("one"), &b.expect("one")));
    }
}
