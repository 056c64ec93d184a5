//! LeaveGroup: members that say goodbye, or are sent away by their static names.

use std::sync::Arc;

use wire::ErrorCode;

use super::{Effect, State, Turn};

/// One who is to leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving<'a> {
    /// Empty where an administrator sends a static member away.
    pub(crate) member: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
}

/// What became of each, in the order of the request.
pub(crate) type LeaveAnswer = Vec<ErrorCode>;

impl Turn<'_> {
    pub(in crate::group) fn leave(&mut self, leaving: &[Leaving<'_>]) -> (LeaveAnswer, Effect) {
        let answer: LeaveAnswer =
            leaving.iter().map(|one| self.remove_leaving(one).err().unwrap_or(ErrorCode::None)).collect();
        if !answer.contains(&ErrorCode::None) {
            return (answer, Effect::default());
        }
        let effect = match self.group.state {
            State::Stable | State::CompletingRebalance => self.rebalance_or_complete("members leave"),
            State::PreparingRebalance => self.complete_if_all_joined(),
            State::Empty => Effect::default(),
        };
        (answer, effect)
    }

    fn remove_leaving(&mut self, leaving: &Leaving<'_>) -> Result<(), ErrorCode> {
        let Leaving { member, instance, reason } = *leaving;
        let id: Arc<str> = if member.is_empty() {
            let owner = instance.and_then(|instance| self.group.instances.get(instance));
            Arc::clone(owner.ok_or(ErrorCode::UnknownMemberId)?)
        } else if self.group.pending.contains(member) {
            let id: Arc<str> = member.into();
            self.group.remove(&id);
            self.timers.cancel(&self.session_timer(&id));
            return Ok(());
        } else {
            self.group.check_member(member, instance)?;
            member.into()
        };
        let reason = reason.unwrap_or("not given");
        tracing::info!(group = %self.group.id, member = %id, reason, "a member leaves");
        self.dismiss(&id);
        Ok(())
    }
}
