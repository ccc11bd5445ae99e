// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// entry is one delivery as the callback recorded it.
type entry struct {
	Position persistence.Position `json:"position"`
	Event    ident.EventID        `json:"event"`
}

// line is what a journal consists of: the beginning of a process, or a delivery.
type line struct {
	Begun int `json:"begun,omitempty"` // process id
	entry
}

// journal is a server's durable record of what its subscription delivered. It belongs to the callback.
type journal struct{ file *os.File }

// openJournal opens or creates a journal and notes that a process begins. A line that a crash cut off is dropped: its callback
// never returned, so the event comes again.
func openJournal(path string) (*journal, error) {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file}
	if err := file.Truncate(int64(bytes.LastIndexByte(content, '\n') + 1)); err != nil {
		return nil, errors.Join(err, j.close())
	}
	if err := j.write(line{Begun: os.Getpid()}); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

// record returns when the delivery is on disk.
func (j *journal) record(e entry) error { return j.write(line{entry: e}) }

func (j *journal) write(l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(text, '\n')); err != nil {
		return err
	}
	return j.file.Sync()
}

func (j *journal) close() error { return j.file.Close() }

// readJournal gives the deliveries of each process that wrote to the journal, in order. A cut-off last line does not count.
func readJournal(path string) (runs [][]entry, err error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it never got so far
	}
	if err != nil {
		return nil, err
	}
	number := 0
	for text := range bytes.Lines(content) {
		number++
		if !bytes.HasSuffix(text, []byte("\n")) {
			break
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, number, err)
		}
		switch {
		case l.Begun != 0:
			runs = append(runs, nil)
		case len(runs) == 0 || l.Event == "":
			return nil, fmt.Errorf("%s: line %d is neither the beginning of a process nor a delivery in one", path, number)
		default:
			runs[len(runs)-1] = append(runs[len(runs)-1], l.entry)
		}
	}
	return runs, nil
}
