// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// The values of membership. A user without a member event has none of them, and is treated as having left.
const (
	membershipBan    = "ban"
	membershipInvite = "invite"
	membershipJoin   = "join"
	membershipKnock  = "knock"
	membershipLeave  = "leave"
	membershipNone   = "none"
)

// The join rules that open a door. Any other value, "private" included, opens none (P-44).
const (
	joinRuleInvite          = "invite"
	joinRuleKnock           = "knock"
	joinRuleKnockRestricted = "knock_restricted"
	joinRulePublic          = "public"
	joinRuleRestricted      = "restricted"
)

// checkMember is the rules of m.room.member, one method for each membership that the event asks for.
func (r *room) checkMember(e *event.Event) Result {
	key, isState := e.StateKey()
	if !isState {
		return deny("P-51", "m.room.member has no state_key")
	}
	m, ok := e.Membership()
	if !ok {
		return deny("P-51", "content has no membership that is a string")
	}
	if e.Version().Restricted && e.Content().Has("join_authorised_via_users_server") {
		if _, err := ident.ParseUserID(m.AuthorisedVia); err != nil {
			return deny("P-45", "join_authorised_via_users_server: %v", err)
		}
	}
	target := ident.UserID(key)
	switch m.Membership {
	case membershipJoin:
		return r.checkJoin(e, target, m)
	case membershipInvite:
		return r.checkInvite(e, target, m)
	case membershipLeave:
		return r.checkLeave(e, target)
	case membershipBan:
		return r.checkBan(e, target)
	case membershipKnock:
		if e.Version().Knock {
			return r.checkKnock(e, target)
		}
	}
	return deny("P-51", "membership %q is unknown to room version %s", m.Membership, e.Version().ID)
}

// checkJoin: the creator's first join, then joining by oneself as the join rule allows (P-43 to P-45).
func (r *room) checkJoin(e *event.Event, target ident.UserID, m event.Member) Result {
	if prev := e.PrevEvents(); len(prev) == 1 && prev[0] == r.create.ID() && r.isFounder(target) {
		return allow("P-43", "the creator joins the room just created")
	}
	if e.Sender() != target {
		return deny("P-44", "sender %s cannot join %s to the room", e.Sender(), target)
	}
	current, rule := r.membership(target), r.joinRule()
	if current == membershipBan {
		return deny("P-44", "%s is banned", target)
	}
	inside := current == membershipJoin || current == membershipInvite
	switch {
	case rule == joinRulePublic:
		return allow("P-44", "the join rule is public")
	case inside && r.admitsInvited(rule):
		return allow("P-44", "the sender is invited or joined already")
	case r.admitsRestricted(rule):
		return r.checkAuthoriser(m.AuthorisedVia)
	}
	return deny("P-44", "join rule %q does not let %s join from membership %s", rule, target, current)
}

// isFounder says whether the user is the one that rule P-43 lets in first.
func (r *room) isFounder(user ident.UserID) bool { return user != "" && creatorOf(r.create) == user }

// admitsInvited says whether the rule lets those in who are invited; each newer rule is known from its room version on.
func (r *room) admitsInvited(rule string) bool {
	return rule == joinRuleInvite || r.admitsKnock(rule) || r.admitsRestricted(rule)
}

func (r *room) admitsRestricted(rule string) bool {
	v := r.create.Version()
	return v.Restricted && rule == joinRuleRestricted || v.KnockRestricted && rule == joinRuleKnockRestricted
}

func (r *room) admitsKnock(rule string) bool {
	v := r.create.Version()
	return v.Knock && rule == joinRuleKnock || v.KnockRestricted && rule == joinRuleKnockRestricted
}

// checkAuthoriser: a restricted join stands on a member who could have invited the user (P-45). Whether the user met the
// room's conditions is for the authorising server to know; its signature says so.
func (r *room) checkAuthoriser(name string) Result {
	user := ident.UserID(name)
	if user == "" {
		return deny("P-45", "the sender is not invited, and no user authorises the join")
	}
	if m := r.membership(user); m != membershipJoin {
		return deny("P-45", "authorising user %s is not joined to the room: membership %s", user, m)
	}
	if power, level := r.levels.of(user), r.levels.invite(); power < level {
		return deny("P-45", "authorising user %s has power %s and the invite level is %s", user, power, level)
	}
	return allow("P-45", "a member who may invite authorises the join")
}

// checkInvite: an invite by a member (P-47), or by the holder of a third-party invite (P-46).
func (r *room) checkInvite(e *event.Event, target ident.UserID, m event.Member) Result {
	if m.ThirdParty {
		return r.checkThirdPartyInvite(e, target)
	}
	if refusal := r.checkSenderJoined(e, "P-47"); refusal != nil {
		return *refusal
	}
	if current := r.membership(target); current == membershipJoin || current == membershipBan {
		return deny("P-47", "%s cannot be invited from membership %s", target, current)
	}
	if power, level := r.levels.of(e.Sender()), r.levels.invite(); power < level {
		return deny("P-47", "sender %s has power %s and the invite level is %s", e.Sender(), power, level)
	}
	return allow("P-47", "the sender has the invite level")
}

// checkLeave: leaving, declining and taking back a knock by oneself; kicking and unbanning by others (P-48).
func (r *room) checkLeave(e *event.Event, target ident.UserID) Result {
	current := r.membership(target)
	if e.Sender() == target {
		if current == membershipJoin || current == membershipInvite ||
			current == membershipKnock && e.Version().Knock {
			return allow("P-48", "users may leave by themselves")
		}
		return deny("P-48", "%s cannot leave from membership %s", target, current)
	}
	if refusal := r.checkSenderJoined(e, "P-48"); refusal != nil {
		return *refusal
	}
	power := r.levels.of(e.Sender())
	if level := r.levels.ban(); current == membershipBan && power < level {
		return deny("P-48", "sender %s has power %s and the ban level, needed to unban, is %s", e.Sender(), power, level)
	}
	return r.checkPowerOver(e, target, "P-48", "kick", r.levels.kick())
}

// checkBan: P-49.
func (r *room) checkBan(e *event.Event, target ident.UserID) Result {
	if refusal := r.checkSenderJoined(e, "P-49"); refusal != nil {
		return *refusal
	}
	return r.checkPowerOver(e, target, "P-49", "ban", r.levels.ban())
}

// checkPowerOver: the sender has the level, and more power than the target; equals cannot act on each other, and no creator
// on a creator: ∞ is not less than ∞ (P-48, P-49, R-23).
func (r *room) checkPowerOver(e *event.Event, target ident.UserID, rule, name string, level Level) Result {
	power := r.levels.of(e.Sender())
	if power < level {
		return deny(rule, "sender %s has power %s and the %s level is %s", e.Sender(), power, name, level)
	}
	if other := r.levels.of(target); other >= power || other == noPower {
		return deny(rule, "target %s has power %s, not less than the %s of sender %s", target, other, power, e.Sender())
	}
	return allow(rule, "the sender has the level and more power than the target")
}

// checkKnock: P-50. Who is invited already cannot knock, whatever the membership table of the client-server API says.
func (r *room) checkKnock(e *event.Event, target ident.UserID) Result {
	if rule := r.joinRule(); !r.admitsKnock(rule) {
		return deny("P-50", "join rule %q does not allow knocking in room version %s", rule, e.Version().ID)
	}
	if e.Sender() != target {
		return deny("P-50", "sender %s cannot knock for %s", e.Sender(), target)
	}
	switch m := r.membership(target); m {
	case membershipBan, membershipInvite, membershipJoin:
		return deny("P-50", "%s cannot knock from membership %s", target, m)
	}
	return allow("P-50", "the join rule allows knocking")
}

func (r *room) checkSenderJoined(e *event.Event, rule string) *Result {
	if m := r.membership(e.Sender()); m != membershipJoin {
		return refuse(rule, "sender %s is not joined to the room: membership %s", e.Sender(), m)
	}
	return nil
}

// membership is the user's membership in the state.
func (r *room) membership(user ident.UserID) string { return membershipIn(r.state, user) }

func membershipIn(state State, user ident.UserID) string {
	e := state.Event(memberSlot(user))
	if e == nil {
		return membershipNone
	}
	m, ok := e.Membership()
	if !ok {
		return membershipNone
	}
	return m.Membership
}

// joinRule is the room's join rule: "invite" as long as no event says otherwise, as the peers have it too, and "" when what
// one says is not a string, which opens no door.
func (r *room) joinRule() string {
	e := r.state.Event(joinRulesSlot)
	if e == nil || !e.Content().Has("join_rule") {
		return joinRuleInvite
	}
	rules, err := e.JoinRules()
	if err != nil {
		return ""
	}
	return rules.JoinRule
}
