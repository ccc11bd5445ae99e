// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"database/sql/driver"
	"fmt"
	"reflect"

	"github.com/strata-matrix/strata/transport/ident"
)

// rowScanner is the current row of a query: Scan copies its columns into dest.
type rowScanner interface {
	Scan(dest ...any) error
}

// row is the columns of the current row, each nil, an int64, a float64, a string or a []byte that nobody else has.
type row []driver.Value

// Scan copies the columns into dest: pointers to integers, strings, bytes and booleans, of any name, or to any. What is null can
// be scanned into bytes and any only.
func (r row) Scan(dest ...any) error {
	if len(dest) != len(r) {
		return fmt.Errorf("scan: %d columns into %d places", len(r), len(dest))
	}
	for i, value := range r {
		if !scanUsual(value, dest[i]) {
			if err := scanOther(value, dest[i]); err != nil {
				return fmt.Errorf("scan column %d: %w", i+1, err)
			}
		}
	}
	return nil
}

// scanUsual copies a value into a place of the types that most columns have; ok is false for any other pair.
func scanUsual(value driver.Value, dest any) (ok bool) {
	switch to := dest.(type) {
	case *int64:
		*to, ok = value.(int64)
	case *int:
		var n int64
		n, ok = value.(int64)
		*to = int(n)
	case *bool:
		var n int64
		n, ok = value.(int64)
		*to, ok = n == 1, ok && (n == 0 || n == 1)
	case *string:
		*to, ok = value.(string)
	case *ident.RoomID:
		var text string
		text, ok = value.(string)
		*to = ident.RoomID(text)
	case *Position:
		var n int64
		n, ok = value.(int64)
		*to = Position(n)
	case *[]byte:
		*to, ok = value.([]byte)
		ok = ok || value == nil
	case *any:
		*to, ok = value, true
	}
	return ok
}

// scanOther copies a value into a place of another type of the same kind. Text goes into bytes too.
func scanOther(value driver.Value, dest any) error {
	to := reflect.ValueOf(dest).Elem()
	switch v := value.(type) {
	case int64:
		switch {
		case to.CanInt() && !to.OverflowInt(v):
			to.SetInt(v)
			return nil
		case to.CanUint() && v >= 0 && !to.OverflowUint(uint64(v)):
			to.SetUint(uint64(v))
			return nil
		}
	case string:
		switch {
		case to.Kind() == reflect.String:
			to.SetString(v)
			return nil
		case to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Uint8:
			to.SetBytes([]byte(v))
			return nil
		}
	case []byte:
		if to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Uint8 {
			to.SetBytes(v)
			return nil
		}
	}
	return fmt.Errorf("%T into %s", value, to.Type())
}

// valueOf is an argument as the driver takes it.
func valueOf(arg any) (driver.Value, error) {
	switch arg := arg.(type) {
	case nil, int64, string, []byte, bool:
		return arg, nil
	case int:
		return int64(arg), nil
	case Position:
		return int64(arg), nil
	}
	return driver.DefaultParameterConverter.ConvertValue(arg)
}
