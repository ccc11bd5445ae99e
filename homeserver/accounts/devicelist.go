// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
)

// shown is a device as its user sees it.
type shown struct {
	ID   string `json:"device_id"`
	Name string `json:"display_name,omitempty"`
	At   int64  `json:"last_seen_ts,omitempty"` // ms
	IP   string `json:"last_seen_ip,omitempty"`
}

func (d Device) shown(seen sighting) shown {
	return shown{ID: d.ID, Name: d.Name, At: seen.At, IP: seen.Address}
}

// listDevices is GET /devices.
func (a *Accounts) listDevices(ctx context.Context, r *api.Request) (api.Reply, error) {
	all := []shown{}
	err := a.store.View(ctx, func(tx *persistence.Tx) error {
		list, err := Devices(tx, r.User)
		if err != nil {
			return err
		}
		seen, err := a.sightingsOf(tx, r.User)
		for _, d := range list {
			all = append(all, d.shown(seen[d.ID]))
		}
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string][]shown{"devices": all})
}

// getDevice is GET /devices/{device}.
func (a *Accounts) getDevice(ctx context.Context, r *api.Request) (api.Reply, error) {
	var d Device
	var found bool
	var seen map[string]sighting
	err := a.store.View(ctx, func(tx *persistence.Tx) (err error) {
		if d, found, err = DeviceOf(tx, r.User, r.Param("device")); err == nil && found {
			seen, err = a.sightingsOf(tx, r.User)
		}
		return err
	})
	if err == nil && !found {
		err = api.NotFound("no such device")
	}
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(d.shown(seen[d.ID]))
}

// putDevice is PUT /devices/{device}.
func (a *Accounts) putDevice(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Name *string `json:"display_name"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Name == nil {
		_, err := a.getDevice(ctx, r)
		return api.Reply{}, err
	}
	if err := checkName(*body.Name); err != nil {
		return api.Reply{}, err
	}
	var found bool
	err := a.store.Update(ctx, func(tx *persistence.Tx) (err error) {
		found, err = a.renameDevice(tx, r.User, Device{ID: r.Param("device"), Name: *body.Name})
		return err
	})
	if err == nil && !found {
		err = api.NotFound("no such device")
	}
	return api.Reply{}, err
}

// deleteDevice is DELETE /devices/{device}. One that is gone already is none the less deleted.
func (a *Accounts) deleteDevice(ctx context.Context, r *api.Request) (api.Reply, error) {
	id := r.Param("device")
	if err := a.interactive.Confirm(ctx, r, "delete "+id); err != nil {
		return api.Reply{}, err
	}
	return a.deleted(ctx, r, []string{id})
}

// deleteDevices is POST /delete_devices.
func (a *Accounts) deleteDevices(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Devices []string `json:"devices"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Devices == nil {
		return api.Reply{}, api.MissingParam("devices")
	}
	if len(body.Devices) > maxDevicesNamed {
		return api.Reply{}, api.InvalidParam("devices: at most %d at once", maxDevicesNamed)
	}
	if err := a.interactive.Confirm(ctx, r, "delete devices"); err != nil {
		return api.Reply{}, err
	}
	return a.deleted(ctx, r, body.Devices)
}

func (a *Accounts) deleted(ctx context.Context, r *api.Request, ids []string) (api.Reply, error) {
	return api.Reply{}, a.store.Update(ctx, func(tx *persistence.Tx) error { return a.removeDevices(tx, r.User, ids) })
}
