// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"
)

// router finds the route of a request by its escaped path, so that an id may hold "%2F". It is immutable.
//
// Patterns without parameters are looked up whole, before the trees of httprouter: those refuse a literal segment beside a
// parameter, which the query endpoints need (E-27, E-28). What still conflicts is an error of newRouter.
type router struct {
	serve   func(http.ResponseWriter, *http.Request, match)
	literal map[string]map[string]*Route // by path, then method
	trees   *httprouter.Router           // only to look up: it neither redirects nor answers
	methods []string
}

// match is what the router found: a route with its parameters, or why there is none.
type match struct {
	route   *Route
	params  map[string]string
	refusal *Error
	allow   string // the Allow header of a 405
}

func newRouter(routes []Route, serve func(http.ResponseWriter, *http.Request, match)) (*router, error) {
	rt := &router{serve: serve, literal: make(map[string]map[string]*Route), trees: httprouter.New()}
	for i := range routes {
		if err := rt.add(&routes[i]); err != nil {
			return nil, fmt.Errorf("route %s %s: %w", routes[i].Method, routes[i].Pattern, err)
		}
	}
	slices.Sort(rt.methods)
	return rt, nil
}

func (rt *router) add(route *Route) (err error) {
	switch {
	case route.Method == "" || strings.ToUpper(route.Method) != route.Method:
		return fmt.Errorf("%q is not a method", route.Method)
	case !strings.HasPrefix(route.Pattern, "/"):
		return fmt.Errorf("the pattern does not begin with /")
	case strings.Contains(route.Pattern, "*"):
		return fmt.Errorf("catch-all parameters are not supported")
	case route.Handle == nil:
		return fmt.Errorf("no handler")
	}
	if !slices.Contains(rt.methods, route.Method) {
		rt.methods = append(rt.methods, route.Method)
	}
	if !strings.Contains(route.Pattern, ":") {
		if rt.literal[route.Pattern][route.Method] != nil {
			return fmt.Errorf("given twice")
		}
		if rt.literal[route.Pattern] == nil {
			rt.literal[route.Pattern] = make(map[string]*Route)
		}
		rt.literal[route.Pattern][route.Method] = route
		return nil
	}
	defer func() { // httprouter's way of saying that two patterns conflict
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%v", fault)
		}
	}()
	rt.trees.Handle(route.Method, route.Pattern, func(w http.ResponseWriter, r *http.Request, ps httprouter.Params) {
		rt.serve(w, r, matched(route, ps))
	})
	return nil
}

// ServeHTTP passes the request on with its match, which may be a 404 or 405.
func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	if strings.HasPrefix(path, keyPrefix) && strings.HasSuffix(path, "/") {
		path = strings.TrimSuffix(path, "/")
	}
	if route := rt.literal[path][r.Method]; route != nil {
		rt.serve(w, r, match{route: route})
		return
	}
	if handle, params, _ := rt.trees.Lookup(r.Method, path); handle != nil {
		handle(w, r, params)
		return
	}
	allowed := rt.allowed(path)
	if allowed == "" {
		rt.serve(w, r, match{refusal: errUnrecognized(http.StatusNotFound, "unknown endpoint")})
		return
	}
	rt.serve(w, r, match{refusal: errUnrecognized(http.StatusMethodNotAllowed, "method not allowed"), allow: allowed})
}

// allowed lists the methods that the path knows.
func (rt *router) allowed(path string) string {
	var allowed []string
	for _, method := range rt.methods {
		handle, params, _ := rt.trees.Lookup(method, path)
		if rt.literal[path][method] != nil || handle != nil && matched(nil, params).refusal == nil {
			allowed = append(allowed, method)
		}
	}
	return strings.Join(allowed, ", ")
}

// matched unescapes the parameters. httprouter lets a parameter be empty in the middle of a path; no endpoint has such a one.
func matched(route *Route, params httprouter.Params) match {
	m := match{route: route, params: make(map[string]string, len(params))}
	for _, p := range params {
		value, err := url.PathUnescape(p.Value)
		if err != nil || value == "" {
			return match{refusal: errUnrecognized(http.StatusNotFound, "unknown endpoint")}
		}
		m.params[p.Key] = value
	}
	return m
}
