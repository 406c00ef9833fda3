//! The byte budget at the door.
