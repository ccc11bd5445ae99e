// SPDX-License-Identifier: Apache-2.0

// Package homeserver is a homeserver made of Strata: the Client-Server API over package messaging, which it links as any other program
// would. It lets anyone try Strata with a client.
//
//	                 clients                                        other servers
//	                    │ Handler, ServeClients                           │ Federation().Serve
//	┌───────────────────▼─────────────────────────────┐                   │
//	│ api: route, token, body, errors                 │                   │
//	├─────────────────────────────────────────────────┤                   │
//	│ accounts   rooms   sync   keys   people   media │  parts.go         │
//	│        │ calls      ▲ callbacks, in jobs        │                   │
//	├────────▼────────────┴───────────────────────────┴───────────────────▼──┐
//	│ messaging.Server: Core ── Store: tables hs_…, beside Strata's own      │
//	└─────────────────────────────────────────────────────────────────────────┘
//
// Each part is a package with its tables, its routes and what it answers to other servers; parts.go makes them, from the ground up, and
// is the only place that knows all of them. To add a part is a line in each of its lists.
//
// Not here: what any part does; settings and listeners, which cmd/strata has; application services, single sign-on, guests.
package homeserver
