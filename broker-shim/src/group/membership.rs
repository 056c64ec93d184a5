//! Who is in a group: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use tokio::sync::oneshot::Receiver;
use wire::ErrorCode;

use super::{
    classic::{After, JoinAnswer, JoinRequest, LeaveAnswer, Leaving, Reply, SyncAnswer, SyncRequest},
    state::{GroupState, decision, unwritable},
};
use crate::coordinator::{Decision, Moment};

/// Where an answer arrives.
type Later<T> = Receiver<T>;

impl GroupState {
    /// A member without an id makes the group that it joins; one with an id of a group that is not there is unknown.
    pub(super) fn join(
        &mut self,
        request: JoinRequest<'_>,
        now: Moment,
    ) -> Result<Decision<Self, Later<JoinAnswer>>, ErrorCode> {
        let group = request.group;
        let is_new = request.member.is_empty() && self.make_classic(group, now);
        let mut turn = self.turn(group, now).ok_or(ErrorCode::UnknownMemberId)?;
        let (reply, told) = Reply::new();
        let mut effect = turn.join(request, reply);
        if is_new && effect.records.is_empty() {
            // So that the group is there at the next start as well.
            effect.records.push(turn.group.first_record().map_err(|error| unwritable(&error))?);
            effect.after = Some(After::Created);
        }
        Ok(decision(group, effect, told))
    }

    pub(super) fn sync(
        &mut self,
        request: SyncRequest<'_>,
        now: Moment,
    ) -> Result<Decision<Self, Later<SyncAnswer>>, ErrorCode> {
        let group = request.group;
        let mut turn = self.turn(group, now).ok_or(ErrorCode::UnknownMemberId)?;
        let (reply, told) = Reply::new();
        let effect = turn.sync(request, reply);
        Ok(decision(group, effect, told))
    }

    pub(super) fn heartbeat(
        &mut self,
        group: &str,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        now: Moment,
    ) -> ErrorCode {
        match self.turn(group, now) {
            Some(mut turn) => turn.heartbeat(member, instance, generation),
            None => ErrorCode::UnknownMemberId,
        }
    }

    pub(super) fn leave(
        &mut self,
        group: &str,
        leaving: &[Leaving<'_>],
        now: Moment,
    ) -> Decision<Self, LeaveAnswer> {
        match self.turn(group, now) {
            Some(mut turn) => {
                let (answer, effect) = turn.leave(leaving);
                decision(group, effect, answer)
            }
            None => Decision::answer(vec![ErrorCode::UnknownMemberId; leaving.len()]),
        }
    }
}
