// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"mime"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// inlineTypes are the media types that a browser may show in its place (Client-Server API, "Serving inline content"): there is no script
// in them.
var inlineTypes = []string{
	"text/css", "text/plain", "text/csv", "application/json", "application/ld+json",
	"image/jpeg", "image/gif", "image/png", "image/apng", "image/webp", "image/avif",
	"video/mp4", "video/webm", "video/ogg", "video/quicktime",
	"audio/mp4", "audio/webm", "audio/aac", "audio/mpeg", "audio/ogg", "audio/wave", "audio/wav", "audio/x-wav", "audio/x-pn-wav",
	"audio/flac", "audio/x-flac",
}

// unknownType is that of content of which nothing is known.
const unknownType = "application/octet-stream"

// mediaType is a media type as it is kept: as somebody gave it, if it is one.
func mediaType(given string) string {
	if _, _, err := mime.ParseMediaType(given); err != nil || len(given) > maxType || strings.ContainsFunc(given, unicode.IsControl) {
		return unknownType
	}
	return given
}

// fileName is the name of a file as it is kept: without what could mislead, "" if nothing remains.
func fileName(given string) string {
	if !utf8.ValidString(given) || len(given) > maxName || strings.ContainsFunc(given, unicode.IsControl) {
		return ""
	}
	return given
}

// nameIn is the file name in a Content-Disposition, "" for none.
func nameIn(disposition string) string {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil {
		return ""
	}
	return fileName(params["filename"])
}

// disposition is the Content-Disposition of content: what a browser could run it has to save.
func disposition(kind, name string) string {
	how := "attachment"
	if base, _, err := mime.ParseMediaType(kind); err == nil && slices.Contains(inlineTypes, base) {
		how = "inline"
	}
	if name == "" {
		return how
	}
	return cmp.Or(mime.FormatMediaType(how, map[string]string{"filename": name}), how)
}
