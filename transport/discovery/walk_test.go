// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
)

// lower priorities first; a weight of 0 is drawn only when the random number is 0; "." and port 0 are no targets.
func TestOrder(t *testing.T) {
	records := []dns.Service{
		{Target: "backup.", Port: 1, Priority: 20, Weight: 100},
		{Target: "heavy.", Port: 1, Priority: 10, Weight: 60},
		{Target: "light.", Port: 1, Priority: 10, Weight: 40},
		{Target: "zero.", Port: 1, Priority: 10, Weight: 0},
	}
	for _, tt := range []struct {
		name string
		draw []int // what intn gives, in turn
		want []int
	}{
		// RFC 2782: running sums with zero first are 0, 60, 100; the first that is at least the number is taken.
		{"lowest number", []int{0, 0, 0, 0}, []int{3, 1, 2, 0}},
		{"within heavy", []int{60, 0, 0, 0}, []int{1, 3, 2, 0}},
		{"beyond heavy", []int{61, 60, 0, 0}, []int{2, 1, 3, 0}},
	} {
		draws := tt.draw
		got := order(records, func(n int) int {
			d := draws[0]
			draws = draws[1:]
			if d >= n {
				t.Fatalf("%s: drew %d of %d", tt.name, d, n)
			}
			return d
		})
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, diff)
		}
	}
}

// Over many draws, the share of first places follows the weights: 3 to 1, within five standard deviations.
func TestOrderFollowsWeights(t *testing.T) {
	records := []dns.Service{{Priority: 1, Weight: 1000}, {Priority: 1, Weight: 3000}}
	random := rand.New(rand.NewPCG(1, 2))
	const draws = 10_000
	second := 0
	for range draws {
		if order(records, random.IntN)[0] == 1 {
			second++
		}
	}
	if deviation := math.Sqrt(draws * 0.75 * 0.25); math.Abs(float64(second)-0.75*draws) > 5*deviation {
		t.Errorf("%d of %d, want about 7500", second, draws)
	}
}

func TestSRVTargetsAreFilteredAndBounded(t *testing.T) {
	records := []dns.Service{{Target: "", Port: 5}, {Target: "a", Port: 0}}
	for range 3 * maxTargets {
		records = append(records, dns.Service{Target: "b.example", Port: 5})
	}
	got, err := begin("s.example").answerWellKnown(Document{}).answerSRV(records, nil).result(rand.IntN)
	if err != nil || len(got) != maxTargets {
		t.Fatalf("%d targets, %v, want %d", len(got), err, maxTargets)
	}
	for _, target := range got {
		if target.Address != "b.example:5" || target.Host != "s.example" {
			t.Errorf("got %+v", target)
		}
	}
}

// Every walk ends after at most three answers, with targets or an error, and its targets share Host and certificate name.
func FuzzWalk(f *testing.F) {
	for _, name := range []string{"a.example", "a.example:1", "1.2.3.4", "[::1]:5", "", ":", "a:0", "a:65536", "[::"} {
		f.Add(name, "b.example", "srv.example", uint16(8448))
		f.Add(name, "b.example:80", "", uint16(0))
		f.Add("c.example", name, "", uint16(7))
	}
	f.Fuzz(func(t *testing.T, name, delegated, target string, port uint16) {
		server, err := ident.ParseServerName(delegated)
		if err != nil {
			server = ""
		}
		w := begin(ident.ServerName(name))
		answers := 0
		for ; w.ask != askNothing; answers++ {
			switch {
			case w.ask == askWellKnown:
				w = w.answerWellKnown(Document{Server: server})
			case port == 7:
				w = w.answerSRV(nil, nil)
			default:
				w = w.answerSRV([]dns.Service{{Target: target, Port: port}, {Target: "x", Port: port, Weight: 9}}, nil)
			}
		}
		targets, err := w.result(rand.IntN)
		if answers > 3 || (err == nil) != (len(targets) > 0) {
			t.Fatalf("%d answers, targets %v, error %v", answers, targets, err)
		}
		for _, got := range targets {
			if got.Host != targets[0].Host || got.TLSName != targets[0].TLSName || got.TLSName == "" {
				t.Errorf("got %+v", targets)
			}
			if _, _, err := net.SplitHostPort(got.Address); err != nil {
				t.Errorf("address: %v", err)
			}
		}
	})
}

// What the parser accepts is a server name, taken from a member of exactly this name.
func FuzzParseWellKnown(f *testing.F) {
	f.Add([]byte(`{"m.server":"a.example:443"}`))
	f.Add([]byte(`{"m.server":"[::1]"}`))
	f.Add([]byte(`{"M.server":"a.example"}`))
	f.Add([]byte(`{"m.server":"a.example:0"}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		server, err := parseWellKnown(body)
		if err != nil {
			return
		}
		if _, err := ident.ParseServerName(string(server)); err != nil {
			t.Errorf("accepted %q: %v", server, err)
		}
		if !strings.Contains(string(body), "m.server") && !strings.Contains(string(body), `\`) {
			t.Errorf("accepted %q without m.server", body)
		}
		if w := begin(server); w.err != nil {
			t.Errorf("accepted %q: %v", server, w.err)
		}
	})
}
