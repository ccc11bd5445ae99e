// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

const (
	shownTransactions = 12 // rows of the table
	shownFaults       = 20
)

// Result is what a demo proved. Its JSON is the one line that --json prints.
type Result struct {
	OK          bool   `json:"ok"` // everything is proven
	Servers     int    `json:"servers"`
	RoomVersion string `json:"room_version"`
	Sent        int    `json:"sent"`     // events acknowledged to their senders
	Expected    int    `json:"expected"` // Sent × Servers: deliveries that must be found
	Delivered   int    `json:"delivered"`
	Lost        int    `json:"lost"`       // Expected − Delivered
	Duplicated  int    `json:"duplicated"` // events that a server got at two positions
	// Redelivered is how many deliveries came again at their old position after the crash, as a subscription may.
	Redelivered  int      `json:"redelivered"`
	StateEntries int      `json:"state_entries"` // of the room, on every server alike
	Transactions int      `json:"transactions"`
	Attempts     int      `json:"attempts"` // to deliver them
	Restarts     int      `json:"restarts"`
	ElapsedMS    int64    `json:"elapsed_ms"`
	Faults       []string `json:"faults"`        // what is missing
	Dir          string   `json:"dir,omitempty"` // where the servers' data is, when it was kept

	list  []Transaction
	names map[ident.ServerName]string
}

// fault notes what is missing.
func (r *Result) fault(faults ...string) {
	r.Faults = append(r.Faults, faults...)
	r.OK = len(r.Faults) == 0
}

// Write writes the result for people: the notable transactions, then what is proven, or what is missing.
func (r Result) Write(w io.Writer) error {
	if err := r.writeTransactions(w); err != nil {
		return err
	}
	verdict := "PROVEN"
	if !r.OK {
		verdict = "NOT PROVEN"
	}
	_, err := fmt.Fprintf(w, "%s sent × %d servers = %d deliveries due: %d made, %d lost, %d delivered twice\n",
		plural(r.Sent, "event"), r.Servers, r.Expected, r.Delivered, r.Lost, r.Duplicated)
	if r.Redelivered > 0 && err == nil {
		_, err = fmt.Fprintf(w, "%s came again after the crash, at its old position: by that a program knows what it has had\n",
			plural(r.Redelivered, "delivery"))
	}
	if r.OK && err == nil {
		_, err = fmt.Fprintf(w, "room state: the same %d entries on all servers\n", r.StateEntries)
	}
	for i, fault := range r.Faults {
		if i == shownFaults {
			_, err = fmt.Fprintf(w, "… and %d more\n", len(r.Faults)-i)
			break
		}
		if err == nil {
			_, err = fmt.Fprintf(w, "missing: %s\n", fault)
		}
	}
	if r.Dir != "" && err == nil {
		_, err = fmt.Fprintf(w, "the servers' databases, deliveries and logs are in %s\n", r.Dir)
	}
	if err == nil {
		elapsed := time.Duration(r.ElapsedMS) * time.Millisecond
		_, err = fmt.Fprintf(w, "%s in %.1f s (room version %s, %s)\n", verdict, elapsed.Seconds(), r.RoomVersion, plural(r.Restarts, "restart"))
	}
	return err
}

// writeTransactions shows the transactions with most attempts and most events, in the order of time, and counts the others.
func (r Result) writeTransactions(w io.Writer) error {
	if len(r.list) == 0 {
		return nil
	}
	list := slices.Clone(r.list)
	slices.SortStableFunc(list, func(a, b Transaction) int {
		return cmp.Or(cmp.Compare(b.Attempts, a.Attempts), cmp.Compare(b.PDUs, a.PDUs), cmp.Compare(a.FrozenAt, b.FrozenAt))
	})
	shown, others := list[:min(len(list), shownTransactions)], list[min(len(list), shownTransactions):]
	slices.SortStableFunc(shown, func(a, b Transaction) int { return cmp.Compare(a.FrozenAt, b.FrozenAt) })
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintln(table, "FROM\tTO\tTRANSACTION\tEVENTS\tTRIES\tOUTCOME\tTOOK")
	for _, t := range shown {
		if err == nil {
			_, err = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n",
				r.names[t.From], r.names[t.To], short(t.ID), t.PDUs, t.Attempts, t.outcome(), t.took())
		}
	}
	if err == nil {
		err = table.Flush()
	}
	if err != nil {
		return err
	}
	if len(others) > 0 {
		_, err = fmt.Fprintf(w, "… and %d more with %d events, %d tries\n", len(others),
			sum(others, func(t Transaction) int { return t.PDUs }), sum(others, func(t Transaction) int { return t.Attempts }))
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

// outcome is what became of a transaction, in a few words.
func (t Transaction) outcome() string {
	switch {
	case t.EndedAt == 0:
		return "open: " + t.LastMessage
	case t.Attempts > 1:
		return "answered (1st try: " + t.FirstClass + ")"
	}
	return "answered"
}

// took is the time from when it was put together to its answer.
func (t Transaction) took() string {
	if t.EndedAt == 0 {
		return "-"
	}
	return fmt.Sprintf("%d ms", t.EndedAt-t.FrozenAt)
}

// short is an id cut to what tells it from others.
func short(id string) string {
	const length = 10
	if len(id) <= length {
		return id
	}
	return id[:length] + "…"
}

func sum(list []Transaction, of func(Transaction) int) (n int) {
	for _, t := range list {
		n += of(t)
	}
	return n
}
