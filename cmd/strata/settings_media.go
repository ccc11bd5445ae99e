// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/strata-matrix/strata/homeserver/media"
)

// Bounds of the settings for content.
const (
	minContent       = 64 << 10 // an avatar
	maxContent       = 16 << 30
	maxCache         = 1 << 50
	minPictureMemory = 16 << 20 // a picture of two million pixels
	maxPictureMemory = 64 << 30
)

// mediaRetention is how long content is kept that nobody looks at, as Synapse writes it.
type mediaRetention struct {
	RemoteMediaLifetime duration `toml:"remote_media_lifetime" json:"remote_media_lifetime"` // 0 for as long as there is room
}

// minRetention is well above how exactly it is known when content was looked at.
const minRetention = duration(24 * time.Hour)

// checkMedia finds what is wrong with how much content there may be.
func (s *settings) checkMedia(found *faults) {
	for _, limit := range []struct {
		key             string
		is, least, most size
	}{
		{"max_upload_size", s.MaxUploadSize, minContent, maxContent},
		{"max_remote_media_size", s.MaxRemoteMediaSize, minContent, maxContent},
		{"media_cache_size", s.MediaCacheSize, s.MaxRemoteMediaSize, maxCache},
		{"thumbnail_memory", s.ThumbnailMemory, minPictureMemory, maxPictureMemory},
	} {
		if limit.is < limit.least || limit.is > limit.most {
			is, _ := limit.is.MarshalText() // the three cannot fail
			least, _ := limit.least.MarshalText()
			most, _ := limit.most.MarshalText()
			found.add(limit.key, fmt.Sprintf("is %s", is), fmt.Sprintf("write a size from %s to %s", least, most))
		}
	}
	if quota := s.MaxUserMediaSize; quota != 0 && (quota < s.MaxUploadSize || quota > maxCache) {
		is, _ := quota.MarshalText() // cannot fail
		found.add("max_user_media_size", fmt.Sprintf("is %s", is), "write a size that is not below max_upload_size, or 0 for no bound")
	}
	if life := s.MediaRetention.RemoteMediaLifetime; life != 0 && life < minRetention {
		is, _ := life.MarshalText() // likewise
		found.add("media_retention.remote_media_lifetime", fmt.Sprintf("is %s", is), "write a span of a day or more, or 0 for as long as there is room")
	}
}

// media is what settings without faults say of content.
func (s *settings) media() media.Policy {
	return media.Policy{
		MaxUpload: int64(s.MaxUploadSize), MaxRemote: int64(s.MaxRemoteMediaSize), CacheSize: int64(s.MediaCacheSize),
		PictureMemory: int64(s.ThumbnailMemory), Unfrozen: !s.EnableAuthenticatedMedia,
		UserQuota: int64(s.MaxUserMediaSize), CacheTime: time.Duration(s.MediaRetention.RemoteMediaLifetime),
	}
}
