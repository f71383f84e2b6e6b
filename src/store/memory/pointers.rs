//! Which generation readers see, and moving them.

use super::Held;
use crate::fault::{Fault, Result};
use crate::projection::StoreKind;
use crate::store::cutover::{Decision, behind, decide, gone};
use crate::store::{Cursor, CutOver, CutOverOutcome, Generation, Pointer};

impl Held {
    /// Points at the generation, unless the same or a later intent already did.
    pub(super) fn publish(
        &mut self,
        generation: &Generation,
        intent: i64,
        kind: StoreKind,
    ) -> Result<()> {
        if self.build(generation).is_none() {
            return Err(Fault::misconfigured(format!(
                "{generation} cannot be published: it is not in {kind}"
            )));
        }
        let stored = self.pointers.get(&generation.projection);
        let decided = stored.is_some_and(|stored| {
            stored.intent > intent || stored.intent == intent && stored.generation.is_some()
        });
        if !decided {
            self.point(generation, intent);
        }
        Ok(())
    }

    fn point(&mut self, generation: &Generation, intent: i64) {
        let pointer = Pointer {
            generation: Some(generation.number),
            intent,
        };
        self.pointers.insert(generation.projection.clone(), pointer);
        self.note_from_here(generation);
    }

    /// One attempt to cut over.
    pub(super) fn cut_over(&mut self, cut: &CutOver) -> CutOverOutcome {
        if self.build(&cut.to).is_none() {
            return CutOverOutcome::Overtaken(gone(&cut.to));
        }
        match decide(self.pointers.get(&cut.to.projection).copied(), cut) {
            Decision::Overtaken(why) => return CutOverOutcome::Overtaken(why),
            Decision::Confirm => {}
            Decision::Move => {
                let Some(from) = self.stored(&cut.from) else {
                    return CutOverOutcome::Overtaken(gone(&cut.from));
                };
                let to = self.stored(&cut.to).unwrap_or_default();
                if let Some(why) = behind(cut, &from, &to) {
                    return CutOverOutcome::NotYet(why);
                }
            }
        }
        self.point(&cut.to, cut.intent);
        CutOverOutcome::Done
    }

    fn stored(&self, generation: &Generation) -> Option<Vec<Cursor>> {
        let build = self.build(generation)?;
        Some(build.cursors.values().cloned().collect())
    }
}
