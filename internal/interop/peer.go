// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"crypto/tls"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"text/template"
	"time"
)

const (
	// readyTimeout bounds a peer's start. Synapse needs 1.5 s on a free machine with warm files, Dendrite 0.2 s.
	readyTimeout = 2 * time.Minute
	// readyPoll is the pause between two questions whether a peer answers yet.
	readyPoll = 100 * time.Millisecond
	// memberTimeout bounds the registration of one user.
	memberTimeout = 30 * time.Second
)

//go:embed config
var configFiles embed.FS

// Peer is a running homeserver that is not Strata.
type Peer struct {
	*service
	// Software and Version are what the server says of itself, such as Synapse and 1.163.2.
	Software, Version string
	// Name is its server name, localhost:PORT. The port is that of its federation listener.
	Name string
	// ClientURL is the base of its client API, http://127.0.0.1:PORT.
	ClientURL string
	// LogFile holds all that it printed, with one line for every request it served.
	LogFile string
	// StartUp is the time from its launch to its first answers on both listeners.
	StartUp time.Duration
}

// ServerName implements [Server].
func (p *Peer) ServerName() string { return p.Name }

// Describe implements [Server].
func (p *Peer) Describe() string { return p.Software + " " + p.Version }

// NewMember registers a user and implements [Server]. The result is a [Client].
func (p *Peer) NewMember(t *testing.T, localpart string) Member {
	t.Helper()
	return p.NewClient(t, localpart)
}

// NewClient registers a user, for tests that need more of the client API than a [Member] has.
func (p *Peer) NewClient(t *testing.T, localpart string) *Client {
	t.Helper()
	ctx, cancel := bounded(t, memberTimeout)
	defer cancel()
	client, err := Register(ctx, p.ClientURL, localpart, "correct horse "+localpart)
	if err != nil {
		t.Fatalf("register %s at %s: %v", localpart, p.Name, err)
	}
	return client
}

// site is what a configuration template may name: where a peer lives.
type site struct {
	Dir                         string
	Name                        string
	FederationPort, ClientPort  int
	Authority                   string
	Certificate, CertificateKey string
	Notary                      string // that is trusted, "" for none
}

// newSite makes dir, and in it a certificate, and chooses the ports.
func newSite(dir string, ca *CA) (site, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return site{}, fmt.Errorf("make folder of peer: %w", err)
	}
	ports, err := freePorts(2)
	if err != nil {
		return site{}, err
	}
	certFile, keyFile, err := ca.IssueLoopback(dir)
	if err != nil {
		return site{}, err
	}
	return site{
		Dir:            dir,
		Name:           fmt.Sprintf("localhost:%d", ports[0]),
		FederationPort: ports[0],
		ClientPort:     ports[1],
		Authority:      ca.File,
		Certificate:    certFile,
		CertificateKey: keyFile,
	}, nil
}

// configure fills in the template called name and writes it, without its .tmpl, to the site's folder.
func (s site) configure(name string) error {
	parsed, err := template.ParseFS(configFiles, "config/"+name+".tmpl")
	if err != nil {
		return fmt.Errorf("parse template of %s: %w", name, err)
	}
	file, err := os.Create(filepath.Join(s.Dir, name))
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	defer file.Close()
	if err := parsed.Execute(file, s); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// launch runs argv as a Peer, and returns when both of its listeners answer.
func (s site) launch(t *testing.T, ca *CA, env []string, argv ...string) *Peer {
	t.Helper()
	peer := &Peer{Name: s.Name, ClientURL: fmt.Sprintf("http://127.0.0.1:%d", s.ClientPort)}
	peer.service = &service{dir: s.Dir, env: env, argv: argv, ready: func(ctx context.Context, p *process) (err error) {
		versions := peer.ClientURL + "/_matrix/client/versions"
		if err := awaitAnswer(ctx, http.DefaultClient, p, versions, &struct{}{}); err != nil {
			return fmt.Errorf("client API: %w", err)
		}
		peer.Software, peer.Version, err = s.awaitFederation(ctx, p, ca)
		if err != nil {
			return fmt.Errorf("federation API: %w", err)
		}
		return nil
	}}
	peer.start(t)
	peer.LogFile, peer.StartUp = peer.now.logFile, time.Since(peer.now.begun)
	t.Logf("%s: %s, started in %s", peer.Name, peer.Describe(), peer.StartUp.Round(10*time.Millisecond))
	return peer
}

// awaitFederation waits until the server answers other servers, and returns what it says of itself. It trusts only the
// authority, so an answer also proves the certificate.
func (s site) awaitFederation(ctx context.Context, p *process, ca *CA) (software, version string, err error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool}}
	defer transport.CloseIdleConnections()
	var reply struct {
		Server struct{ Name, Version string }
	}
	address := "https://" + s.Name + "/_matrix/federation/v1/version"
	if err := awaitAnswer(ctx, &http.Client{Transport: transport}, p, address, &reply); err != nil {
		return "", "", err
	}
	return reply.Server.Name, reply.Server.Version, nil
}

// awaitAnswer asks until the answer is a 200 whose JSON fits into reply, the process has ended, or ctx has.
func awaitAnswer(ctx context.Context, web *http.Client, p *process, url string, reply any) error {
	pause := time.NewTicker(readyPoll)
	defer pause.Stop()
	for {
		err := getJSON(ctx, web, url, reply)
		if err == nil {
			return nil
		}
		select {
		case <-pause.C:
		case <-p.ended:
			return fmt.Errorf("the server ended before it answered: %w", p.result)
		case <-ctx.Done():
			return fmt.Errorf("no answer in time: %w", err)
		}
	}
}

func getJSON(ctx context.Context, web *http.Client, url string, reply any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	response, err := web.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxReply)).Decode(reply); err != nil {
		return fmt.Errorf("GET %s: decode: %w", url, err)
	}
	return nil
}
