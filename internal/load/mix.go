// SPDX-License-Identifier: Apache-2.0

package load

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// What people write about. The length of messages makes the mean event about 800 bytes long, as in public rooms.
const (
	minWords = 4
	maxWords = 94
)

var words = strings.Fields(`the of and to in is you that it he was for on are as with his they at be this have from or one had by word
	but not what all were we when your can said there use an each which she do how their if will up other about out many then them
	these so some her would make like him into time has look two more write go see number no way could people my than first water`)

// author makes the events of one room by chance. It belongs to the goroutine that builds the room's events.
type author struct {
	room    *room
	chance  *rand.Rand
	options Options
}

// next makes one event, or the two of a fork, and gives them in the order in which they can be sent.
func (a *author) next() ([]*event.Event, error) {
	r := a.room
	after := r.heads
	var made []*event.Event
	if len(after) == 1 && a.chance.IntN(100) < a.options.Forks {
		sibling, err := r.build(after, a.message()) // first: it must not rest on the state that the other one sets
		if err != nil {
			return nil, err
		}
		made = append(made, sibling)
	}
	proto := a.draw()
	e, err := r.build(after, proto)
	if err != nil {
		return nil, err
	}
	made = append(made, e)
	for _, e := range made {
		r.add(e)
	}
	r.heads = made
	return made, nil
}

// draw chooses what the next event is.
func (a *author) draw() event.Proto {
	switch n := a.chance.IntN(100); {
	case n < a.options.Members:
		return a.member()
	case n < a.options.Members+a.options.State:
		return a.topic()
	}
	return a.message()
}

func (a *author) proto(sender ident.UserID, typ string, stateKey *string, content any) event.Proto {
	text, _ := json.Marshal(content) // maps of strings
	return event.Proto{Sender: sender, Type: typ, StateKey: stateKey, Content: text, OriginServerTS: time.Now().UnixMilli()}
}

func (a *author) user() ident.UserID { return a.room.users[a.chance.IntN(len(a.room.users))] }

func (a *author) text(least, most int) string {
	var b strings.Builder
	for n := least + a.chance.IntN(most-least+1); n > 0; n-- {
		b.WriteString(words[a.chance.IntN(len(words))])
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

func (a *author) message() event.Proto {
	return a.proto(a.user(), "m.room.message", nil, map[string]string{"msgtype": "m.text", "body": a.text(minWords, maxWords)})
}

// member is a new user who joins, or one who changes their name.
func (a *author) member() event.Proto {
	user := a.user()
	if a.chance.IntN(2) == 0 {
		user = ident.UserID("@user" + strconv.Itoa(len(a.room.users)) + ":" + string(a.room.origin.name))
		a.room.users = append(a.room.users, user)
	}
	key := string(user)
	return a.proto(user, typeMember, &key, map[string]string{"membership": "join", "displayname": a.text(1, 3)})
}

// topic is state that is no membership: a topic, or one of the entries that bots and widgets keep under keys of their own.
func (a *author) topic() event.Proto {
	if a.chance.IntN(4) == 0 {
		return a.proto(a.user(), "m.room.topic", new(string), map[string]string{"topic": a.text(2, 12)})
	}
	key := strconv.Itoa(a.chance.IntN(100))
	return a.proto(a.user(), "org.example.entry", &key, map[string]string{"value": a.text(2, 20)})
}
