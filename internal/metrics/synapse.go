// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// alias is a figure of ours under the name that Synapse has for it.
type alias struct {
	synapse  string
	ours     string   // without prefix
	label    string   // take only series of which this label
	values   []string // has one of these values; none for all
	rename   string   // a label of ours that stays, under this name; all others are summed over
	plus     float64
	constant *dto.LabelPair // that Synapse has and ours has in its value
}

// aliases are what the rows "Federation" of Synapse's Grafana dashboard are drawn from. Where ours means something a little else, the
// page of the metrics (docs/metrics.md) says so.
var aliases = []alias{
	{synapse: "transaction_queue_pending_pdus", ours: "queue_items", label: labelClass, values: []string{"pdu"}},
	{synapse: "transaction_queue_pending_edus", ours: "queue_items", label: labelClass, values: []string{"edu"}},
	{synapse: "transaction_queue_pending_destinations", ours: "destinations", label: labelState, values: []string{"ready", "sending", "waiting", "held"}},
	{synapse: "client_sent_transactions_total", ours: "send_attempts_total", label: labelClass, values: []string{"ok"}},
	{synapse: "client_sent_edus_total", ours: "sent_edus_total"},
	{synapse: "client_sent_pdu_destinations_total", ours: "sent_pdus_total"},
	{synapse: "server_received_pdus_total", ours: "received_pdus_total"},
	{synapse: "server_received_edus_total", ours: "received_edus_total"},
	{synapse: "server_received_queries_total", ours: "requests_served_total", label: labelClass, values: []string{"query_profile"}, constant: pair("type", "profile")},
	{synapse: "server_oldest_inbound_pdu_in_staging", ours: "staged_oldest_seconds"},
	{synapse: "server_number_inbound_pdu_in_staging", ours: "staged_pdus", label: labelState, values: []string{"ready"}},
	{synapse: "server_pdu_process_time", ours: "judge_delay_seconds"},
	{synapse: "soft_failed_events_total", ours: "judged_pdus_total", label: labelState, values: []string{"soft-failed"}},
	{synapse: "last_sent_pdu_time", ours: "last_sent_timestamp_seconds", rename: "destination_server_name"},
	{synapse: "last_received_pdu_time", ours: "last_received_timestamp_seconds", rename: "origin_server_name"},
	{synapse: "known_servers", ours: "destinations", plus: 1}, // and ourselves
}

const synapsePrefix = "synapse_federation_"

// translated is a registry whose figures are told under Synapse's names too.
type translated struct {
	of         prometheus.Gatherer
	serverName string
}

// Gather implements prometheus.Gatherer.
func (t translated) Gather() ([]*dto.MetricFamily, error) {
	families, err := t.of.Gather() // what could be had, with an error for the rest
	byName := map[string]*dto.MetricFamily{}
	for _, f := range families {
		byName[f.GetName()] = f
	}
	for _, a := range aliases {
		if f := byName[prefix+a.ours]; f != nil {
			families = append(families, a.of(f, t.serverName))
		}
	}
	return families, err
}

// of makes the alias's family of ours.
func (a alias) of(f *dto.MetricFamily, serverName string) *dto.MetricFamily {
	name, help := synapsePrefix+a.synapse, "Synapse's name for "+f.GetName()+"."
	made := &dto.MetricFamily{Name: &name, Help: &help, Type: f.Type}
	own := pair("server_name", serverName) // of the server that is measured, as all of Synapse's have
	if a.rename != "" {
		for _, m := range f.Metric {
			renamed := &dto.Metric{Label: []*dto.LabelPair{pair(a.rename, m.Label[0].GetValue()), own}, Gauge: m.Gauge}
			made.Metric = append(made.Metric, renamed)
		}
		return made
	}
	if f.GetType() == dto.MetricType_HISTOGRAM {
		made.Metric = []*dto.Metric{{Label: []*dto.LabelPair{own}, Histogram: f.Metric[0].Histogram}}
		return made
	}
	sum := a.plus
	for _, m := range f.Metric {
		if a.takes(m) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() // it has one of the two
		}
	}
	total := &dto.Metric{Label: []*dto.LabelPair{own}}
	if a.constant != nil {
		total.Label = append(total.Label, a.constant)
	}
	if f.GetType() == dto.MetricType_COUNTER {
		total.Counter = &dto.Counter{Value: &sum}
	} else {
		total.Gauge = &dto.Gauge{Value: &sum}
	}
	made.Metric = []*dto.Metric{total}
	return made
}

func (a alias) takes(m *dto.Metric) bool {
	return len(a.values) == 0 || slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool {
		return l.GetName() == a.label && slices.Contains(a.values, l.GetValue())
	})
}

func pair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }
