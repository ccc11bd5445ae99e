// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // thumbnails of either kind
	"image/png"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/homeserver"
	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport/ident"
)

// startHomeserver runs a Strata with users of its own in this process.
func startHomeserver(t *testing.T, dir string, ca *CA) (server *homeserver.Server, clientURL string) {
	t.Helper()
	s, config := linkedSite(t, dir, ca)
	server, err := homeserver.Open(t.Context(), homeserver.Config{
		Messaging: config, Accounts: accounts.Policy{Registration: true}, PasswordCost: accounts.CheapCost(),
	})
	if err != nil {
		t.Fatal(err)
	}
	serveLinked(t, server, map[int]serving{
		s.FederationPort: server.Federation().Serve,
		s.ClientPort:     func(ctx context.Context, l net.Listener) error { return server.ServeClients(ctx, l, homeserver.Door{}) },
	})
	return server, fmt.Sprintf("http://127.0.0.1:%d", s.ClientPort)
}

// media makes a request below /_matrix and gives the reply with its body.
func (c *Client) media(ctx context.Context, method, path, kind string, body []byte) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.baseURL+"/_matrix/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", kind)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %.200s", method, path, response.Status, content)
	}
	return response, content, err
}

// mediaURI is content_uri in a reply, as "server/id".
func mediaURI(t *testing.T, reply []byte, err error) string {
	t.Helper()
	var decoded struct {
		URI string `json:"content_uri"`
	}
	if err != nil || json.Unmarshal(reply, &decoded) != nil || !strings.HasPrefix(decoded.URI, "mxc://") {
		t.Fatalf("no content_uri in %s: %v", reply, err)
	}
	return strings.TrimPrefix(decoded.URI, "mxc://")
}

// TestMediaWithSynapse has a picture fetched both ways, whole and small.
func TestMediaWithSynapse(t *testing.T) { playMedia(t, StartSynapse, true) }

// TestMediaWithDendrite does so with a server that tells no names of files, and gives whole pictures for small ones.
func TestMediaWithDendrite(t *testing.T) { playMedia(t, StartDendrite, false) }

func playMedia(t *testing.T, start Start, exact bool) {
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	server, clientURL := startHomeserver(t, filepath.Join(dir, "strata"), ca)
	peer, ok := start(t, filepath.Join(dir, "peer"), ca).(*Peer)
	if !ok {
		t.Fatal("the peer has no client API")
	}
	ctx, cancel := bounded(t, scenarioTimeout)
	defer cancel()
	alice, err := Register(ctx, clientURL, "alice", "correct horse alice")
	if err != nil {
		t.Fatal(err)
	}
	bob := peer.NewClient(t, "bob")
	canvas := image.NewRGBA(image.Rect(0, 0, 1200, 800))
	for i := range canvas.Pix {
		canvas.Pix[i] = uint8(i>>8) | 3
	}
	canvas.Set(0, 0, color.White)
	var picture bytes.Buffer
	if err := png.Encode(&picture, canvas); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		from, to *Client
	}{{"ours", alice, bob}, {"theirs", bob, alice}} {
		_, reply, err := tt.from.media(ctx, http.MethodPost, "media/v3/upload?filename=a%20b.png", "image/png", picture.Bytes())
		uri := mediaURI(t, reply, err)
		response, content, err := tt.to.media(ctx, http.MethodGet, "client/v1/media/download/"+uri, "", nil)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if !bytes.Equal(content, picture.Bytes()) || response.Header.Get("Content-Type") != "image/png" {
			t.Errorf("%s: %d bytes of %s came of %d", tt.name, len(content), response.Header.Get("Content-Type"), picture.Len())
		}
		if got := response.Header.Get("Content-Disposition"); exact && !strings.Contains(got, "a b.png") && !strings.Contains(got, "a%20b.png") {
			t.Errorf("%s: the file is called %s", tt.name, got)
		}
		_, content, err = tt.to.media(ctx, http.MethodGet, "client/v1/media/thumbnail/"+uri+"?width=96&height=96&method=crop", "", nil)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if small, _, err := image.DecodeConfig(bytes.NewReader(content)); err != nil || (exact || tt.to == alice) && (small.Width != 96 || small.Height != 96) {
			t.Errorf("%s: thumbnail of %d × %d, %v", tt.name, small.Width, small.Height, err)
		}
	}
	theirs := func(query string) string {
		_, reply, err := bob.media(ctx, http.MethodPost, "media/v3/upload"+query, "image/png", picture.Bytes())
		_, id, _ := strings.Cut(mediaURI(t, reply, err), "/")
		return id
	}
	small, err := server.Federation().DownloadThumbnail(ctx, ident.ServerName(peer.Name), ident.MediaID(theirs("")),
		messaging.Thumbnail{Width: 96, Height: 96, Crop: true}, messaging.MediaOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	if config, _, err := image.DecodeConfig(small); err != nil || config.Width < 96 || config.Height < 96 {
		t.Errorf("their own thumbnail is of %d × %d, %v", config.Width, config.Height, err)
	}
	_, err = server.Federation().DownloadMedia(ctx, ident.ServerName(peer.Name), "nothing", messaging.MediaOptions{})
	if !errors.Is(err, messaging.ErrNoMedia) {
		t.Errorf("what they do not have: %v", err)
	}
}
