// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"errors"
	"fmt"
	"strings"

	"github.com/strata-matrix/strata/transport/ident"
)

// Scheme is the authentication scheme of federation requests.
const Scheme = "X-Matrix"

// maxAuthorization bounds the header value in bytes. Two server names, a key id and a signature take less than 1 KiB.
const maxAuthorization = 4 << 10

// ErrMalformedHeader is wrapped by every error of ParseAuthorization. The answer is 401.
var ErrMalformedHeader = errors.New("malformed X-Matrix header")

// Credentials are the parameters of one X-Matrix header. The names have been parsed, the signature has not been looked at.
type Credentials struct {
	Origin      ident.ServerName
	Destination ident.ServerName // "" when a peer from before spec 1.3 left it out
	Key         ident.KeyID
	Signature   string // base64
}

// ParseAuthorization parses the value of an Authorization header: the grammar of RFC 9110, section 11.4, with values
// outside quotes also where they are no tokens, as old peers write server names with a port and padded base64. Unknown
// parameters are ignored; a repeated one is an error, as it could be read in two ways.
func ParseAuthorization(header string) (Credentials, error) {
	c, err := parseCredentials(header)
	if err != nil {
		return Credentials{}, fmt.Errorf("%w: %w", ErrMalformedHeader, err)
	}
	return c, nil
}

func parseCredentials(header string) (Credentials, error) {
	if len(header) > maxAuthorization {
		return Credentials{}, fmt.Errorf("%d bytes, at most %d are allowed", len(header), maxAuthorization)
	}
	parameters, err := parseParameters(header)
	if err != nil {
		return Credentials{}, err
	}
	for _, name := range []string{"origin", "key", "sig"} {
		if _, ok := parameters[name]; !ok {
			return Credentials{}, fmt.Errorf("no %s", name)
		}
	}
	c := Credentials{Signature: parameters["sig"]}
	if c.Origin, err = ident.ParseServerName(parameters["origin"]); err != nil {
		return Credentials{}, fmt.Errorf("origin: %w", err)
	}
	if destination, ok := parameters["destination"]; ok {
		if c.Destination, err = ident.ParseServerName(destination); err != nil {
			return Credentials{}, fmt.Errorf("destination: %w", err)
		}
	}
	if c.Key, err = ident.ParseKeyID(parameters["key"]); err != nil {
		return Credentials{}, fmt.Errorf("key: %w", err)
	}
	return c, nil
}

// parseParameters reads "X-Matrix", at least one space, and the list of name=value. Names come back in lower case. A list may
// hold empty elements (RFC 9110, section 5.6.1.2).
func parseParameters(header string) (map[string]string, error) {
	scheme, rest, found := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, Scheme) {
		return nil, fmt.Errorf("the scheme is not %s", Scheme)
	}
	if !found {
		return nil, errors.New("nothing after the scheme")
	}
	parameters := make(map[string]string, 4)
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			return parameters, nil
		}
		name, value, after, err := parseParameter(rest)
		if err != nil {
			return nil, err
		}
		if _, twice := parameters[name]; twice {
			return nil, fmt.Errorf("%s twice", name)
		}
		parameters[name] = value
		rest = strings.TrimLeft(after, " \t")
		if rest != "" && rest[0] != ',' {
			return nil, fmt.Errorf("no comma after %s", name)
		}
	}
}

// parseParameter reads one name=value, with optional blanks around '=', and returns what follows it.
func parseParameter(s string) (name, value, rest string, err error) {
	end := 0
	for end < len(s) && isToken(s[end]) {
		end++
	}
	name, rest = strings.ToLower(s[:end]), strings.TrimLeft(s[end:], " \t")
	if name == "" || rest == "" || rest[0] != '=' {
		return "", "", "", errors.New("a parameter is not of the form name=value")
	}
	rest = strings.TrimLeft(rest[1:], " \t")
	if strings.HasPrefix(rest, `"`) {
		value, rest, err = parseQuoted(rest[1:])
	} else {
		value, rest, err = parseBare(rest)
	}
	if err != nil {
		return "", "", "", fmt.Errorf("%s: %w", name, err)
	}
	return name, value, rest, nil
}

// parseQuoted reads up to the closing quote. A backslash stands for the character after it.
func parseQuoted(s string) (value, rest string, err error) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return out.String(), s[i+1:], nil
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		if isControl(s[i]) {
			return "", "", errors.New("control character")
		}
		out.WriteByte(s[i])
	}
	return "", "", errors.New("no closing quote")
}

// parseBare reads up to a blank or a comma.
func parseBare(s string) (value, rest string, err error) {
	end := strings.IndexAny(s, " \t,")
	if end < 0 {
		end = len(s)
	}
	for i := range end {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\' {
			return "", "", fmt.Errorf("%q outside quotes", s[i])
		}
	}
	if end == 0 {
		return "", "", errors.New("no value")
	}
	return s[:end], s[end:], nil
}

// isToken reports whether c may stand in a token (RFC 9110, section 5.6.2).
func isToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }
