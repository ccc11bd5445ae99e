// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/trace"
)

// grammar is everything that can be said to strata.
type grammar struct {
	outputFlags `group:"Output"`

	Serve     serveCmd     `cmd:"" help:"Run a server (rw)."`
	Init      initCmd      `cmd:"" help:"Write a configuration and a signing key, and tell what else a server needs (rw)."`
	Config    configCmd    `cmd:"" help:"Look into a configuration."`
	Room      roomCmd      `cmd:"" help:"Create, join, leave and look into rooms."`
	Send      sendCmd      `cmd:"" help:"Send a message, or any other event, to a room (rw)."`
	Redact    redactCmd    `cmd:"" help:"Have an event stripped of its content (rw)."`
	Txn       txnCmd       `cmd:"" help:"Look into transactions: what went to other servers, and what came from them."`
	Queue     queueCmd     `cmd:"" help:"Look into what waits for other servers, hold it, try it again, drop it."`
	Peer      peerCmd      `cmd:"" help:"Look into other servers: who reaches whom, what fails; reset them, let them in, keep them out."`
	Event     eventCmd     `cmd:"" help:"Look into events, and why one was refused."`
	State     stateCmd     `cmd:"" help:"Look into room state, and how it is resolved."`
	Resolve   resolveCmd   `cmd:"" help:"Show where requests to another server go, and what is wrong on the way (ro)."`
	WellKnown wellKnownCmd `cmd:"" help:"Look into the well-known documents that the server remembers."`
	DNS       dnsCmd       `cmd:"" name:"dns" help:"Look into the answers of the DNS that the server remembers."`
	Doctor    doctorCmd    `cmd:"" help:"Find out why our server, or another one, cannot be reached (ro)."`
	Check     checkCmd     `cmd:"" help:"Answer a monitoring system: is this server as it should be?"`
	Ping      pingCmd      `cmd:"" help:"Ask other servers for their version (ro)."`
	Raw       rawCmd       `cmd:"" help:"Send a signed request to another server and show what comes (rw)."`
	Keys      keysCmd      `cmd:"" help:"Look into signing keys, our own and others', and rotate our own."`
	Demo      demoCmd      `cmd:"" help:"Show and prove on this machine what Strata promises, with servers of its own (ro)."`
	Bench     benchCmd     `cmd:"" help:"Measure servers of its own on this machine, each figure beside its floor."`
	Load      loadCmd      `cmd:"" help:"Put a homeserver, whichever it is, under the load of others (rw: in rooms of it)."`
	Version   versionCmd   `cmd:"" help:"Print the version (ro)."`
}

const description = `Strata federates Matrix rooms with other servers.

Try it: "strata serve --dev" starts a server on this machine; then, in another terminal of the same directory,
"strata room create --public --as alice" and "strata send ROOM hello --as alice".

Commands that ask a server find it by its data directory. With --json every command prints one JSON value, and errors as
JSON on stderr; --jq makes of it what a script needs. Commands marked (ro) change nothing, those marked (rw) do. Exit codes: 0 done, 1 failed or refused, 2 faulty arguments or configuration, 3 not found, 4 a server cannot
be reached, 5 no permission.`

// world is what a command finds around it.
type world struct {
	env   map[string]string
	out   *output
	yes   bool      // --yes
	stdin io.Reader // of the terminal, nil when nobody sits there
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	routeStrayLog(trace.OrDiscard(nil)) // until there is a log
	context.AfterFunc(ctx, stop)        // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is the command; the result is its exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	w := &world{env: parseEnviron(environ), out: newOutput(stdout, stderr, isForProgram(args))}
	helped := false
	parser, err := newParser(new(grammar), stdout, stderr, func(int) { helped = true })
	if err != nil {
		return w.out.fail(err)
	}
	if len(args) == 0 {
		parser.Stdout = stderr
		_, _ = parser.Parse([]string{"--help"}) // prints the help
		return exitCodes[control.Usage]
	}
	if i := slices.IndexFunc(args, func(arg string) bool { return !utf8.ValidString(arg) }); i >= 0 {
		return w.out.fail(usage("argument %d is not UTF-8", i+1)) // the parser would change it
	}
	parsed, err := parser.Parse(args)
	if helped {
		return 0
	}
	if err != nil {
		return w.out.fail(usageError(err))
	}
	g := parsed.Model.Target.Addr().Interface().(*grammar)
	if err := w.out.configure(g.outputFlags, w.env); err != nil {
		return w.out.fail(err)
	}
	if effectOf(parsed.Selected()) == readWrite && (g.ReadOnly || w.env["STRATA_READONLY"] != "") {
		return w.out.fail(usage("%s changes something, and was told not to (--readonly, STRATA_READONLY)", parsed.Selected().FullPath()))
	}
	if w.yes = g.Yes; isTerminal(os.Stdin) && w.out.terminal {
		w.stdin = os.Stdin
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(w)
	if end, isCheck := errors.AsType[checkEnd](err); isCheck {
		return int(end)
	}
	if err != nil {
		return w.out.fail(err)
	}
	return 0
}

func newParser(g *grammar, stdout, stderr io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(g, kong.Name("strata"), kong.Description(description), kong.Writers(stdout, stderr), kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}))
}

// usageError adds where to read on.
func usageError(err error) error {
	command := "strata"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		command = strings.TrimSpace("strata " + parse.Context.Command())
		command, _, _ = strings.Cut(command, " <")
	}
	return usage("%v; see %s --help", err, command)
}

// isForProgram tells whether errors are to be JSON when the arguments cannot be parsed.
func isForProgram(args []string) bool {
	for i, arg := range args {
		name, value, given := strings.Cut(arg, "=")
		if !given && i+1 < len(args) {
			value = args[i+1]
		}
		switch {
		case arg == "--":
			return false
		case name == "--json", name == "--jq":
			return true
		case name == "--output", arg == "-o":
			return value != formTable
		}
	}
	return false
}

func parseEnviron(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}
