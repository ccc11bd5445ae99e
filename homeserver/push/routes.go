// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
)

// Push serves push rules and pushers.
type Push struct {
	accounts.Bystander
	store *persistence.Store
	tally *Tally
}

// New makes the package's endpoints. The tally hears of rules that change.
func New(store *persistence.Store, tally *Tally) *Push { return &Push{store: store, tally: tally} }

// Routes are the endpoints.
func (p *Push) Routes() []api.Route {
	const rules = "/_matrix/client/v3/pushrules"
	const one = rules + "/global/{kind}/{ruleID}"
	return []api.Route{
		{Method: "GET", Pattern: rules + "/{$}", Handle: p.all},
		{Method: "GET", Pattern: rules + "/global/{$}", Handle: p.global},
		{Method: "GET", Pattern: one, Handle: p.one},
		{Method: "PUT", Pattern: one, Handle: p.put},
		{Method: "DELETE", Pattern: one, Handle: p.remove},
		{Method: "GET", Pattern: one + "/enabled", Handle: p.enabled},
		{Method: "PUT", Pattern: one + "/enabled", Handle: p.enable},
		{Method: "GET", Pattern: one + "/actions", Handle: p.actions},
		{Method: "PUT", Pattern: one + "/actions", Handle: p.act},
		{Method: "GET", Pattern: "/_matrix/client/v3/pushers", Handle: p.pushers},
		{Method: "POST", Pattern: "/_matrix/client/v3/pushers/set", Handle: p.setPusher},
	}
}

// rules reads the caller's rules.
func (p *Push) rules(ctx context.Context, r *api.Request) (rules Ruleset, err error) {
	err = p.store.View(ctx, func(tx *persistence.Tx) error {
		changes, err := ChangesOf(tx, r.User)
		rules = changes.Rules(r.User)
		return err
	})
	return rules, err
}

func (p *Push) all(ctx context.Context, r *api.Request) (api.Reply, error) {
	rules, err := p.rules(ctx, r)
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]Ruleset{"global": rules})
}

func (p *Push) global(ctx context.Context, r *api.Request) (api.Reply, error) {
	rules, err := p.rules(ctx, r)
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(rules)
}

// named is the rule of the path.
func (p *Push) named(ctx context.Context, r *api.Request) (Rule, error) {
	rules, err := p.rules(ctx, r)
	if err != nil {
		return Rule{}, err
	}
	return named(rules, r)
}

func named(rules Ruleset, r *api.Request) (Rule, error) {
	kind := r.Param("kind")
	if _, known := rules[kind]; !known {
		return Rule{}, api.InvalidParam("%q is no kind of push rule", kind)
	}
	rule, found := rules.find(kind, r.Param("ruleID"))
	if !found {
		return Rule{}, api.NotFound("no push rule %s of kind %s", r.Param("ruleID"), kind)
	}
	return rule, nil
}

func (p *Push) one(ctx context.Context, r *api.Request) (api.Reply, error) {
	rule, err := p.named(ctx, r)
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(rule)
}

func (p *Push) enabled(ctx context.Context, r *api.Request) (api.Reply, error) {
	rule, err := p.named(ctx, r)
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]bool{"enabled": rule.Enabled})
}

func (p *Push) actions(ctx context.Context, r *api.Request) (api.Reply, error) {
	rule, err := p.named(ctx, r)
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string][]json.RawMessage{"actions": rule.Actions})
}

// change changes the caller's rules in a job.
func (p *Push) change(ctx context.Context, r *api.Request, f func(*Changes) error) (api.Reply, error) {
	return api.Reply{}, p.store.Update(ctx, func(tx *persistence.Tx) error {
		changes, err := ChangesOf(tx, r.User)
		if err != nil {
			return err
		}
		if err := f(&changes); err != nil {
			return err
		}
		tx.AfterCommit(func() { p.tally.forget(r.User) })
		return Keep(tx, r.User, changes)
	})
}

// changeNamed changes the rule of the path.
func (p *Push) changeNamed(ctx context.Context, r *api.Request, f func(*Changes)) (api.Reply, error) {
	return p.change(ctx, r, func(c *Changes) error {
		if _, err := named(c.Rules(r.User), r); err != nil {
			return err
		}
		f(c)
		return nil
	})
}

func (p *Push) enable(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Enabled *bool `json:"enabled"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Enabled == nil {
		return api.Reply{}, api.MissingParam("enabled")
	}
	return p.changeNamed(ctx, r, func(c *Changes) { c.enable(r.Param("kind"), r.Param("ruleID"), *body.Enabled) })
}

func (p *Push) act(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Actions []json.RawMessage `json:"actions"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if err := checkActions(body.Actions); err != nil {
		return api.Reply{}, err
	}
	return p.changeNamed(ctx, r, func(c *Changes) { c.act(r.Param("kind"), r.Param("ruleID"), body.Actions) })
}

func (p *Push) remove(ctx context.Context, r *api.Request) (api.Reply, error) {
	if isDefault(r.Param("ruleID")) {
		return api.Reply{}, api.InvalidParam("the rule %s is the server's: it can be switched off, not removed", r.Param("ruleID"))
	}
	return p.changeNamed(ctx, r, func(c *Changes) { c.remove(r.Param("kind"), r.Param("ruleID")) })
}

func (p *Push) put(ctx context.Context, r *api.Request) (api.Reply, error) {
	rule, err := readRule(r)
	if err != nil {
		return api.Reply{}, err
	}
	before, after := r.Query.Get("before"), r.Query.Get("after")
	if before != "" && after != "" {
		return api.Reply{}, api.InvalidParam("before and after are given both")
	}
	return p.change(ctx, r, func(c *Changes) error {
		n := 0
		for _, list := range c.Own {
			n += len(list)
		}
		if n >= maxRules {
			return api.InvalidParam("there are %d rules, the most that are kept", maxRules)
		}
		if !c.put(r.Param("kind"), rule, before, after) {
			return api.InvalidParam("no rule of yours %s to put this one beside", before+after)
		}
		return nil
	})
}

// readRule reads the rule that a client wants to have.
func readRule(r *api.Request) (Rule, error) {
	var body struct {
		Actions    []json.RawMessage `json:"actions"`
		Conditions []Condition       `json:"conditions"`
		Pattern    *string           `json:"pattern"`
	}
	if err := r.Decode(&body); err != nil {
		return Rule{}, err
	}
	kind, id := r.Param("kind"), r.Param("ruleID")
	rule := Rule{ID: id, Enabled: true, Actions: body.Actions}
	switch {
	case isDefault(id):
		return Rule{}, api.InvalidParam("ids that begin with a dot are the server's")
	case strings.ContainsAny(id, `/\`) || len(id) > maxRuleID:
		return Rule{}, api.InvalidParam("a rule's id has no slash or backslash and at most %d bytes", maxRuleID)
	case len(body.Conditions) > maxConditions:
		return Rule{}, api.InvalidParam("more than %d conditions", maxConditions)
	}
	if err := checkActions(body.Actions); err != nil {
		return Rule{}, err
	}
	switch kind {
	case KindOverride, KindUnderride:
		rule.Conditions = body.Conditions
		for _, c := range rule.Conditions {
			if c.Kind == "" {
				return Rule{}, api.InvalidParam("a condition has no kind")
			}
			if c.Pattern != nil && len(*c.Pattern) > maxPattern {
				return Rule{}, api.InvalidParam("a pattern has more than %d bytes", maxPattern)
			}
		}
	case KindContent:
		if body.Pattern == nil {
			return Rule{}, api.MissingParam("pattern")
		}
		if rule.Pattern = *body.Pattern; len(rule.Pattern) > maxPattern {
			return Rule{}, api.InvalidParam("the pattern has more than %d bytes", maxPattern)
		}
	case KindRoom, KindSender:
	default:
		return Rule{}, api.InvalidParam("%q is no kind of push rule", kind)
	}
	return rule, nil
}

// checkActions tells what is wrong with a rule's actions: strings, and objects that set a tweak.
func checkActions(actions []json.RawMessage) error {
	if actions == nil {
		return api.MissingParam("actions")
	}
	for _, action := range actions {
		var tweak struct {
			Name string `json:"set_tweak"`
		}
		if action = bytes.TrimSpace(action); action[0] == '"' {
			continue
		}
		if json.Unmarshal(action, &tweak) != nil || tweak.Name == "" {
			return api.InvalidParam("%.40s is no action", action)
		}
	}
	return nil
}
