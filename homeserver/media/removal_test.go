// SPDX-License-Identifier: Apache-2.0

package media_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/homeserver/media"
)

// CS "Content repository": who has reached a quota is refused with 403 M_FORBIDDEN. What is refused leaves no file behind, and no other
// user's content goes with it.
func TestQuota(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.open("a.example", t.TempDir(), func(c *media.Config) { c.UserQuota = 10 })
		kept := a.put(alice, "text/plain", "x", "12345678")
		refused := func(as, content string) {
			t.Helper()
			if got := said(a.ask(as, "POST", upload, "text/plain", strings.NewReader(content))); !strings.HasPrefix(got, "403 M_FORBIDDEN") {
				t.Errorf("%q of %s: %s", content, as, got)
			}
		}
		refused(alice, "123")
		if n := a.files("own") + a.files("drafts"); n != 1 {
			t.Errorf("%d files, want what was kept", n)
		}
		adams := a.put(adam, "text/plain", "x", "1234567")
		refused(alice, "1234567") // the same content
		for _, path := range []string{kept, adams} {
			if got := a.status(alice, client+"download/"+path); got != 200 {
				t.Errorf("%s: %d", path, got)
			}
		}
		a.put(alice, "text/plain", "x", "12")
		refused(alice, "")
		if got := a.ask(root, "DELETE", "/_synapse/admin/v1/media/"+kept, "", nil).StatusCode; got != 200 {
			t.Errorf("removal: %d", got)
		}
		a.put(alice, "text/plain", "x", "12345678") // there is room again
	})
}

// What an administrator removes is gone, thumbnails and files included; of another server it is not fetched again.
func TestRemoval(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.open("a.example", t.TempDir()), w.open("b.example", t.TempDir())
		path, twin := a.put(alice, "image/png", "x", picture(t, 200, 100)), a.put(adam, "image/png", "x", picture(t, 200, 100))
		for _, s := range []*site{a, b} {
			for _, what := range []string{"download/" + path, "thumbnail/" + path + "?width=20&height=10"} {
				if got := s.status(bob, client+what); got != 200 {
					t.Fatalf("%s: %d", what, got)
				}
			}
		}
		remove := func(s *site, as, path, want string) {
			t.Helper()
			if got := said(s.ask(as, "DELETE", "/_synapse/admin/v1/media/"+path, "", nil)); !strings.HasPrefix(got, want) {
				t.Errorf("%s removes %s: %s, want %s", as, path, got, want)
			}
		}
		remove(a, alice, path, "403 M_FORBIDDEN")
		remove(a, root, "a.example/nothing", "404 M_NOT_FOUND")
		remove(a, root, "a%2Fb/nothing", "400 M_INVALID_PARAM")
		remove(b, root, path, `{"deleted_media":`)
		if n := b.files("cache"); n != 0 {
			t.Errorf("%d files of another server's content are left", n)
		}
		asked := w.downloads("a.example")
		if got := b.get(bob, client+"download/"+path); !strings.HasPrefix(got, "404 M_NOT_FOUND") || w.downloads("a.example") != asked {
			t.Errorf("after its removal: %s", got)
		}
		remove(a, root, path, `{"deleted_media":`)
		remove(a, root, path, "404 M_NOT_FOUND")
		if n := a.files("cache"); n != 0 {
			t.Errorf("%d thumbnails are left", n)
		}
		if got := a.get(bob, client+"download/"+path); !strings.HasPrefix(got, "404 M_NOT_FOUND") {
			t.Errorf("after its removal: %s", got)
		}
		if got := a.status(bob, client+"download/"+twin); got != 200 {
			t.Errorf("the same under another id: %d", got)
		}
		remove(a, root, twin, `{"deleted_media":`)
		if n := a.files("own"); n != 0 {
			t.Errorf("%d files are left", n)
		}
	})
}

// What nobody has looked at for longer than the operator wants goes; what is looked at stays.
func TestRetention(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const life = 10 * 24 * time.Hour
		a := w.open("a.example", t.TempDir())
		b := w.open("b.example", t.TempDir(), func(c *media.Config) { c.CacheTime = life })
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.run(ctx) }()
		wanted, forgotten := a.put(alice, "text/plain", "x", "wanted"), a.put(alice, "text/plain", "x", "forgotten")
		own := b.put(bob, "text/plain", "x", "own")
		for _, path := range []string{wanted, forgotten} {
			b.get(bob, client+"download/"+path)
		}
		time.Sleep(life / 2)
		b.get(bob, client+"download/"+wanted)
		time.Sleep(life/2 + 2*time.Hour)
		synctest.Wait()
		if n := b.files("cache"); n != 1 {
			t.Errorf("%d files in the cache, want the one that was looked at", n)
		}
		for _, path := range []string{own, forgotten} { // which is fetched again
			if got := b.status(bob, client+"download/"+path); got != 200 {
				t.Errorf("%s: %d", path, got)
			}
		}
		if n := w.downloads("a.example"); n != 3 {
			t.Errorf("fetched %d times, want 3", n)
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// status is how a request for content ends.
func (s *site) status(as, path string) int { return s.ask(as, "GET", path, "", nil).StatusCode }
