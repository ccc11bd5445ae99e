// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// story is a demo under way. It belongs to the goroutine of Run; while several servers send at the same time, mu guards sent.
type story struct {
	options  Options
	dir      string
	tell     *narrator
	news     *ledger
	servers  []*server
	room     ident.RoomID
	restarts int

	mu   sync.Mutex
	sent []sent
}

// cast makes the directories and the handles of the servers.
func (s *story) cast(broken context.CancelCauseFunc) error {
	names, err := serverNames(s.options.Servers)
	if err != nil {
		return err
	}
	authority := filepath.Join(s.dir, "authority")
	if _, err := transport.OpenLocalCA(authority); err != nil {
		return err
	}
	for i, name := range names {
		dir := filepath.Join(s.dir, fmt.Sprintf("server%d", i+1))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		s.servers = append(s.servers, &server{
			number: i + 1, child: s.options.Child, news: s.news, broken: broken,
			setup: setup{Name: name, Dir: dir, Authority: authority, RoomVersion: s.options.RoomVersion},
		})
	}
	return nil
}

// play runs the acts.
func (s *story) play(ctx context.Context) error {
	plan := divide(s.options.Events)
	victim := s.servers[len(s.servers)-1]
	survivors := s.servers[:len(s.servers)-1]
	for _, act := range []func() error{
		func() error { return s.startAll(ctx) },
		func() error { return s.gather(ctx) },
		func() error { return s.talk(ctx, plan.talk) },
		func() error { return s.kill(ctx, victim, plan.last) },
		func() error { return s.goOn(ctx, survivors, victim, plan.alone) },
		func() error { return s.comeBack(ctx, victim, plan.together) },
	} {
		if err := act(); err != nil {
			return err
		}
	}
	return nil
}

// startAll starts every server's process at the same time.
func (s *story) startAll(ctx context.Context) error {
	s.tell.step("%s start. Each is a process of its own, with its own signing key, TLS certificate and database.",
		plural(len(s.servers), "homeserver"))
	err := each(s.servers, func(server *server) error {
		if err := server.start(ctx); err != nil {
			return fmt.Errorf("server %d did not start: %w", server.number, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, server := range s.servers {
		s.tell.add("server %-2d  https://%s  process %d", server.number, server.name(), server.cmd.Process.Pid)
	}
	return nil
}

// gather creates the room and brings everyone in, one after the other: each server knows of those who come after it by events.
func (s *story) gather(ctx context.Context) error {
	first := s.servers[0]
	s.tell.step("A user of server 1 creates a room (version %s). A user of each other server joins it: that server asks\n"+
		"server 1 for a form, signs it, hands it in, and is given the state of the room. It believes none of that:\n"+
		"it checks every signature and every permission itself.", s.options.RoomVersion)
	created, err := first.ask(ctx, order{Task: taskCreate, Text: "before the crash"})
	if err != nil {
		return err
	}
	s.room = created.Room
	for i, guest := range s.servers[1:] {
		joined, err := guest.ask(ctx, order{Task: taskJoin, Room: s.room, Via: first.name()})
		if err != nil {
			return err
		}
		join := []sent{{id: joined.Event}}
		if err := s.settled(ctx, s.servers[:i+2], join); err != nil {
			return err
		}
	}
	return nil
}

// talk has everyone send while all is well.
func (s *story) talk(ctx context.Context, events int) error {
	s.tell.step("Everybody talks: %s. They travel in transactions: numbered parcels of up to 50 events from one\n"+
		"server to another. A parcel is sent again, byte for byte the same, until it is answered; by its number\n"+
		"the receiver knows one that comes twice.", plural(events, "event"))
	if err := s.send(ctx, s.servers, deal(events, len(s.servers))); err != nil {
		return err
	}
	begun := time.Now()
	if err := s.settled(ctx, s.servers, s.sent); err != nil {
		return err
	}
	s.tell.add("All are everywhere, %s after the last one was sent.", inMS(time.Since(begun)))
	return nil
}

// kill has the victim send, and kills it the moment its last event is acknowledged.
func (s *story) kill(ctx context.Context, victim *server, events int) error {
	before := len(s.sent)
	if err := s.send(ctx, []*server{victim}, []int{events}); err != nil {
		return err
	}
	end, err := victim.kill()
	if err != nil {
		return fmt.Errorf("kill server %d: %w", victim.number, err)
	}
	promised := s.sent[before:]
	s.tell.step("Server %d takes %s from its user and, the moment it has said \"got it\", is killed with kill -9\n"+
		"(%s): nothing is saved on the way out. Server 1 has not seen %d of these %d yet.",
		victim.number, plural(events, "more event"), end, s.news.missing(1, promised), events)
	return nil
}

// goOn has the others send while the victim is dead.
func (s *story) goOn(ctx context.Context, survivors []*server, victim *server, events int) error {
	before := len(s.sent)
	failed := s.news.failures(victim.name())
	s.tell.step("Meanwhile, from %s: %s, the first of them a new topic of the room.",
		numbers(1, len(survivors)), plural(events, "more event"))
	// The first is state, so that the victim's view of the room is out of date, not only its list of messages.
	if err := s.sendOne(ctx, survivors[0], taskTopic); err != nil {
		return err
	}
	if err := s.send(ctx, survivors, deal(events-1, len(survivors))); err != nil {
		return err
	}
	if err := s.settled(ctx, survivors, s.sent[before:]); err != nil {
		return err
	}
	// Each of those who sent something has found the door shut, and come back to find it shut again.
	senders := max(1, min(events-1, len(survivors)))
	err := s.news.wait(ctx, func() bool { return s.news.failures(victim.name()) >= failed+2*senders })
	if err != nil {
		return fmt.Errorf("the others do not try to reach server %d again: %w", victim.number, err)
	}
	s.tell.add("Server %d does not answer: %s failed. Its parcels stay in the senders' databases and are\n"+
		"tried again, after a pause that grows with each failure.",
		victim.number, plural(s.news.failures(victim.name())-failed, "try"))
	return nil
}

// comeBack restarts the victim on what it left behind, and has everyone send while it catches up.
func (s *story) comeBack(ctx context.Context, victim *server, events int) error {
	s.tell.step("Server %d starts again on the same database, %s behind. It finds there what it had promised\n"+
		"to send, and sends it; the others see by that that it is back, and deliver what it has missed.\n"+
		"Nobody waits for it to catch up: everybody goes on, with %s more.",
		victim.number, plural(s.news.missing(victim.number, s.sent), "event"), plural(events, "event"))
	begun := time.Now()
	if err := victim.start(ctx); err != nil {
		return fmt.Errorf("server %d did not come back: %w", victim.number, err)
	}
	s.restarts++
	if err := s.send(ctx, s.servers, deal(events, len(s.servers))); err != nil {
		return err
	}
	if err := s.settled(ctx, s.servers, s.sent); err != nil {
		return err
	}
	s.tell.add("Everything is everywhere, %s after the restart.", inMS(time.Since(begun)))
	return nil
}

// send has servers send at the same time, each its number of messages one after the other.
func (s *story) send(ctx context.Context, servers []*server, numbers []int) error {
	return each(servers, func(server *server) error {
		for range numbers[server.number-servers[0].number] {
			if err := s.sendOne(ctx, server, taskSay); err != nil {
				return err
			}
		}
		return nil
	})
}

// sendOne notes the event as soon as it is acknowledged.
func (s *story) sendOne(ctx context.Context, server *server, what task) error {
	r, err := server.ask(ctx, order{Task: what, Room: s.room, Text: fmt.Sprintf("from server %d", server.number)})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, sent{number: len(s.sent) + 1, by: server.number, id: r.Event})
	return nil
}

// settled waits until the servers have told that they delivered the events.
func (s *story) settled(ctx context.Context, servers []*server, events []sent) error {
	err := s.news.wait(ctx, func() bool {
		for _, server := range servers {
			if s.news.missing(server.number, events) > 0 {
				return false
			}
		}
		return true
	})
	for _, server := range servers {
		if n := s.news.missing(server.number, events); err != nil && n > 0 {
			err = fmt.Errorf("server %d still lacked %s: %w", server.number, plural(n, "event"), err)
			break
		}
	}
	return err
}

// ask gives every server the same order. What one server answers belongs to its number.
func (s *story) ask(ctx context.Context, o order) ([]report, error) {
	replies := make([]report, len(s.servers))
	err := each(s.servers, func(server *server) (err error) {
		replies[server.number-1], err = server.ask(ctx, o)
		return err
	})
	return replies, err
}

// stop ends every server.
func (s *story) stop() error { return each(s.servers, (*server).stop) }

// each does the same with several servers at the same time. Errors that only say that another server failed are left out when that
// one's is there.
func each(servers []*server, do func(*server) error) error {
	faults := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, server := range servers {
		wg.Go(func() { faults[i] = do(server) })
	}
	wg.Wait()
	own := slices.DeleteFunc(slices.Clone(faults), func(err error) bool { return err == nil || errors.Is(err, errBroken) })
	if len(own) > 0 {
		faults = own
	}
	return errors.Join(faults...)
}
