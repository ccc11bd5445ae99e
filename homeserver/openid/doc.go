// SPDX-License-Identifier: Apache-2.0

// Package openid gives users tokens by which they prove to third parties who they are.
//
//	POST /user/{userId}/openid/request_token ──► hs_openid: hashes of tokens ──► GET /openid/userinfo (messaging)
//
// A token says who, and is good for nothing else. Rules: Client-Server API, "OpenID" (E-30).
package openid
