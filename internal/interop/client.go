// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
)

// maxReply bounds what is read of one reply, in bytes. The rooms of the bench need a thousandth of it.
const maxReply = 16 << 20

// Client is one logged-in user, speaking the client API. It is a [Member]. Any goroutine may use it.
type Client struct {
	// UserID is the full Matrix ID, @localpart:localhost:PORT.
	UserID string

	baseURL string
	token   string
	nextTxn atomic.Int64
}

// Error is a refusal by the server, in the words of the client API ("Standard error response").
type Error struct {
	Status  int    // HTTP status
	Code    string `json:"errcode"` // such as M_FORBIDDEN, empty if the body was not of the standard form
	Message string `json:"error"`
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message) }

// Register makes an account by the dummy stage, which a server grants when its registration is open, and returns the
// user logged in. Client-Server API, POST /_matrix/client/v3/register.
func Register(ctx context.Context, baseURL, localpart, password string) (*Client, error) {
	return enter(ctx, baseURL, "register", map[string]any{
		"username": localpart,
		"password": password,
		"auth":     map[string]string{"type": "m.login.dummy"},
	})
}

// Login opens another session of an existing account. Client-Server API, POST /_matrix/client/v3/login.
func Login(ctx context.Context, baseURL, localpart, password string) (*Client, error) {
	return enter(ctx, baseURL, "login", map[string]any{
		"type":       "m.login.password",
		"identifier": map[string]string{"type": "m.id.user", "user": localpart},
		"password":   password,
	})
}

// enter posts to one of the two endpoints that give an access token.
func enter(ctx context.Context, baseURL, endpoint string, body any) (*Client, error) {
	var reply struct {
		UserID      string `json:"user_id"`
		AccessToken string `json:"access_token"`
	}
	c := &Client{baseURL: baseURL}
	if err := c.call(ctx, http.MethodPost, endpoint, nil, body, &reply); err != nil {
		return nil, err
	}
	c.UserID, c.token = reply.UserID, reply.AccessToken
	return c, nil
}

// call makes one request below /_matrix/client/v3 and decodes a 200 into reply. A nil body sends none; a nil reply
// discards what comes. Refusals come back as *Error, wrapped with method and path.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, reply any) error {
	response, err := c.ask(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return decodeReply(response, method+" "+path, reply)
}

// ask makes one request. Whoever asks reads the response and closes it.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode body of %s %s: %w", method, path, err)
		}
		content = bytes.NewReader(encoded)
	}
	address := c.baseURL + "/_matrix/client/v3/" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, fmt.Errorf("build %s %s: %w", method, path, err)
	}
	request.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	return http.DefaultClient.Do(request) // its error names method and address
}

func decodeReply(response *http.Response, call string, reply any) error {
	content, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err != nil {
		return fmt.Errorf("%s: read reply: %w", call, err)
	}
	if response.StatusCode != http.StatusOK {
		refusal := &Error{}
		if json.Unmarshal(content, refusal) != nil || refusal.Code == "" {
			refusal.Message = string(content) // not of the standard form: say what came instead
		}
		refusal.Status = response.StatusCode
		return fmt.Errorf("%s: %w", call, refusal)
	}
	if reply == nil {
		return nil
	}
	if err := json.Unmarshal(content, reply); err != nil {
		return fmt.Errorf("%s: decode reply: %w", call, err)
	}
	return nil
}

// ID implements [Member].
func (c *Client) ID() string { return c.UserID }

// txnID numbers the requests that the server must carry out once only.
func (c *Client) txnID() string { return "interop-" + strconv.FormatInt(c.nextTxn.Add(1), 10) }
