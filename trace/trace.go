// SPDX-License-Identifier: Apache-2.0

package trace

// Event is one thing that happened in a layer. Each layer declares its own concrete types in a file of this package named
// after it; consumers switch on the type, or use Kind for a stable name.
type Event interface {
	// Kind is a stable dotted name, layer first: "transaction.sent".
	Kind() string
}

// Sink consumes events. Emit is called on the goroutine to which the event happened: it must return quickly, must be safe for
// concurrent use and must not call back into the emitting layer.
type Sink interface {
	Emit(Event)
}

// SinkFunc lets a function be a Sink.
type SinkFunc func(Event)

// Emit calls f.
func (f SinkFunc) Emit(e Event) { f(e) }

// Discard drops every event.
var Discard Sink = SinkFunc(func(Event) {})

// OrDiscard returns s, or Discard when s is nil, so that a configuration may leave its sink out.
func OrDiscard(s Sink) Sink {
	if s == nil {
		return Discard
	}
	return s
}

// Tee hands every event to each sink in turn.
func Tee(sinks ...Sink) Sink {
	return SinkFunc(func(e Event) {
		for _, s := range sinks {
			s.Emit(e)
		}
	})
}
