// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// creatorOf is the one user who joins first and has power while nothing else is said: content.creator up to version 10, the
// sender of the create event from 11 on (P-43, P-54). It is empty where creator is not a string, which no rule forbids.
func creatorOf(create *event.Event) ident.UserID {
	if content, err := create.Create(); err == nil {
		return content.Creator
	}
	return ""
}

// federates says whether the room is open to other servers than its creator's: unless m.federate is false (P-42).
func federates(create *event.Event) bool {
	if content, err := create.Create(); err == nil {
		return content.Federate
	}
	federate, ok := create.Content().Get("m.federate").Bool()
	return federate || !ok
}

// isPrivileged says whether the user is one of those who created a version 12 room: the sender of its create event or one of
// additional_creators. Older versions know no such users, whatever their create event holds.
func (l levels) isPrivileged(user ident.UserID) bool {
	if l.create == nil || !l.create.Version().PrivilegedCreators {
		return false
	}
	if l.create.Sender() == user {
		return true
	}
	content, err := l.create.Create()
	return err == nil && content.IsAdditionalCreator(user)
}

// privileged is every user that isPrivileged says yes to.
func (l levels) privileged() []ident.UserID {
	if l.create == nil || !l.create.Version().PrivilegedCreators {
		return nil
	}
	users := []ident.UserID{l.create.Sender()}
	if content, err := l.create.Create(); err == nil {
		users = append(users, content.AdditionalCreators...)
	}
	return users
}
