// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Error is an error reply (Client-Server API, "Standard error response").
type Error struct {
	Status  int
	Code    string // "" leaves errcode out, as user-interactive authentication does
	Message string
	// RetryAfter, when positive, is sent as Retry-After and retry_after_ms.
	RetryAfter time.Duration
	// Extra are further members.
	Extra map[string]any
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message) }

// BadJSON is a body that is JSON, but not of the form that is asked for.
func BadJSON(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "M_BAD_JSON", Message: fmt.Sprintf(format, args...)}
}

// InvalidParam is a value that is not of the form that is asked for.
func InvalidParam(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "M_INVALID_PARAM", Message: fmt.Sprintf(format, args...)}
}

// MissingParam is a value that has to be given.
func MissingParam(name string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "M_MISSING_PARAM", Message: name + " is missing"}
}

// Forbidden is what the caller may not do.
func Forbidden(format string, args ...any) *Error {
	return &Error{Status: http.StatusForbidden, Code: "M_FORBIDDEN", Message: fmt.Sprintf(format, args...)}
}

// NotFound is what is not there.
func NotFound(format string, args ...any) *Error {
	return &Error{Status: http.StatusNotFound, Code: "M_NOT_FOUND", Message: fmt.Sprintf(format, args...)}
}

// Unrecognized is an endpoint, or a method of one, that there is not.
func Unrecognized(status int, message string) *Error {
	return &Error{Status: status, Code: "M_UNRECOGNIZED", Message: message}
}

// write sends the error.
func (e *Error) write(w http.ResponseWriter) {
	members := make(map[string]any, len(e.Extra)+3)
	for name, value := range e.Extra {
		members[name] = value
	}
	if e.RetryAfter > 0 {
		members["retry_after_ms"] = e.RetryAfter.Milliseconds()
		w.Header().Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if e.Code != "" {
		members["errcode"], members["error"] = e.Code, e.Message
	}
	body, err := json.Marshal(members)
	if err != nil {
		body, _ = json.Marshal(map[string]string{"errcode": e.Code, "error": e.Message}) // two strings always encode
	}
	w.Header().Set("Content-Type", "application/json")
	giveTime(w, answerTime)
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}
