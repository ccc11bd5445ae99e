// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// duration is a time span as Synapse's configuration writes it: a number with one of the units ms, s, m, h, d, w, y, or without
// a unit for milliseconds.
type duration time.Duration

// units from the longest to the shortest name, so that "ms" is not taken for "s".
var units = []struct {
	name string
	span time.Duration
}{
	{"ms", time.Millisecond},
	{"s", time.Second},
	{"m", time.Minute},
	{"h", time.Hour},
	{"d", 24 * time.Hour},
	{"w", 7 * 24 * time.Hour},
	{"y", 365 * 24 * time.Hour},
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	*d = duration(parsed)
	return nil
}

// MarshalText implements encoding.TextMarshaler, with the largest unit that leaves nothing over.
func (d duration) MarshalText() ([]byte, error) {
	best := units[0]
	for _, unit := range units {
		if time.Duration(d)%unit.span == 0 && unit.span >= best.span && unit.name != "y" {
			best = unit
		}
	}
	return []byte(strconv.FormatInt(int64(time.Duration(d)/best.span), 10) + best.name), nil
}

// seconds is the figure of a flag that may be left out.
func (d *duration) seconds() *float64 {
	if d == nil {
		return nil
	}
	s := time.Duration(*d).Seconds()
	return &s
}

func parseDuration(s string) (time.Duration, error) {
	number, span := s, time.Millisecond
	for _, unit := range units {
		if rest, ok := strings.CutSuffix(s, unit.name); ok {
			number, span = rest, unit.span
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a duration", shortened(s, 40))
	}
	if n > math.MaxInt64/int64(span) {
		return 0, fmt.Errorf("%q is too long", shortened(s, 40))
	}
	return time.Duration(n) * span, nil
}

// seconds is a duration in whose place a mere number means seconds, as in the settings that come from tuwunel.
type seconds duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *seconds) UnmarshalText(text []byte) error {
	unit := ""
	if n := len(text); n > 0 && '0' <= text[n-1] && text[n-1] <= '9' {
		unit = "s"
	}
	return (*duration)(s).UnmarshalText([]byte(string(text) + unit))
}

// MarshalText implements encoding.TextMarshaler.
func (s seconds) MarshalText() ([]byte, error) { return duration(s).MarshalText() }

// parseMoment reads a time as a span before now, or as written in RFC 3339. The result is in ms, 0 for an empty text.
func parseMoment(s string, now time.Time) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at.UnixMilli(), nil
	}
	ago, err := parseDuration(s)
	if err != nil || s[len(s)-1] >= '0' && s[len(s)-1] <= '9' {
		return 0, usage("%q is neither a span such as 10m, 2h or 3d nor a time such as 2026-01-31T12:00:00Z", shortened(s, 40))
	}
	return max(now.Add(-ago).UnixMilli(), 1), nil
}
