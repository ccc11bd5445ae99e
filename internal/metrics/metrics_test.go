// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

func standing(context.Context) (Standing, error) {
	s := Standing{
		Pending:      persistence.Pending{PDUs: 7, EDUs: 2, Ready: 3, Quarantined: 4, OldestReady: time.Now().Add(-time.Minute).UnixMilli()},
		Destinations: transaction.Census{Idle: 10, Parked: 1, Ready: 2, Sending: 3, Waiting: 4, Held: 5},
		Documents:    1, Records: 2, Keys: 3, Database: 4096, WAL: 512, CertificateExpiry: time.Unix(2_000_000_000, 0),
	}
	s.Syncs.Waiting, s.Syncs.Told, s.Syncs.ForNothing = 12, 100, 1
	return s, nil
}

// gather gives all series, "name{label=value}" to value; a histogram counts as its number of observations.
func gather(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			labels := ""
			for _, l := range m.Label {
				labels += fmt.Sprintf("{%s=%s}", l.GetName(), l.GetValue())
			}
			series[f.GetName()+labels] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return series
}

// everything is one of each event, with words that peers choose.
func everything(word string, n int) []trace.Event {
	return []trace.Event{
		trace.TransactionAttempted{Destination: word, TxnID: word, Class: word, PDUs: n}, trace.TransactionAttempted{Class: "ok", Destination: word},
		trace.TransactionReceived{Origin: word, Status: n}, trace.TransactionCompacted{}, trace.TransactionEDUDropped{Type: word, Destination: word},
		trace.TransactionParked{Destination: word, Class: word}, trace.TransactionPulled{From: word, Error: word}, trace.TransactionSending{Destination: word},
		trace.TransactionStoreFailed{Destination: word}, trace.PDUReceived{Room: word, Origin: word, Arrival: word, Problem: word},
		trace.PDUJudged{Room: word, Outcome: word, Check: word}, trace.PDURedacted{Room: word}, trace.PDUSought{Room: word},
		trace.PDUStateAlarm{Room: word}, trace.PDUPolicyAsked{Room: word, Server: word}, trace.PDURoomFailed{Room: word},
		trace.MessagingJoined{Room: word, Via: word}, trace.MessagingHandshakeFailed{Membership: word}, trace.MessagingCallbackFailed{Subscription: word},
		trace.MessagingEDURefused{Origin: word, Type: word, Error: word}, trace.MessagingDevicesFetched{User: word, Error: word},
		trace.TransportSent{Destination: word, Path: word, Class: word, Step: word}, trace.TransportServed{Origin: word, Route: word, Status: n, Code: word},
		trace.TransportPanic{Route: word}, trace.TransportConnection{Message: word}, trace.TransportWellKnown{Host: word, Delegated: word},
		trace.StoreCommit{Jobs: 1}, trace.StoreCommitFailed{Jobs: 1}, trace.StorePanic{Value: word}, trace.KeysFetched{Server: word, Error: word},
	}
}

// Whatever peers send, there are the series that were there at the start: no name of a room, user or server becomes one.
func TestLabelSetsAreClosed(t *testing.T) {
	m := New(Config{ServerName: "one.example", Version: "1", Domains: []string{"two.example"}, Synapse: true})
	g := m.gatherer(standing)
	strata := regexp.MustCompile(`^(strata|synapse)_`)
	names := func() (list []string) {
		for name := range gather(t, g) {
			if strata.MatchString(name) { // those of the runtime are not ours
				list = append(list, name)
			}
		}
		slices.Sort(list)
		return list
	}
	before := names()
	for i, word := range []string{"!room:x.example", "x.example", "\xff", "", "ok", "other"} {
		for status := range 700 {
			for _, e := range everything(word, status*(i+1)) {
				m.Emit(e)
			}
		}
	}
	if diff := cmp.Diff(before, names()); diff != "" {
		t.Errorf("series appeared (-before +after):\n%s", diff)
	}
	allowed := regexp.MustCompile(`\{(\w+)=`)
	for _, name := range before {
		for _, label := range allowed.FindAllStringSubmatch(name, -1) {
			ours := []string{labelClass, labelState, labelDirection, labelServer, labelVersion}
			if strings.HasPrefix(name, "strata_") && !slices.Contains(ours, label[1]) {
				t.Errorf("%s has the label %s", name, label[1])
			}
		}
	}
	if len(before) > 600 {
		t.Errorf("%d series: more than a server's metrics need", len(before))
	}
}

// Names keep to the conventions, and each stands on the page for operators.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	families, err := New(Config{Synapse: true, Domains: []string{"a.example"}}).gatherer(standing).Gather()
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^strata_federation_[a-z_]+$`)
	for _, f := range families {
		name := f.GetName()
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if !strings.Contains(string(page), "`"+strings.TrimPrefix(strings.TrimPrefix(name, prefix), synapsePrefix)+"`") {
			t.Errorf("docs/metrics.md does not have %s", name)
		}
		if strings.HasPrefix(name, synapsePrefix) {
			continue
		}
		isCounter := f.GetType().String() == "COUNTER"
		if !form.MatchString(name) || isCounter != strings.HasSuffix(name, "_total") {
			t.Errorf("%s, a %s, is not named as it should be", name, f.GetType())
		}
	}
}

func TestCounting(t *testing.T) {
	m := New(Config{Domains: []string{"two.example"}})
	for _, e := range []trace.Event{
		trace.TransactionAttempted{Destination: "two.example", PDUs: 3, EDUs: 1, Class: "ok"},
		trace.TransactionAttempted{Destination: "three.example", PDUs: 50, Class: "tls"},
		trace.TransactionReceived{Origin: "two.example", PDUs: 4, EDUs: 2, Status: 200},
		trace.TransactionReceived{Origin: "two.example", PDUs: 4, EDUs: 2, Status: 200, Duplicate: true},
		trace.TransactionReceived{Origin: "two.example", PDUs: 4, Status: 429},
		trace.PDUJudged{Outcome: "soft-failed", Waited: time.Second},
		trace.TransportServed{Route: "/_matrix/federation/v1/send/:txnID", Status: 200},
		trace.TransportServed{Route: "", Status: 404},
		trace.TransportSent{Sent: 10, Received: 20},
		trace.StoreCommit{Jobs: 5, Failed: 1, Statements: 9},
	} {
		m.Emit(e)
	}
	got := gather(t, m.gatherer(standing))
	for name, want := range map[string]float64{
		"send_attempts_total{class=ok}": 1, "send_attempts_total{class=tls}": 1, "sent_pdus_total": 3, "sent_edus_total": 1,
		"received_transactions_total{state=new}": 1, "received_transactions_total{state=duplicate}": 1,
		"received_transactions_total{state=refused}": 1, "received_pdus_total": 4, "received_edus_total": 2,
		"judged_pdus_total{state=soft-failed}": 1, "judge_delay_seconds": 1,
		"requests_served_total{class=send}{state=2xx}": 1, "requests_served_total{class=other}{state=404}": 1,
		"requests_sent_total{class=ok}": 1, "request_bytes_total{direction=out}": 10, "request_bytes_total{direction=in}": 20,
		"store_jobs_total{state=done}": 5, "store_jobs_total{state=failed}": 1,
		"queue_items{class=pdu}": 7, "destinations{state=held}": 5, "staged_pdus{state=quarantined}": 4,
		"certificate_expiry_timestamp_seconds": 2_000_000_000,
		"client_syncs_waiting":                 12, "client_syncs_woken_total{state=told}": 100, "client_syncs_woken_total{state=nothing}": 1,
	} {
		if value, there := got[prefix+name]; !there || value != want {
			t.Errorf("%s is %v (there: %t), want %v", name, value, there, want)
		}
	}
	if at := got[prefix+"last_sent_timestamp_seconds{server=two.example}"]; time.Since(time.Unix(int64(at), 0)) > time.Minute {
		t.Errorf("last sent at %v", at)
	}
}

// The names are those that Synapse 1.163 registers, with the suffix that its Prometheus client gives to counters.
func TestSynapseNames(t *testing.T) {
	m := New(Config{ServerName: "one.example", Synapse: true, Domains: []string{"two.example"}})
	m.Emit(trace.TransactionAttempted{Class: "ok", PDUs: 3})
	m.Emit(trace.TransactionAttempted{Class: "dns", PDUs: 3})
	m.Emit(trace.TransportServed{Route: "/_matrix/federation/v1/query/profile", Status: 200})
	got := gather(t, m.gatherer(standing))
	for name, want := range map[string]float64{
		"transaction_queue_pending_pdus": 7, "transaction_queue_pending_edus": 2, "transaction_queue_pending_destinations": 14,
		"client_sent_transactions_total": 1, "client_sent_pdu_destinations_total": 3, "known_servers": 26,
		"server_number_inbound_pdu_in_staging": 3,
	} {
		if value := got[synapsePrefix+name+"{server_name=one.example}"]; value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	if got[synapsePrefix+"server_received_queries_total{server_name=one.example}{type=profile}"] != 1 {
		t.Error("no query counted")
	}
	if _, there := got[synapsePrefix+"last_sent_pdu_time{destination_server_name=two.example}{server_name=one.example}"]; !there {
		t.Error("no time for the domain")
	}
}

// A store that does not answer costs the gauges, not the counters; and is asked once in a while, however often we are.
func TestHandler(t *testing.T) {
	m, looks := New(Config{Version: "1"}), 0
	handler := m.Handler(func(context.Context) (Standing, error) {
		looks++
		return Standing{}, errors.New("the store is busy")
	})
	for range 3 {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		body := answer.Body.String()
		if answer.Code != http.StatusOK || !strings.Contains(body, prefix+`build_info{version="1"} 1`) || strings.Contains(body, prefix+"destinations{") {
			t.Fatalf("%d %s", answer.Code, body)
		}
	}
	if looks != 1 {
		t.Errorf("looked %d times", looks)
	}
}

// The figures of a real server.
func TestLookAt(t *testing.T) {
	synctest.Test(t, testLookAt)
}

func testLookAt(t *testing.T) {
	dir := t.TempDir()
	m := New(Config{})
	server, err := messaging.Open(t.Context(), messaging.Config{ServerName: "one.example", DataDir: dir, NoSync: true, Trace: m, RoundTripper: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	room, err := server.CreateRoom(t.Context(), messaging.CreateRoom{Creator: "@alice:one.example", Version: "11"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Send(t.Context(), room, "@alice:one.example", "m.room.message", json.RawMessage(`{"body":"x"}`)); err != nil {
		t.Fatal(err)
	}
	err = server.Store().Update(t.Context(), func(tx *persistence.Tx) error {
		return server.Outbox().EnqueueEDU(tx, []byte(`{"content":{},"edu_type":"m.direct_to_device"}`), []ident.ServerName{"two.example"})
	})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // the outbox knows of it
	got := gather(t, m.gatherer(LookAt(server, filepath.Join(dir, "strata.db"))))
	if got[prefix+"queue_items{class=edu}"] != 1 || got[prefix+"queue_items{class=pdu}"] != 0 {
		t.Errorf("the queue: %v EDUs, %v PDUs; want 1, 0", got[prefix+"queue_items{class=edu}"], got[prefix+"queue_items{class=pdu}"])
	}
	destinations := 0.0
	for _, state := range []string{"idle", "parked", "ready", "sending", "waiting", "held"} {
		destinations += got[prefix+"destinations{state="+state+"}"]
	}
	if destinations != 1 {
		t.Errorf("%v destinations, want two.example alone", destinations)
	}
	if got[prefix+"judged_pdus_total{state=accepted}"] < 5 || got[prefix+"store_bytes{class=database}"] == 0 || got[prefix+"store_commit_seconds"] == 0 {
		t.Errorf("%v", got)
	}
}

// nobody answers no request.
type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nobody there")
}
