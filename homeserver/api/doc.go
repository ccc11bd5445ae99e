// SPDX-License-Identifier: Apache-2.0

// Package api is the door for clients: it finds the route of a request, says who asks, bounds what is read, and writes answers and
// errors as the Client-Server API has them. What the routes do is told by the packages that bring them.
//
//	client ──► NewHandler: CORS ─► route ─► token ─► body ─► Route.Handle ─► Reply or *Error
//	                                  │       │ Tokens        │
//	                                  │       └ 401           └ 413
//	                                  └ 404, 405 M_UNRECOGNIZED
//
// A route of /_matrix/client/v3 answers under r0 too, as it was called before v1.1.
//
// Not here: accounts and their tokens, user-interactive authentication, and everything about rooms.
package api
