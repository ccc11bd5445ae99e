// SPDX-License-Identifier: Apache-2.0

package ident_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/transport/ident"
)

// V-08: the valid server names of the appendices, and negatives of our own.
func TestParseServerName(t *testing.T) {
	valid := []struct{ name, host, port string }{
		{"matrix.org", "matrix.org", ""},
		{"matrix.org:8888", "matrix.org", "8888"},
		{"1.2.3.4", "1.2.3.4", ""},
		{"1.2.3.4:1234", "1.2.3.4", "1234"},
		{"[1234:5678::abcd]", "1234:5678::abcd", ""},
		{"[1234:5678::abcd]:5678", "1234:5678::abcd", "5678"},
	}
	for _, tt := range valid {
		name, err := ident.ParseServerName(tt.name)
		if err != nil {
			t.Errorf("ParseServerName(%q): %v", tt.name, err)
		}
		if host, port := ident.SplitServerName(name); host != tt.host || port != tt.port {
			t.Errorf("SplitServerName(%q) = %q, %q, want %q, %q", tt.name, host, port, tt.host, tt.port)
		}
	}
	for _, bad := range []string{
		"", ":80", "a b", "a_b.example", "é.example", "a:", "a:123456", "a:80:90", "a:8x", "[::1", "[]", "[zz]",
		"[::1]x", "[1.2.3.4]", "1.2.3.256", "[fe80::1%eth0]", strings.Repeat("a", 256),
	} {
		if _, err := ident.ParseServerName(bad); !errors.Is(err, ident.ErrInvalid) {
			t.Errorf("ParseServerName(%q) = %v, want ErrInvalid", bad, err)
		}
	}
}

func TestParseUserID(t *testing.T) {
	historical := []string{"@a:b", "@:b", "@A Z\x01é:b.c:80", "@" + strings.Repeat("x", 251) + ":bc"}
	for _, s := range historical {
		if _, err := ident.ParseUserID(s); err != nil {
			t.Errorf("ParseUserID(%q): %v", s, err)
		}
	}
	for _, s := range []string{"", "@", "a:b", "@a", "@a\x00:b", "@a\xff:b", "@a:", "@" + strings.Repeat("x", 252) + ":bc"} {
		if _, err := ident.ParseUserID(s); !errors.Is(err, ident.ErrInvalid) {
			t.Errorf("ParseUserID(%q) = %v, want ErrInvalid", s, err)
		}
	}
	if _, err := ident.ParseNewUserID("@a+b=2/c_d.e-f:b"); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"@:b", "@A:b", "@é:b"} {
		if _, err := ident.ParseNewUserID(s); err == nil {
			t.Errorf("ParseNewUserID(%q) accepted", s)
		}
	}
	if id := ident.UserID("@a:b:80"); id.Localpart() != "a" || id.Server() != "b:80" {
		t.Errorf("split at the wrong colon: %q, %q", id.Localpart(), id.Server())
	}
}

// The negatives are those of G-C2, where the library panics.
func TestParseRoomID(t *testing.T) {
	for _, s := range []string{"!a:b", "!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"} {
		if _, err := ident.ParseRoomID(s); err != nil {
			t.Errorf("ParseRoomID(%q): %v", s, err)
		}
	}
	for _, s := range []string{"", "!", "!:", "!a:b c", "!a:é", "!abc", "!:b", "#a:b"} {
		if _, err := ident.ParseRoomID(s); !errors.Is(err, ident.ErrInvalid) {
			t.Errorf("ParseRoomID(%q) = %v, want ErrInvalid", s, err)
		}
	}
}

func TestParseEventIDAndKeyID(t *testing.T) {
	// V-12: the shapes of versions 3 and 4, and that of 1 and 2.
	for _, s := range []string{
		"$CD66HAED5npg6074c6pDtLKalHjVfYb2q4Q3LZgrW6o", "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg", "$x:domain",
	} {
		if _, err := ident.ParseEventID(s); err != nil {
			t.Errorf("ParseEventID(%q): %v", s, err)
		}
	}
	for _, s := range []string{"", "$", "x", "$" + strings.Repeat("a", 255), "$\xff"} {
		if _, err := ident.ParseEventID(s); err == nil {
			t.Errorf("ParseEventID(%q) accepted", s)
		}
	}
	if _, err := ident.ParseKeyID("ed25519:a_Bc1"); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"", "ed25519", "ed25519:", ":a", "ed25519:a-b"} {
		if _, err := ident.ParseKeyID(s); err == nil {
			t.Errorf("ParseKeyID(%q) accepted", s)
		}
	}
}

// M-83: an id of media is no path.
func TestParseMediaID(t *testing.T) {
	for text, good := range map[string]bool{
		"abc_DEF-09": true, "-": true, strings.Repeat("a", 255): true, strings.Repeat("a", 256): false, "": false, "..": false, "a/b": false, "a.b": false,
		"a%2fb": false, "a b": false, "é": false, "a\x00": false, "a\\b": false, "a@b": false, "a[b": false,
	} {
		if id, err := ident.ParseMediaID(text); (err == nil) != good || good && string(id) != text {
			t.Errorf("ParseMediaID(%q) = %q, %v", text, id, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"@a:b", "!a:b", "!:", "$x", "#a:[::1]:80", "a:80", "[::1", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ident.ParseUserID(s); err == nil {
			if "@"+id.Localpart()+":"+string(id.Server()) != s {
				t.Errorf("%q does not come back from its parts", s)
			}
			if _, err := ident.ParseServerName(string(id.Server())); err != nil {
				t.Errorf("%q: server of a valid user id: %v", s, err)
			}
		}
		_, _ = ident.ParseRoomID(s)
		_, _ = ident.ParseEventID(s)
		_, _ = ident.ParseRoomAlias(s)
		_, _ = ident.ParseKeyID(s)
	})
}
