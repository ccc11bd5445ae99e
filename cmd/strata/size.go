// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a number of bytes as Synapse's configuration writes it: a number with one of the units K, M, G, T, each 1024 times the one
// before, or without a unit.
type size int64

var sizeUnits = []string{"", "K", "M", "G", "T"}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *size) UnmarshalText(text []byte) error {
	number, factor := string(text), int64(1)
	for i, unit := range sizeUnits[1:] {
		if rest, ok := strings.CutSuffix(string(text), unit); ok {
			number, factor = rest, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a size such as 50M", shortened(string(text), 40))
	}
	if n > math.MaxInt64/factor {
		return fmt.Errorf("%q is too large", shortened(string(text), 40))
	}
	*s = size(n * factor)
	return nil
}

// MarshalText implements encoding.TextMarshaler, with the largest unit that leaves nothing over.
func (s size) MarshalText() ([]byte, error) {
	n, unit := int64(s), 0
	for n != 0 && n%1024 == 0 && unit < len(sizeUnits)-1 {
		n, unit = n/1024, unit+1
	}
	return []byte(strconv.FormatInt(n, 10) + sizeUnits[unit]), nil
}
