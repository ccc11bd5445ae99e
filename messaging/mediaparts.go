// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
)

// mediaParts reads a multipart/mixed reply (M-82): a part with metadata, then one with content, and no more. The reply is a peer's: what
// is read before the content begins is bounded, and the content ends well only where both the part and the whole reply do.
type mediaParts struct {
	source  *allowance
	parts   *multipart.Reader
	content *multipart.Part
}

var errParts = errors.New("not two parts, metadata and content (M-82)")

// readMediaParts reads up to the beginning of the content, which may take at most limit bytes.
func readMediaParts(contentType string, body io.Reader, limit int64) (*mediaParts, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/mixed" {
		return nil, fmt.Errorf("%w: the reply is of type %.80q", errParts, contentType)
	}
	boundary := params["boundary"]
	if boundary == "" || len(boundary) > maxBoundary {
		return nil, fmt.Errorf("%w: a boundary of %d bytes", errParts, len(boundary))
	}
	p := &mediaParts{source: &allowance{from: body, left: maxPartsHead}}
	p.parts = multipart.NewReader(p.source, boundary)
	metadata, err := p.next()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(metadata) // the source bounds it
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	var members map[string]json.RawMessage // of which the specification has none yet
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("%w: metadata: %w", errParts, err)
	}
	if p.content, err = p.next(); err != nil {
		return nil, err
	}
	p.source.left = limit + maxPartsHead
	return p, nil
}

func (p *mediaParts) next() (*multipart.Part, error) {
	part, err := p.parts.NextRawPart() // a transfer encoding is not ours to undo: HTTP carries bytes
	if err == io.EOF {
		return nil, fmt.Errorf("%w: too few", errParts)
	}
	if err != nil {
		return nil, fmt.Errorf("read parts: %w", err)
	}
	return part, nil
}

// header is that of the content.
func (p *mediaParts) header() textproto.MIMEHeader { return p.content.Header }

// Read gives the content.
func (p *mediaParts) Read(b []byte) (int, error) {
	n, err := p.content.Read(b)
	if err != io.EOF {
		return n, err
	}
	switch _, err := p.parts.NextRawPart(); {
	case err == nil:
		return n, fmt.Errorf("%w: too many", errParts)
	case err != io.EOF:
		return n, fmt.Errorf("read the end of the parts: %w", err)
	}
	return n, io.EOF
}

// allowance is a reader that gives so many bytes and then fails.
type allowance struct {
	from io.Reader
	left int64
}

var errAllowance = errors.New("more than is allowed around the content")

// Read implements io.Reader.
func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, errAllowance
	}
	n, err := a.from.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	return n, err
}
