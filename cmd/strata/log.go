// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log"
	"log/slog"
	"strings"

	"github.com/lmittmann/tint"

	"github.com/strata-matrix/strata/trace"
)

// newLogger writes to stderr: coloured for people, logfmt for machines, JSON lines with --json.
func newLogger(o *output, env map[string]string, threshold slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: threshold}
	switch {
	case o.json:
		return slog.New(slog.NewJSONHandler(o.stderr, options))
	case isTerminal(o.stderr):
		plain := env["NO_COLOR"] != "" || !o.colour
		return slog.New(tint.NewTextHandler(o.stderr, &tint.Options{Level: threshold, TimeFormat: "15:04:05.000", NoColor: plain}))
	}
	return slog.New(slog.NewTextHandler(o.stderr, options))
}

// logSink writes trace events to a log, each at the level of what it means for the operator.
func logSink(logger *slog.Logger) trace.Sink {
	return trace.SinkFunc(func(e trace.Event) {
		level := levelOf(e)
		if logger.Enabled(context.Background(), level) {
			logger.LogAttrs(context.Background(), level, e.Kind(), slog.Any("event", e))
		}
	})
}

// strayLog is what the standard logger is given: the packages that we use write to it what peers say to them, such as net/http an answer
// to nothing. It becomes an event like any other, which is not shown unless it is asked for.
type strayLog struct{ sink trace.Sink }

// Write implements io.Writer.
func (s strayLog) Write(line []byte) (int, error) {
	s.sink.Emit(trace.TransportConnection{Message: strings.TrimSpace(string(line))})
	return len(line), nil
}

// routeStrayLog is for the whole process, of which the standard logger is.
func routeStrayLog(sink trace.Sink) {
	log.SetFlags(0)
	log.SetOutput(strayLog{sink})
}

func levelOf(e trace.Event) slog.Level {
	switch e := e.(type) {
	case trace.MessagingStopped, trace.StorePanic, trace.TransportPanic, trace.StoreCommitFailed, trace.PDURoomFailed, trace.KeysStoreFailed,
		trace.ClientFailed:
		return slog.LevelError
	case trace.MessagingHandshakeFailed, trace.MessagingCallbackFailed, trace.TransactionParked:
		return slog.LevelWarn
	case trace.MessagingJoined, trace.KeysRotated:
		return slog.LevelInfo
	case trace.PDUJudged:
		if e.Outcome == "rejected" || e.Outcome == "soft-failed" {
			return slog.LevelInfo
		}
	case trace.TransactionAttempted:
		if e.Class != "ok" && e.Attempt == 1 {
			return slog.LevelInfo
		}
	case trace.TransactionCompacted:
		if e.DroppedEDUs > 0 { // messages to devices that somebody waits for
			return slog.LevelWarn
		}
	case trace.TransactionPulled:
		if e.Transactions > 0 {
			return slog.LevelInfo
		}
	case trace.TransportServed:
		if e.Status >= 500 {
			return slog.LevelWarn
		}
		if e.Status >= 400 && strings.HasPrefix(e.Route, "/_matrix/federation/") {
			return slog.LevelInfo
		}
	}
	return slog.LevelDebug
}
