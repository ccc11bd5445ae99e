// SPDX-License-Identifier: Apache-2.0

package accounts

import "time"

const (
	// maxPassword in bytes: what Synapse allows.
	maxPassword = 512
	// maxDeviceID in bytes: device ids stand in the keys of signed objects and in to-device messages.
	maxDeviceID = 255
	// maxDeviceName in bytes: Synapse allows 100 characters.
	maxDeviceName = 400
	// maxDevicesNamed is how many devices one request can delete.
	maxDevicesNamed = 1000
	// maxCached is how many callers are kept in memory, of some 300 bytes each.
	maxCached = 20_000
	// maxSessions is how many user-interactive sessions are under way, of some 200 bytes each; sessionTime is how long one waits for a
	// person to type a password.
	maxSessions = 10_000
	sessionTime = 15 * time.Minute
	// maxNonces and nonceTime are of the shared-secret registration; Synapse's live as long.
	maxNonces = 1000
	nonceTime = time.Minute
	// maxCounted is how many addresses and users attempts are counted of.
	maxCounted = 20_000
	// sightingsEvery is how often it is written where devices were seen, so many in one job, and maxSightings how many wait for it, of some
	// 200 bytes each; those that are too many are seen later.
	sightingsEvery  = 5 * time.Minute
	sightingsAtOnce = 200
	maxSightings    = 20_000
	// refreshableTime is how long an access token is good that can be refreshed: Synapse's refreshable_access_token_lifetime.
	refreshableTime = 5 * time.Minute
)
