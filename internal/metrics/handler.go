// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes is how many answers are made at a time. More than a pair of Prometheus servers and a person is not expected.
const maxScrapes = 4

// Handler answers with all figures in Prometheus' text format. When look fails, what was counted is answered all the same.
func (m *Metrics) Handler(look Look) http.Handler {
	return promhttp.HandlerFor(m.gatherer(look), promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes, Timeout: 2 * patience,
	})
}

func (m *Metrics) gatherer(look Look) prometheus.Gatherer {
	standing := prometheus.NewRegistry()
	standing.MustRegister(&gauges{look: look})
	var all prometheus.Gatherer = prometheus.Gatherers{m.registry, standing}
	if m.config.Synapse {
		all = translated{of: all, serverName: m.config.ServerName}
	}
	return all
}
