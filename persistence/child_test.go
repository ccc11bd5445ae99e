// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// childRole makes the test binary, when it is executed again, one of the processes below instead of running tests.
const childRole = "STRATA_STORE_CHILD"

func TestMain(m *testing.M) {
	roles := map[string]func(path string) error{"acknowledge": childAcknowledge, "hold": childHold, "read": childRead, "limit": childLimit, "disk": childDisk}
	role, path, _ := strings.Cut(os.Getenv(childRole), " ")
	if run := roles[role]; run != nil {
		if err := run(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a command that plays a role on the store at path.
func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childRole+"="+role+" "+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// childAcknowledge writes without end, from several callers, and prints each position once it is acknowledged.
func childAcknowledge(path string) error {
	s, err := OpenScratch(context.Background(), Options{Path: path, ServerName: "a.example"})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for caller := range 8 {
		go func() {
			padding := make([]byte, 300*caller)
			for n := 0; ; n++ {
				var p Position
				err := s.Update(context.Background(), func(tx *Tx) (err error) {
					if p, err = tx.NextPosition(); err != nil {
						return err
					}
					if n%7 == 6 {
						return errChild
					}
					return tx.PutPadded(strconv.Itoa(int(p)), int64(p), padding)
				})
				if errors.Is(err, errChild) {
					continue
				}
				if err != nil {
					failed <- err
				}
				fmt.Println(int64(p)) // one write each: a line is printed whole or, at the kill, not at all
			}
		}()
	}
	return <-failed
}

var errChild = errors.New("on purpose")

// Nothing that was acknowledged is missing after kill -9, at whatever moment, and the sequence has no gap.
func TestKill(t *testing.T) {
	rounds := 36
	if testing.Short() {
		rounds = 6
	}
	path := filepath.Join(t.TempDir(), "strata.db")
	acknowledged := map[int64]bool{}
	for round := range rounds {
		cmd := child(t, "acknowledge", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		most := 300
		if round%6 == 5 {
			most = 3000 // far enough for checkpoints to be under way
		}
		for n := rand.IntN(most); n > 0 && lines.Scan(); n-- {
			note(t, acknowledged, lines.Text())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it printed before it died counts
			note(t, acknowledged, lines.Text())
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("round %d: the child ended by itself: %v", round, err)
		}
		checkAcknowledged(t, path, acknowledged, round%2 == 0)
	}
	t.Logf("%d positions acknowledged in %d rounds", len(acknowledged), rounds)
}

func note(t *testing.T, acknowledged map[int64]bool, line string) {
	t.Helper()
	p, err := strconv.ParseInt(line, 10, 64)
	if err != nil || acknowledged[p] {
		t.Fatalf("line %q: %v, or acknowledged twice", line, err)
	}
	acknowledged[p] = true
}

// checkAcknowledged opens what the killed process left; to read, it must be found without a write.
func checkAcknowledged(t *testing.T, path string, acknowledged map[int64]bool, readOnly bool) {
	t.Helper()
	if _, err := os.Stat(path); err != nil && len(acknowledged) == 0 {
		return // killed before it created the file
	}
	s, err := OpenScratch(context.Background(), Options{Path: path, ServerName: "a.example", ReadOnly: readOnly})
	if readOnly && errors.Is(err, ErrForeignFile) && len(acknowledged) == 0 {
		return // killed before it created the tables
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, last := readAll(t, s)
	for p := range acknowledged {
		if all[strconv.FormatInt(p, 10)] != p {
			t.Errorf("position %d was acknowledged and is missing", p)
		}
	}
	if len(all) != int(last) {
		t.Errorf("%d rows, last position %d: a gap or a burnt position", len(all), last)
	}
}

// childHold opens the store, says so, and holds it until its standard input ends.
func childHold(path string) error {
	s, err := OpenScratch(context.Background(), Options{Path: path, ServerName: "a.example"})
	if err != nil {
		return err
	}
	fmt.Println("open")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return s.Close()
}

// Another process's store is in use until that process ends, however it ends.
func TestLockOfProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	cmd := child(t, "hold", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	for _, readOnly := range []bool{false, true} {
		_, err := OpenScratch(context.Background(), Options{Path: path, ServerName: "a.example", ReadOnly: readOnly})
		if !errors.Is(err, ErrInUse) {
			t.Errorf("while the child lives (to read: %t): %v, want ErrInUse", readOnly, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as asked
	newStore(t, Options{Path: path})
}

// childRead reads a store that it may not write to, and finds out that it may not.
func childRead(path string) error {
	if _, err := Open(context.Background(), Options{Path: path, ServerName: "a.example"}); !errors.Is(err, ErrReadOnly) {
		return fmt.Errorf("open to write: %w, want ErrReadOnly", err)
	}
	s, err := OpenScratch(context.Background(), Options{Path: path, ReadOnly: true})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.View(context.Background(), func(tx *Tx) error {
		v, found, err := tx.Get("a")
		if err == nil && (v != 1 || !found) {
			return fmt.Errorf("a = %d, %t; want 1, true", v, found)
		}
		return err
	})
}

// childLimit fills the file up to the process's limit of file size, then has the limit lifted.
func childLimit(path string) error {
	signal.Ignore(syscall.SIGXFSZ) // writes beyond the limit then fail with EFBIG
	s, err := OpenScratch(context.Background(), Options{Path: path, ServerName: "a.example"})
	if err != nil {
		return err
	}
	defer s.Close()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: before.Max}); err != nil {
		return err
	}
	kept, failed := fill(s, 64)
	if failed[0] == nil || !errors.Is(failed[0], ErrIO) {
		return fmt.Errorf("error at the limit: %w, want ErrIO", failed[0])
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	return checkFilled(s, kept)
}

// fill writes rows of 8 KiB from several callers until each has met an error. It returns what was acknowledged and the errors.
func fill(s *Store, each int) (kept map[string]int64, failed []error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	kept = map[string]int64{}
	padding := make([]byte, 8192)
	for caller := range 4 {
		wg.Go(func() {
			for n := range each {
				key := fmt.Sprintf("%d/%d", caller, n)
				var p Position
				err := s.Update(context.Background(), func(tx *Tx) (err error) {
					p, err = tx.NextPosition()
					return errors.Join(err, tx.PutPadded(key, int64(p), padding))
				})
				mu.Lock()
				if err != nil {
					failed = append(failed, err)
					mu.Unlock()
					return
				}
				kept[key] = int64(p)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return kept, append(failed, nil)
}

// checkFilled compares the store with what was acknowledged, and writes to it again.
func checkFilled(s *Store, kept map[string]int64) error {
	var all map[string]int64
	var last Position
	err := s.View(context.Background(), func(tx *Tx) (err error) {
		last = tx.LastPosition()
		all, err = tx.All()
		return err
	})
	if err != nil {
		return err
	}
	if len(all) != len(kept) || int(last) != len(kept) {
		return fmt.Errorf("%d rows and last position %d, %d were acknowledged", len(all), last, len(kept))
	}
	for key, want := range kept {
		if all[key] != want {
			return fmt.Errorf("%s = %d, want %d", key, all[key], want)
		}
	}
	return s.Update(context.Background(), func(tx *Tx) error {
		p, err := tx.NextPosition()
		if err == nil && p != last+1 {
			return fmt.Errorf("position %d after %d", p, last)
		}
		return errors.Join(err, tx.PutPadded("again", 1, make([]byte, 1<<20)))
	})
}

func TestFileSizeLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	if err := child(t, "limit", path).Run(); err != nil {
		t.Fatal(err)
	}
	all, _ := readAll(t, newStore(t, Options{Path: path}))
	if all["again"] != 1 {
		t.Error("what was written after the limit was lifted is missing")
	}
}
