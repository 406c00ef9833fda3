//! Where in an event something was found, without allocating until it is.

use std::fmt::Write as _;

/// The most bytes of a path; names of attributes that no schema knows are the sender's, and are
/// cut.
pub const PATH_BYTES_MAX: usize = 256;

/// A place, as a list on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'p> {
    /// The event.
    Root,
    /// A member.
    Member(&'p Place<'p>, &'p str),
    /// An item of a list.
    Item(&'p Place<'p>, usize),
}

impl Place<'_> {
    /// The path as text: members by dots, items by brackets. What would draw on a terminal is
    /// replaced, since it is shown to people.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        cut(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Root => {}
            Self::Member(parent, name) => {
                parent.write(out);
                if !out.is_empty() {
                    out.push('.');
                }
                let shown = name.chars().take(PATH_BYTES_MAX);
                out.extend(shown.map(|c| if draws(c) { '\u{fffd}' } else { c }));
            }
            Self::Item(parent, index) => {
                parent.write(out);
                // Writing to a string does not fail.
                let _ = write!(out, "[{index}]");
            }
        }
    }
}

/// Whether a character moves the cursor or turns the direction of what follows.
fn draws(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control()
}

fn cut(text: &mut String) {
    if text.len() <= PATH_BYTES_MAX {
        return;
    }
    let end = (0..=PATH_BYTES_MAX - 3)
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
    text.push_str("...");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_people_write_it() {
        let a = Place::Member(&Place::Root, "metadata");
        let b = Place::Member(&a, "profiles");
        assert_eq!(Place::Item(&b, 2).text(), "metadata.profiles[2]");
        assert_eq!(Place::Root.text(), "");
    }

    #[test]
    fn names_of_the_sender_are_cut_and_cannot_draw_on_a_terminal() {
        let long = "\u{e4}".repeat(500);
        let text = Place::Member(&Place::Root, &long).text();
        assert!(text.len() <= PATH_BYTES_MAX && text.ends_with("..."));
        let text = Place::Member(&Place::Root, "\u{1b}[2Jx").text();
        assert_eq!(text, "\u{fffd}[2Jx");
    }
}
